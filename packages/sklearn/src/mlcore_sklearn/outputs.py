"""What an estimator gives back for a batch: predictions, and how good they are.

Names are known for classifiers, regressors and whatever else predicts (clusterers, outlier detectors).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from mlcore.errors import ModelError, nearest
from mlcore_sklearn.batches import Array, Table

# These compare with the target and are left out of a batch that has none.
NEED_TARGET = frozenset({"loss", "accuracy"})


def kind_of(estimator: Any) -> str:  # scikit-learn is untyped
    """Say what an estimator is: `classifier`, `regressor` or `other`."""
    from sklearn.base import ClassifierMixin, RegressorMixin, is_classifier, is_regressor

    # The mixins are asked too: behind BaseEstimator in a class's bases, scikit-learn 1.6 and later overlooks them.
    if is_classifier(estimator) or isinstance(estimator, ClassifierMixin):
        return "classifier"
    return "regressor" if is_regressor(estimator) or isinstance(estimator, RegressorMixin) else "other"


def known_outputs(estimator: Any) -> tuple[str, ...]:  # scikit-learn is untyped
    """List the outputs that an estimator can give."""
    kind = kind_of(estimator)
    if kind == "classifier":
        graded = hasattr(estimator, "predict_proba")
        return ("prediction", "probability", "loss", "accuracy") if graded else ("prediction", "accuracy")
    return ("prediction", "loss") if kind == "regressor" else ("prediction",)


def chosen_outputs(estimator: Any, names: Sequence[str] | None) -> tuple[str, ...]:  # scikit-learn is untyped
    """Check the wanted outputs; by default all but the probabilities.

    Raises:
        ModelError: The estimator cannot give one of them.
    """
    known = known_outputs(estimator)
    if names is None:
        return tuple(name for name in known if name != "probability")
    for name in names:
        if name not in known:
            raise ModelError(f"{type(estimator).__name__} has no output {name!r}", hint=nearest(name, known))
    return tuple(names)


class Results:
    """The outputs of one batch, each computed at most once and only when asked for."""

    def __init__(self, estimator: Any, table: Table, target: Array | None) -> None:  # scikit-learn is untyped
        self.estimator, self.table, self.target = estimator, table, target

    def pick(self, names: Sequence[str]) -> dict[str, Array]:
        """Compute the named outputs; those that need a target only where there is one."""
        return {name: getattr(self, name) for name in names if self.target is not None or name not in NEED_TARGET}

    @cached_property
    def prediction(self) -> Array:
        """What the estimator predicts."""
        return np.asarray(self.estimator.predict(self.table))

    @cached_property
    def probability(self) -> Array:
        """The probability of each class, in the order of the estimator's `classes_`."""
        return np.asarray(self.estimator.predict_proba(self.table))

    @cached_property
    def accuracy(self) -> Array:
        """1.0 for each right prediction, else 0.0."""
        return np.asarray(self.prediction == self.target, dtype=np.float64)

    @cached_property
    def loss(self) -> Array:
        """The log loss (classifiers) or squared error (regressors) of each example."""
        truth = np.asarray(self.target)
        if kind_of(self.estimator) == "classifier":
            return log_loss(self.probability, np.searchsorted(self.estimator.classes_, truth))
        error = np.asarray(self.prediction - truth, dtype=np.float64) ** 2
        return error if error.ndim == 1 else error.reshape(len(error), -1).mean(axis=1)


def log_loss(probability: Array, column: Array) -> Array:
    """Compute the log loss of each example.

    Clipped as `sklearn.metrics.log_loss` does (its `eps="auto"`: the machine epsilon of the probabilities' dtype), so
    that the mean over a batch is scikit-learn's figure.

    Args:
        probability: One row an example, one column a class.
        column: The column of each example's true class.
    """
    eps = np.finfo(probability.dtype).eps
    of_truth = probability[np.arange(len(column)), column]
    clipped: Array = np.clip(of_truth, eps, 1 - eps).astype(np.float64)
    return -np.log(clipped)
