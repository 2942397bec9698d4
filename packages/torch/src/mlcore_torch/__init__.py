"""torch modules as mlcore models.

Importing this package imports neither torch nor numpy; its names are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlcore_torch.backend import TorchBackend as TorchBackend
    from mlcore_torch.model import TorchModel as TorchModel

__all__ = ["TorchBackend", "TorchModel"]

_HOMES = {"TorchBackend": "backend", "TorchModel": "model"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
