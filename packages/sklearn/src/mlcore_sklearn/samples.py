"""What `mlcore plugins --check` checks the backend with."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlcore.testing.samples import BackendSample


def make_classifier() -> Any:  # scikit-learn is untyped
    """Make a classifier with an optimizer of its own."""
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier((8,), random_state=0)


def make_regressor() -> Any:  # scikit-learn is untyped
    """Make a regressor that averages over its steps."""
    from sklearn.linear_model import SGDRegressor

    return SGDRegressor(random_state=0, average=True)


def backend_samples() -> list[BackendSample]:
    """A classifier with labels and three outputs, and a regressor with two inputs."""
    images = np.random.default_rng(0).normal(size=(12, 2, 3))
    kinds = {"output_names": ["loss", "prediction", "probability"], "labels": {"none": 0, "one": 1, "two": 2}}
    houses = {"size": images, "age": np.arange(12.0), "price": np.arange(12) * 0.1}
    prices = {"input_names": ["age", "size"], "target_names": ["price"]}
    return [
        BackendSample("mlcore_sklearn.samples:make_classifier", {"x": images, "y": np.arange(12) % 3}, kinds),
        BackendSample("mlcore_sklearn.samples:make_regressor", houses, prices),
    ]
