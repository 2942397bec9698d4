"""scikit-learn estimators as mlcore models.

Importing this package imports neither scikit-learn nor numpy; its names are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlcore_sklearn.backend import SklearnBackend as SklearnBackend
    from mlcore_sklearn.backend import VersionMismatchWarning as VersionMismatchWarning
    from mlcore_sklearn.model import SklearnModel as SklearnModel

__all__ = ["SklearnBackend", "SklearnModel", "VersionMismatchWarning"]

_HOMES = {"SklearnBackend": "backend", "SklearnModel": "model", "VersionMismatchWarning": "backend"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
