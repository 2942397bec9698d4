"""A folder of the store: files by key, on this machine or anywhere that fsspec reaches."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mlcore.errors import KeyExistsError, KeyMissingError, StoreError
from mlcore.store.digest import Hashing
from mlcore.store.draft import Draft
from mlcore.store.faults import Faults
from mlcore.store.files import Entry, Exclusive
from mlcore.store.keys import check_key
from mlcore.store.local import Local
from mlcore.store.race import passed
from mlcore.store.remote import Remote
from mlcore.store.trees import files_below, open_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from mlcore.store.files import Files, Name, Reader


class Folder:
    """Files by key, below a path or URL. It need not exist; the first write makes it.

    A file is whole or absent for every reader, and after a crash. `sync=False` leaves out the waiting for the disk:
    what was written survives the death of the process, but not of the machine. Every method raises StoreError where
    the place itself fails: it is read-only, full, or out of reach.

    Args:
        url: A path, `file:///…`, `memory://…`, or any URL that an installed filesystem of fsspec knows.

    Example:
        >>> folder = Folder("memory://example") / "runs"
        >>> folder.put_bytes("7/name", b"first")
        >>> folder.read_bytes("7/name")
        b'first'
        >>> [entry.key for entry in folder.list()]
        ['7']
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self._files = self._top = _files_at(os.fspath(url))

    def __truediv__(self, key: str) -> Self:
        below = copy.copy(self)
        below._files = self._files.below(check_key(str(key)))
        return below

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @property
    def url(self) -> str:
        """Where it is: the absolute path of a local folder, the URL of any other."""
        return self._files.url

    @property
    def local(self) -> Path | None:
        """Its path; None when it is not on this machine's filesystem."""
        return self._files.local

    @property
    def exclusive(self) -> Exclusive:
        """What `create` promises.

        "atomic": of several processes one wins. "single-writer": only while no other process writes there. Which it is
        depends on the filesystem; where that is not known to be atomic, on whether it passed the race test, of which
        `exclusive.json` tells in the topmost folder that this one was reached from.
        """
        with self._faults(""):
            return "atomic" if self._files.exclusive == "atomic" or passed(self._top) else "single-writer"

    def put_bytes(self, key: str, data: bytes, *, sync: bool = True) -> None:
        """Make or replace a file."""
        with self._faults(check_key(key)):
            self._files.put(key, data, sync=sync)

    def put_stream(self, name: Name, reader: Reader, *, sync: bool = True) -> None:
        """Make or replace a file with all that a reader gives; if reading fails, nothing has changed.

        Args:
            name: The key, or what gives it when all has been read; None drops what was read.
            reader: Has `read(size)`.
            sync: Wait for the disk.
        """
        with self._faults(check_key(name) if isinstance(name, str) else ""):
            self._files.put(name, reader, sync=sync)

    def put_file(self, key: str, path: Path | str, *, sync: bool = True) -> None:
        """Make or replace a file with a copy of a local one: blocks may be shared, never the file itself."""
        check_key(key)
        with open_file(Path(path)) as file:
            self.put_stream(key, file, sync=sync)

    def put_tree(self, prefix: str, directory: Path | str, *, sync: bool = True) -> None:
        """Copy all files of a local folder; empty folders are left out.

        Raises:
            StoreError: Something there cannot be stored; then nothing was.
        """
        for key, path in files_below(Path(directory)):
            self.put_file(_join(prefix, key), path, sync=sync)

    def create(self, key: str, data: bytes, *, sync: bool = True) -> None:
        """Make a file that must not exist; see `exclusive`.

        On object stores a file that holds just these bytes counts as made by this call: the answer to a first try may
        have been lost. Contents that compete for a key must differ, by the name of their writer for one.

        Raises:
            KeyExistsError: It exists: somebody else was first.
        """
        with self._faults(check_key(key)):
            created = self._files.create(key, data, sync=sync)
        if not created:
            raise KeyExistsError("this key exists already", where=self._where(key))

    def open(self, key: str) -> BinaryIO:
        """Open a file for reading.

        Raises:
            KeyMissingError: There is none.
        """
        with self._faults(check_key(key), reading=True):
            return self._files.open(key)

    def read_bytes(self, key: str) -> bytes:
        """All that a file holds.

        Raises:
            KeyMissingError: There is none.
        """
        with self.open(key) as file, self._faults(key, reading=True):
            return file.read()

    def fetch_file(self, key: str, path: Path | str, *, check: Callable[[Hashing], None] | None = None) -> None:
        """Copy a file to a local path, in place of what is there.

        Args:
            key: The file.
            path: Where to.
            check: Called when all has been read, with its size and digest; if it raises, nothing has changed.

        Raises:
            KeyMissingError: There is no such file.
        """
        target = Path(path)
        with self.open(key) as file, self._faults(key), Faults(str(target)), Draft(target.parent) as draft:
            read = Hashing(file) if check else None
            draft.fill(read or file)
            if check and read:
                check(read)
            draft.replace(target)

    def fetch_tree(self, prefix: str, directory: Path | str) -> None:
        """Copy all files below a folder into a local one."""
        folder = self / prefix if prefix else self
        for entry in folder.list(recursive=True):
            folder.fetch_file(check_key(entry.key), Path(directory, entry.key))

    def list(self, prefix: str = "", *, recursive: bool = False) -> list[Entry]:
        """What is in a folder, sorted by key; nothing if there is no such folder.

        Args:
            prefix: The key of the folder.
            recursive: All files below it, without the folders.
        """
        with self._faults(check_key(prefix, root=True)):
            return self._files.list(prefix, recursive=recursive)

    def stat(self, key: str) -> Entry:
        """Size and time of a file.

        Raises:
            KeyMissingError: There is none.
        """
        with self._faults(check_key(key), reading=True):
            return self._files.stat(key)

    def exists(self, key: str) -> bool:
        """Whether there is a file of that key."""
        try:
            self.stat(key)
        except KeyMissingError:
            return False
        return True

    def size(self, key: str) -> int:
        """The size of a file in bytes.

        Raises:
            KeyMissingError: There is none.
        """
        return self.stat(key).size

    def touch(self, key: str) -> None:
        """Set a file's time to now, where the filesystem can do so without writing the file anew."""
        with self._faults(check_key(key), reading=True):
            self._files.touch(key)

    def move(self, key: str, target: str) -> None:
        """Give a file another key; atomic only on local filesystems.

        Raises:
            KeyMissingError: There is no such file.
        """
        check_key(target)
        with self._faults(check_key(key), reading=True):
            self._files.move(key, target)

    def remove(self, key: str) -> None:
        """Remove a file.

        Raises:
            KeyMissingError: There is none.
        """
        with self._faults(check_key(key), reading=True):
            self._files.remove(key)

    def remove_tree(self, prefix: str) -> None:
        """Remove a folder and all below it, if it is there. The empty prefix names this folder."""
        with self._faults(check_key(prefix, root=True)):
            self._files.remove_tree(prefix)

    def sweep(self, older_than: float = 3600) -> int:
        """Remove what killed writers left behind.

        Args:
            older_than: In seconds; what is younger may still be in use.

        Returns:
            How many unfinished files and folders were removed.
        """
        with self._faults(""):
            return self._files.sweep(older_than)

    def _faults(self, key: str, *, reading: bool = False) -> Faults:
        return Faults(self._where(key), reading=reading, foreign=self._files.local is None)

    def _where(self, key: str) -> str:
        return self.url if not key else _join(self.url.removesuffix("/"), key)


def as_folder(place: Folder | str | os.PathLike[str]) -> Folder:
    """A Folder of a path or URL; a Folder as it is."""
    return place if isinstance(place, Folder) else Folder(place)


def _files_at(url: str) -> Files:
    if not url:
        raise StoreError("a folder cannot be the empty path", hint="name a folder, '.' for the present one")
    scheme, separator, path = url.partition("://")
    if separator and scheme in {"file", "local"}:
        return Local(Path(path).absolute())
    return Remote(url) if separator or "::" in url else Local(Path(os.path.abspath(url)))  # noqa: PTH100 - Path keeps `..`


def _join(prefix: str, key: str) -> str:
    return f"{prefix}/{key}" if prefix else key
