"""A folder on this machine, by the operating system's own calls."""

from __future__ import annotations

import os
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mlcore.store import mounts
from mlcore.store.draft import Draft, make_folders
from mlcore.store.files import Entry, Exclusive
from mlcore.store.keys import TEMPORARY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlcore.store.files import Name, Reader


class Local:
    """The operations of `mlcore.store.files.Files` below a path."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def url(self) -> str:
        """The absolute path."""
        return str(self._root)

    @property
    def local(self) -> Path:
        """The absolute path."""
        return self._root

    @property
    def exclusive(self) -> Exclusive:
        """By the kind of filesystem."""
        return "atomic" if mounts.is_exclusive(self._root) else "single-writer"

    def below(self, key: str) -> Local:
        """A folder inside this one."""
        return Local(self._root / key)

    def put(self, name: Name, source: bytes | Reader, *, sync: bool) -> None:
        """Write a draft, then rename it."""
        parent = self._path(name).parent if isinstance(name, str) else self._root
        with Draft(parent, sync=sync) as draft:
            draft.fill(source)
            key = name if isinstance(name, str) else name()
            if key is not None:
                draft.replace(self._path(key))

    def create(self, key: str, data: bytes, *, sync: bool) -> bool:
        """Write a draft, then link it."""
        path = self._path(key)
        with Draft(path.parent, sync=sync) as draft:
            draft.write(data)
            return draft.link(path)

    def open(self, key: str) -> BinaryIO:
        """Open a file for reading."""
        return self._path(key).open("rb")

    def stat(self, key: str) -> Entry:
        """Tell about a file."""
        found = self._path(key).stat()
        if stat.S_ISDIR(found.st_mode):
            raise FileNotFoundError(key)
        return Entry(key, found.st_size, found.st_mtime, is_folder=False)

    def list(self, prefix: str, *, recursive: bool) -> list[Entry]:
        """Tell about what is in a folder, but for drafts."""
        found = self._scan(self._path(prefix), prefix, recursive=recursive)
        return sorted(found, key=lambda entry: entry.key)

    def _scan(self, folder: Path, prefix: str, *, recursive: bool) -> Iterator[Entry]:
        try:
            items = os.scandir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return
        with items:
            for item in items:
                key = f"{prefix}/{item.name}" if prefix else item.name
                if item.name.startswith(TEMPORARY):
                    continue
                if recursive and item.is_dir():
                    yield from self._scan(Path(item.path), key, recursive=True)
                    continue
                with suppress(FileNotFoundError):  # removed since the folder was read
                    yield _entry(item, key)

    def touch(self, key: str) -> None:
        """Set a file's time to now."""
        os.utime(self._path(key))

    def move(self, key: str, target: str) -> None:
        """Rename a file."""
        path = self._path(target)
        make_folders(path.parent)
        self._path(key).replace(path)

    def remove(self, key: str) -> None:
        """Remove a file."""
        self._path(key).unlink()

    def remove_tree(self, prefix: str) -> None:
        """Take a folder out of sight at once, then remove it: killed half-way, no reader sees half a folder."""
        path = self._path(prefix)
        hidden = path.with_name(f"{TEMPORARY}{os.urandom(8).hex()}")
        try:
            path.rename(hidden)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError:  # a mount point, or a parent that only its owner may write
            hidden = path
        _remove(hidden)

    def sweep(self, older_than: float) -> int:
        """Remove old drafts and half-removed folders."""
        limit, swept = time.time() - older_than, 0
        for folder, folders, files in os.walk(self._root):
            for name in [*folders, *files]:
                path = Path(folder, name)
                if name.startswith(TEMPORARY) and _modified(path) < limit:
                    _remove(path)
                    swept += 1
            folders[:] = [name for name in folders if not name.startswith(TEMPORARY)]
        return swept

    def _path(self, key: str) -> Path:
        return self._root / key


def _entry(item: os.DirEntry[str], key: str) -> Entry:
    found, folder = item.stat(), item.is_dir()
    return Entry(key, 0 if folder else found.st_size, found.st_mtime, is_folder=folder)


def _modified(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:  # removed by another sweep, or named meanwhile
        return float("inf")


def _remove(path: Path) -> None:
    """Remove a file or folder that others may be removing, too."""
    while os.path.lexists(path):
        with suppress(FileNotFoundError):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
