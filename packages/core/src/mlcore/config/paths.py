"""Key paths: where a value stands in a config, as in `hooks.1.metric`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from mlcore.config.scalars import write_scalar

# A part is a key or a list index. Keys may be any YAML scalar, so the type says no more.
Path: TypeAlias = tuple[object, ...]


def parse_path(path: str | Sequence[object]) -> Path:
    """Split a dotted key path; a sequence of keys and indices is taken as it is."""
    if isinstance(path, str):
        return tuple(path.split(".")) if path else ()
    return tuple(path)


def dotted(path: Path) -> str:
    """Write a key path as people type it."""
    return ".".join(str(part) for part in path)


def list_index(part: object) -> int | None:
    """Read a list index; None when the part is none."""
    text = str(part)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def key_at(data: object, part: object) -> object:
    """Find the key or index that a part of a path means: `names.0` reaches the key 0.

    Raises:
        LookupError: There is none.
    """
    if isinstance(data, dict):
        if part in data:
            return part
        for key in data:
            if write_scalar(key)[0] == str(part):
                return key
    if isinstance(data, list):
        index = list_index(part)
        if index is not None and index < len(data):
            return index
    raise LookupError(part)
