"""A local file while it is being written: whole or absent under its final name, whatever happens.

It is written under a sibling name that nobody lists, then renamed or linked to its own. fsspec's local transactions
are not used: they write in the default temporary folder, where the final move may be a slow, visible copy, and they
switch a flag on an object that the whole process shares.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mlcore.store import mounts
from mlcore.store.keys import TEMPORARY

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from mlcore.store.files import Reader

_CHUNK = 1 << 18  # measured: larger chunks leave the processor's cache before they are hashed
_FICLONE = 0x40049409
# What filesystems answer to an operation that they do not have.
_UNSUPPORTED = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


class Draft:
    """An unfinished file in `parent`, gone when the block ends unless it was given its name.

    Example:
        >>> with Draft(Path("/tmp")) as draft:  # doctest: +SKIP
        ...     draft.write(b"content")
        ...     draft.replace(Path("/tmp/final"))
    """

    def __init__(self, parent: Path, *, sync: bool = False) -> None:
        self._sync, self._named = sync, False
        self._path = parent / f"{TEMPORARY}{os.urandom(8).hex()}"
        try:
            self._fd = self._open()
        except FileNotFoundError:
            make_folders(parent, sync=sync)
            self._fd = self._open()

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        if not self._named:
            # An error that is on its way matters more than what stays for `sweep`.
            with suppress(OSError):
                self._path.unlink()

    def write(self, data: bytes) -> None:
        """Append bytes."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def fill(self, source: bytes | Reader) -> None:
        """Append all that a source holds."""
        if isinstance(source, bytes):
            return self.write(source)
        if (raw := _plain(source)) is not None:
            _copy_in_kernel(raw.fileno(), self._fd)
            source = raw
        while chunk := source.read(_CHUNK):
            self.write(chunk)
        return None

    def replace(self, path: Path) -> None:
        """Name it, in place of what had that name."""
        self._finish()
        self._give(os.replace, path)
        self._named = True
        if self._sync:
            sync_folder(path.parent)

    def link(self, path: Path) -> bool:
        """Name it unless something has that name; tell whether it was named."""
        self._finish()
        try:
            self._give(os.link, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            mounts.refused_links(path)
            if os.path.lexists(path):
                return False
            self._give(os.replace, path)
        if self._sync:
            sync_folder(path.parent)
        return True

    def _finish(self) -> None:
        if self._sync:
            os.fsync(self._fd)
        fd, self._fd = self._fd, -1
        os.close(fd)

    def _give(self, name: Callable[[Path, Path], None], path: Path) -> None:
        try:
            name(self._path, path)
        except FileNotFoundError:
            make_folders(path.parent, sync=self._sync)
            name(self._path, path)


def make_folders(folder: Path, *, sync: bool = False) -> None:
    """Make a folder and those above it that are missing; on disk when it returns if `sync`."""
    try:
        folder.mkdir()
    except FileNotFoundError:
        make_folders(folder.parent, sync=sync)
        return make_folders(folder, sync=sync)
    except FileExistsError:
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
    else:
        if sync:
            sync_folder(folder.parent)
    return None


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to disk."""
    if os.name == "nt":  # folders cannot be opened there
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # this filesystem has no such thing
            raise
    finally:
        os.close(fd)


def _plain(source: Reader) -> io.FileIO | None:
    """The plain file behind a reader that nothing was read from yet."""
    raw = source.raw if isinstance(source, io.BufferedReader) else source
    if isinstance(raw, io.FileIO) and isinstance(source, io.IOBase) and source.tell() == raw.tell() == 0:
        return raw
    return None


def _copy_in_kernel(source: int, target: int) -> None:
    """Share the blocks of two files, or copy within the kernel; both are left where the rest is to be copied."""
    if sys.platform != "linux":
        return
    import fcntl

    try:
        fcntl.ioctl(target, _FICLONE, source)
        os.lseek(source, 0, os.SEEK_END)
        os.lseek(target, 0, os.SEEK_END)
    except OSError:
        _copy_range(source, target)


def _copy_range(source: int, target: int) -> None:
    if sys.platform != "linux":
        return
    try:
        while os.copy_file_range(source, target, 1 << 30):
            pass
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EINVAL, errno.EBADF, *_UNSUPPORTED}:
            raise
