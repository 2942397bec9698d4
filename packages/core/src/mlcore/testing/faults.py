"""Storage that fails on purpose."""

from __future__ import annotations

import copy
import errno
import itertools
import os
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlcore.store import Folder
    from mlcore.store.files import Files

_WRITES = frozenset({"create", "move", "put", "remove", "remove_tree", "touch"})


def failing(folder: Folder, *, after: int) -> Folder:
    """The same folder, whose writes and removals fail as on a full disk after so many that succeed.

    Folders below it share the count.

    Example:
        >>> from mlcore.store import Folder
        >>> folder = failing(Folder("memory://failing"), after=1)
        >>> folder.put_bytes("a", b"")
        >>> folder.put_bytes("b", b"")
        Traceback (most recent call last):
        mlcore.errors.StoreError: memory://failing/b: the disk is full
          hint: free space or choose another store with --store
    """
    view = copy.copy(folder)
    view._files = cast("Files", _Failing(folder._files, itertools.count(), after))
    return view


class _Failing:
    def __init__(self, files: Files, calls: Iterator[int], after: int) -> None:
        self._files, self._calls, self._after = files, calls, after

    def below(self, key: str) -> Files:
        return cast("Files", _Failing(self._files.below(key), self._calls, self._after))

    def __getattr__(self, name: str) -> Any:  # whatever the wrapped object has
        if name in _WRITES and next(self._calls) >= self._after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return getattr(self._files, name)
