"""Turn what filesystems raise into errors for people: what happened, where, what to do."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mlcore.errors import KeyMissingError, MlcoreError, StoreError
from mlcore.store.troubles import is_absent_place, meaning

if TYPE_CHECKING:
    from types import TracebackType

_ELSEWHERE = "choose another store with --store"
_FULL = f"free space or {_ELSEWHERE}"
_OWNER = f"check who may write there, or {_ELSEWHERE}"

_REASONS = {
    errno.EROFS: ("the filesystem is read-only", _ELSEWHERE),
    errno.EACCES: ("permission denied", _OWNER),
    errno.EPERM: ("the operation is not permitted", _OWNER),
    errno.ENOSPC: ("the disk is full", _FULL),
    errno.EDQUOT: ("the disk quota is used up", _FULL),
    errno.EFBIG: ("the file is larger than the filesystem or the process's limit allows", _FULL),
    errno.ENAMETOOLONG: (
        "the name is too long for this filesystem",
        "use a shorter one, or a store with a shorter path",
    ),
    errno.ENOTDIR: ("a file is where a folder should be", f"move it away, or {_ELSEWHERE}"),
    errno.EISDIR: ("a folder is where a file should be", f"move it away, or {_ELSEWHERE}"),
    errno.ENOENT: ("the folder was removed while it was used", None),
}
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class Faults:
    """A block in which filesystem errors become StoreErrors.

    Args:
        where: The store's URL with the key.
        reading: Whether an absent file is a missing key rather than a failure.
        foreign: Whether any exception is the filesystem's: those of fsspec derive from nothing common.
    """

    __slots__ = ("_foreign", "_reading", "_where")

    def __init__(self, where: str, *, reading: bool = False, foreign: bool = False) -> None:
        self._where, self._reading, self._foreign = where, reading, foreign

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if isinstance(error, Exception) and not isinstance(error, MlcoreError):
            if self._foreign:
                raise self._foreigner(error) from error
            if isinstance(error, OSError):
                raise self._translated(error) from error

    def _foreigner(self, error: Exception) -> StoreError:
        if isinstance(error, _ABSENT) and not is_absent_place(error):
            return self._translated(error)
        if known := meaning(error):
            return StoreError(known[0], where=self._where, hint=known[1])
        if isinstance(error, OSError):
            return self._translated(error)
        return StoreError(
            f"the store failed: {type(error).__name__}: {error}", where=self._where, hint="see docs/stores.md"
        )

    def _translated(self, error: OSError) -> StoreError:
        if self._reading and isinstance(error, _ABSENT):
            return KeyMissingError("nothing is stored there", where=self._where)
        what, hint = _REASONS.get(error.errno or 0, (f"{type(error).__name__}: {error.strerror or error}", None))
        return StoreError(what, where=self._where, hint=hint)
