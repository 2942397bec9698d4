"""The folder that a job comes from: its modules are imported from there, and its paths begin there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType

_source: ContextVar[Path | None] = ContextVar("mlcore_source", default=None)
# Modules that jobs imported from the folders of their configs.
_homes: dict[str, Path] = {}


def source_folder() -> Path:
    """The folder of the config that is being checked or executed here; outside of that, the working folder."""
    return _source.get() or Path.cwd()


@contextmanager
def importable(source: Path) -> Iterator[None]:
    """Import modules from a config's folder and from the working folder.

    Modules that an earlier job imported from its folder are forgotten: in another folder others may have their names.
    """
    for name in [name for name, home in _homes.items() if home != source]:
        sys.modules.pop(name, None)
        del _homes[name]
    before, added = set(sys.modules), [str(source), str(Path.cwd())]
    sys.path[:0] = added
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)
        for folder in added:
            if folder in sys.path:
                sys.path.remove(folder)
        _homes.update((name, source) for name in sys.modules.keys() - before if _lies_in(sys.modules[name], source))


def _lies_in(module: ModuleType, folder: Path) -> bool:
    """Whether it is the user's own, not a library of a virtual environment there."""
    file = Path(getattr(module, "__file__", None) or "/").resolve()
    return file.is_relative_to(folder) and "site-packages" not in file.relative_to(folder).parts
