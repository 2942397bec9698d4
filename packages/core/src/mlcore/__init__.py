"""mlcore: models trained, tracked and used through one small core.

Everything here is imported on first use, so that `import mlcore` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlcore.config import Config
    from mlcore.errors import MlcoreError
    from mlcore.events import Bus
    from mlcore.execution import open_executor
    from mlcore.hookspecs import hookimpl
    from mlcore.model import Batch, Model, as_model, build_model, restore_model, save_model
    from mlcore.plugins import PluginHost
    from mlcore.runs import Run, RunView, current_run, find_run, start_run
    from mlcore.runs import run_file as run
    from mlcore.store import Folder, Store
    from mlcore.versions import Models, load_model

_HOMES = {
    "mlcore.config": ("Config",),
    "mlcore.errors": ("MlcoreError",),
    "mlcore.events": ("Bus",),
    "mlcore.execution": ("open_executor",),
    "mlcore.hookspecs": ("hookimpl",),
    "mlcore.model": ("Batch", "Model", "as_model", "build_model", "restore_model", "save_model"),
    "mlcore.plugins": ("PluginHost",),
    "mlcore.runs": ("Run", "RunView", "current_run", "find_run", "start_run"),
    "mlcore.store": ("Folder", "Store"),
    "mlcore.versions": ("Models", "load_model"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Batch",
    "Bus",
    "Config",
    "Folder",
    "MlcoreError",
    "Model",
    "Models",
    "PluginHost",
    "Run",
    "RunView",
    "Store",
    "as_model",
    "build_model",
    "current_run",
    "find_run",
    "hookimpl",
    "load_model",
    "open_executor",
    "restore_model",
    "run",
    "save_model",
    "start_run",
]


def __getattr__(name: str) -> Any:  # whatever is asked for
    if name == "run":
        return importlib.import_module("mlcore.runs").run_file
    if name == "__version__":
        from importlib.metadata import version

        return version("mlcore-core")
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'mlcore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
