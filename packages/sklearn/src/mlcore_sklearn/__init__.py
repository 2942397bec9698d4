"""scikit-learn estimators as mlcore models."""
