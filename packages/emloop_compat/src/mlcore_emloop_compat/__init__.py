"""The main loop of emloop on the mlcore core.

Everything is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlcore_emloop_compat import datasets, hooks, models
    from mlcore_emloop_compat.datasets import AbstractDataset, ArrayStream, BaseDataset, StreamWrapper
    from mlcore_emloop_compat.hooks import AbstractHook
    from mlcore_emloop_compat.main_loop import MainLoop
    from mlcore_emloop_compat.models import AbstractModel
    from mlcore_emloop_compat.types import Batch, EpochData, Stream, TimeProfile

_HOMES = {
    "datasets": ("AbstractDataset", "ArrayStream", "BaseDataset", "StreamWrapper"),
    "hooks": ("AbstractHook",),
    "main_loop": ("MainLoop",),
    "models": ("AbstractModel",),
    "types": ("Batch", "EpochData", "Stream", "TimeProfile"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_SUBMODULES = ("constants", "datasets", "hooks", "models", "utils")

__all__ = [
    "AbstractDataset",
    "AbstractHook",
    "AbstractModel",
    "ArrayStream",
    "BaseDataset",
    "Batch",
    "EpochData",
    "MainLoop",
    "Stream",
    "StreamWrapper",
    "TimeProfile",
    "datasets",
    "hooks",
    "models",
]


def __getattr__(name: str) -> Any:  # whatever is asked for
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
