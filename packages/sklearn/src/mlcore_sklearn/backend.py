"""The backend for scikit-learn: which objects are estimators, and how they come back from disk."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.errors import ModelError, nearest
from mlcore.model import Labels, label_map
from mlcore_sklearn.model import FILE, SklearnModel, different_name

if TYPE_CHECKING:
    from mlcore.bundle import Manifest

NAMES = ("input_names", "target_names", "output_names", "labels")


class VersionMismatchWarning(UserWarning):
    """A model was saved with another version of scikit-learn than the one that loads it."""


class SklearnBackend:
    """Estimators of scikit-learn, and of anyone who derives from its classes.

    Example:
        >>> from sklearn.linear_model import SGDRegressor
        >>> SklearnBackend().wrap(SGDRegressor()).output_names
        ('prediction', 'loss')
    """

    name = "sklearn"
    packages = ("mlcore-sklearn", "scikit-learn", "skops", "numpy")

    def recognises(self, obj: object) -> bool:
        """Whether the object predicts and one of its classes is scikit-learn's; imports nothing."""
        if isinstance(obj, SklearnModel):
            return True
        roots = {cls.__module__.partition(".")[0] for cls in type(obj).__mro__}
        return "sklearn" in roots and hasattr(obj, "predict")

    def wrap(
        self,
        obj: Any,  # an estimator; scikit-learn is untyped
        *,
        input_names: Sequence[str] | None = None,
        target_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
        labels: Labels | Sequence[int | str] | None = None,
        **options: Any,  # none are understood
    ) -> SklearnModel:
        """Make a Model of an estimator, which is trained in place.

        Args:
            obj: An estimator, or a Model of one, which is returned as it is.
            input_names: Sources that make up the table of features; `x` by default.
            target_names: The source to learn from; `y` by default, none for clusterers and outlier detectors.
            output_names: Of `prediction`, `probability`, `loss` and `accuracy`.
            labels: Class names to target values, or the values alone.
            options: There are none; each is an error.

        Raises:
            ModelError: The object is no estimator, or a name does not fit it.
        """
        _refuse_options(options)
        names = {"input_names": input_names, "target_names": target_names, "output_names": output_names}
        if isinstance(obj, SklearnModel):
            return _unchanged(obj, names, label_map(labels))
        _refuse_class(obj)
        if not self.recognises(obj):
            raise ModelError(f"{type(obj).__qualname__} is no scikit-learn estimator that predicts")
        return SklearnModel(obj, **names, labels=label_map(labels))

    def load(self, directory: Path, manifest: Manifest, *, trusted: Collection[str] = ()) -> SklearnModel:
        """Restore a saved model.

        Args:
            directory: The folder that `SklearnModel.save` wrote.
            manifest: Its manifest, which holds names and labels.
            trusted: Full names of types that this file may use besides those that are always trusted.

        Raises:
            ModelError: The file is unreadable or names something untrusted.
        """
        from mlcore_sklearn.trust import load

        _compare_versions(manifest.meta)
        estimator = load(directory / FILE, trusted=trusted)
        return SklearnModel(estimator, **{name: manifest.meta.get(name) for name in NAMES})

    def rng_state(self) -> Mapping[str, Any]:  # JSON values and arrays
        """The state of numpy's global generator, which estimators with `random_state=None` draw from."""
        return dict(np.random.get_state(legacy=False))

    def set_rng_state(self, state: Mapping[str, Any]) -> None:  # JSON values and arrays
        """Put back what `rng_state` returned."""
        np.random.set_state(dict(state))


def _refuse_options(options: Mapping[str, object]) -> None:
    for name in options:
        raise ModelError(f"the sklearn backend has no option {name!r}", hint=nearest(name, NAMES))


def _refuse_class(obj: object) -> None:
    if isinstance(obj, type):
        raise ModelError(f"{obj.__qualname__} is a class, not an object", hint=f"pass an instance: {obj.__name__}(…)")


def _unchanged(model: SklearnModel, names: Mapping[str, Sequence[str] | None], labels: Labels | None) -> SklearnModel:
    """The model itself; giving it other names than it has is an error rather than ignored."""
    different = different_name(model, {**names, "labels": labels})
    if different:
        raise ModelError(f"this estimator is a Model already, with other {different}", hint="wrap the estimator itself")
    return model


def _compare_versions(meta: Mapping[str, Any]) -> None:  # JSON values
    import sklearn

    saved = (meta.get("versions") or {}).get("scikit-learn")
    if saved and saved != sklearn.__version__:
        text = f"saved with scikit-learn {saved}, loaded with {sklearn.__version__}: results may differ"
        warnings.warn(text, VersionMismatchWarning, stacklevel=3)
