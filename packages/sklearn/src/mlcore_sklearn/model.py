"""One estimator as a Model: named arrays in, named arrays out, learning by `partial_fit`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mlcore.errors import ModelError
from mlcore.model import Batch, Labels
from mlcore.signature import Signature
from mlcore_sklearn.batches import Array, Table, count, features, target
from mlcore_sklearn.outputs import Results, chosen_outputs, kind_of

FILE = "estimator.skops"


class SklearnModel:
    """A scikit-learn estimator that reads and writes named arrays.

    Several inputs are flattened and joined into one table, in the order of their names. There is at most one target.

    Example:
        >>> from sklearn.linear_model import SGDClassifier
        >>> model = SklearnModel(SGDClassifier(random_state=0), labels={"no": 0, "yes": 1})
        >>> sorted(model.run({"x": [[0.0], [1.0]], "y": [0, 1]}, train=True))
        ['accuracy', 'prediction']

    Args:
        estimator: The estimator; it is trained in place.
        input_names: Sources that make up the table of features.
        target_names: The source to learn from: `y`, or none for estimators that learn without.
        output_names: Of `prediction`, `probability`, `loss` and `accuracy`; by default all but the probabilities.
        labels: Class names to target values. A classifier needs them before its first batch, which may lack a class.
    """

    signature: Signature | None = None

    def __init__(
        self,
        estimator: Any,  # scikit-learn is untyped
        *,
        input_names: Sequence[str] | None = None,
        target_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
        labels: Labels | None = None,
    ) -> None:
        self.estimator = estimator
        self.kind = kind_of(estimator)
        self.input_names = ("x",) if input_names is None else tuple(input_names)
        self.target_names = self._default_target() if target_names is None else tuple(target_names)
        self.output_names = chosen_outputs(estimator, output_names)
        self.labels = dict(labels) if labels else None
        self._check_names()

    @property
    def subject(self) -> Any:  # scikit-learn is untyped
        """The estimator, whose class the manifest names."""
        return self.estimator

    def run(self, batch: Batch, *, train: bool) -> dict[str, Any]:  # arrays
        """Compute the outputs of a batch, after learning from it when `train` is true.

        Raises:
            ModelError: The batch lacks a source or does not fit, or the estimator cannot learn from batches.
        """
        table = features(batch, self.input_names)
        with self._explained():
            truth = self._target(batch, count(table), required=train)
            if train:
                self._learn(table, truth)
            return Results(self.estimator, table, truth).pick(self.output_names)

    def save(self, directory: Path, *, training: bool = False) -> None:
        """Write the estimator, the same bytes for the same state in any process.

        Args:
            directory: An existing, empty folder.
            training: Makes no difference: an estimator keeps its optimizer's state within itself.

        Raises:
            ModelError: The estimator holds something that cannot be stored without pickle.
        """
        from mlcore_sklearn.canonical import dumps

        (directory / FILE).write_bytes(dumps(self.estimator))

    def _default_target(self) -> tuple[str, ...]:
        return () if self.kind == "other" else ("y",)

    def _check_names(self) -> None:
        if not self.input_names:
            raise ModelError(f"{self._name} has no inputs", hint="name at least one: input_names=['x']")
        if len(self.target_names) > 1:
            found = ", ".join(self.target_names)
            raise ModelError(f"{self._name} takes one target, not {found}", hint="choose one")
        clash = set(self.output_names) & {*self.input_names, *self.target_names}
        if clash:
            raise ModelError(f"{min(clash)!r} names both an output and a source of the batch", hint="rename the source")

    @property
    def _name(self) -> str:
        return type(self.estimator).__name__

    def _target(self, batch: Batch, examples: int, *, required: bool) -> Array | None:
        if not self.target_names or not (required or self.target_names[0] in batch):
            return None
        truth = target(batch, self.target_names[0], examples)
        if self.kind == "classifier":
            self._check_classes(truth)
        return truth

    def _check_classes(self, truth: Array) -> None:
        if truth.ndim != 1:
            raise ModelError(f"target {self.target_names[0]!r} has shape {truth.shape}: a class an example is needed")
        known = self._classes()
        if known is None:
            return
        values = set(known.tolist())
        for value in truth.tolist():
            if value not in values:
                listed = ", ".join(map(repr, known.tolist()[:20]))
                raise ModelError(
                    f"target {self.target_names[0]!r} has the value {value!r}, which is not among the labels: {listed}",
                    hint="add it to `labels`, or correct the dataset",
                )

    def _classes(self) -> Array | None:
        fitted = getattr(self.estimator, "classes_", None)
        if fitted is not None or self.labels is None:
            return fitted
        return np.array(list(self.labels.values()))

    def _learn(self, table: Table, truth: Array | None) -> None:
        if not hasattr(self.estimator, "partial_fit"):
            raise self._untrainable()
        if self.kind != "classifier" or hasattr(self.estimator, "classes_"):
            self.estimator.partial_fit(table, truth)
            return
        classes = self._classes()
        if classes is None:
            raise ModelError(
                f"{self._name} must know all classes before its first batch",
                hint="add `labels`: a list of the target's values, or class names to values (labels=[0, 1]; "
                "in a config `model: {labels: [0, 1]}`)",
            )
        self.estimator.partial_fit(table, truth, classes=classes)

    def _untrainable(self) -> ModelError:
        from sklearn.utils import all_estimators

        wanted = {"classifier": "classifier", "regressor": "regressor", "other": "cluster"}[self.kind]
        able = ", ".join(name for name, cls in all_estimators(wanted) if hasattr(cls, "partial_fit"))
        return ModelError(
            f"{self._name} cannot learn from batches: as it is configured it has no partial_fit",
            hint=f"these can: {able}; any other can be fitted first, then wrapped to predict",
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn scikit-learn's complaints about data into ours; errors of users' own estimators stay as they are."""
        from sklearn.exceptions import NotFittedError

        try:
            yield
        except NotFittedError as error:
            raise ModelError(
                f"{self._name} has not been fitted yet",
                hint="train it first; a main loop starts without evaluation by `skip_zeroth_epoch: true`",
            ) from error
        except ValueError as error:
            if type(self.estimator).__module__.partition(".")[0] != "sklearn":
                raise
            what = str(error).partition("\n")[0]
            raise ModelError(what, where=self._name, hint="look at the batch, and at the parameters") from error


def different_name(model: SklearnModel, given: Mapping[str, Any]) -> str | None:
    """Name the first given setting that differs from the model's own; None when all agree."""
    for name, value in given.items():
        own = getattr(model, name)
        if value is not None and (own is None or list(own) != list(value)):
            return name
    return None
