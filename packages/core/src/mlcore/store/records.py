"""Small JSON records, read with the suspicion that files deserve."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from mlcore.errors import CorruptError
from mlcore.store.folder import Folder

T = TypeVar("T")


def read_record(folder: Folder, key: str, build: Callable[[Any], T]) -> T:
    """Read a JSON record and make something of it.

    Args:
        folder: Where it is.
        key: Its key.
        build: Makes it of JSON values; raises ValueError, TypeError or LookupError if they are wrong.

    Raises:
        KeyMissingError: There is none.
        CorruptError: It is not what was written.
    """
    data = folder.read_bytes(key)
    try:
        return build(json.loads(data))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise CorruptError(
            f"this record cannot be read: {_first_line(error)}",
            where=f"{folder.url.removesuffix('/')}/{key}",
            hint="restore it from a backup, or remove what it belongs to",
        ) from error


def _first_line(error: Exception) -> str:
    """What is wrong, without the paragraphs of a schema's error."""
    details = getattr(error, "errors", None)
    if callable(details):
        first = details()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
    return f"{type(error).__name__}: {error}".partition("\n")[0]
