"""A folder on any filesystem that fsspec knows, among them `memory://`.

One put is one object: object stores show it whole or not at all, so no temporaries are needed.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import threading
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from mlcore.errors import StoreError
from mlcore.store.files import Entry, Exclusive
from mlcore.store.keys import TEMPORARY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlcore.store.files import Name, Reader

# Up to here a file is read into memory and put at once; a longer one goes by way of a local copy.
_ONE_PUT = 1 << 26
_CHUNK = 1 << 20
_INSTALL = "install the package that publishes this kind of URL for fsspec, s3fs for s3:// say, or use another store"
_TIMES = ("mtime", "modified", "LastModified", "last_modified", "updated", "created")
_memory = threading.Lock()


def conditional_put(fs: Any) -> Callable[[str, bytes], bool] | None:  # fsspec publishes no types
    """The way to put a file only where there is none; None where the filesystem has no such way.

    Like `create`, it tells whether the file was made.
    """
    if _protocol(fs) != "memory":
        return None

    def put(path: str, data: bytes) -> bool:
        with _memory:
            if free := not fs.exists(path):
                fs.pipe_file(path, data)
            return free

    return put


def _protocol(fs: Any) -> str:  # fsspec publishes no types
    return str(fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0])


class Remote:
    """The operations of `mlcore.store.files.Files` below a URL."""

    local = None

    def __init__(self, url: str) -> None:
        self._url = url if url.endswith("://") else url.rstrip("/")

    @cached_property
    def _place(self) -> tuple[Any, str]:  # a filesystem of fsspec, and the root's path in it
        import fsspec

        try:
            fs, path = fsspec.core.url_to_fs(self._url)
        except (ImportError, ValueError) as error:
            raise StoreError(str(error), where=self._url, hint=_INSTALL) from error
        return fs, path.rstrip("/")

    @property
    def _fs(self) -> Any:  # fsspec publishes no types
        return self._place[0]

    @property
    def url(self) -> str:
        """The URL, without a slash at its end."""
        return self._url

    @property
    def exclusive(self) -> Exclusive:
        """By whether it has conditional puts."""
        return "atomic" if conditional_put(self._fs) else "single-writer"

    def below(self, key: str) -> Remote:
        """A folder inside this one."""
        return Remote(f"{self._url}{key}" if self._url.endswith("/") else f"{self._url}/{key}")

    def put(self, name: Name, source: bytes | Reader, *, sync: bool) -> None:
        """Read the source to its end, then put it: one that fails on the way leaves nothing."""
        head = source if isinstance(source, bytes) else _head(source)
        if not isinstance(source, bytes) and len(head) > _ONE_PUT:
            return self._put_long(name, head, source)
        key = name if isinstance(name, str) else name()
        if key is not None:
            self._pipe(self._path(key), head)
        return None

    def _put_long(self, name: Name, head: bytes, rest: Reader) -> None:
        with tempfile.TemporaryDirectory(prefix="mlcore-") as directory:
            copy = Path(directory, "content")
            with copy.open("wb") as file:
                file.write(head)
                shutil.copyfileobj(rest, file, _CHUNK)
            key = name if isinstance(name, str) else name()
            if key is None:
                return
            if _protocol(self._fs) == "memory":  # whose put_file shows what has been copied so far
                self._pipe(self._path(key), copy.read_bytes())
            else:
                self._fs.put_file(str(copy), self._path(key))

    def _pipe(self, path: str, data: bytes) -> None:
        try:
            self._fs.pipe_file(path, data)
        except FileNotFoundError:  # a filesystem with real folders
            self._fs.makedirs(self._fs._parent(path), exist_ok=True)
            self._fs.pipe_file(path, data)

    def create(self, key: str, data: bytes, *, sync: bool) -> bool:
        """Put a file where there is none."""
        path = self._path(key)
        if put := conditional_put(self._fs):
            return put(path, data)
        self._fs.invalidate_cache()
        if free := not self._fs.exists(path):
            self._pipe(path, data)
        return free

    def open(self, key: str) -> BinaryIO:
        """Open a file for reading."""
        if _protocol(self._fs) == "memory":  # its readers would share one position
            return io.BytesIO(self._fs.cat_file(self._path(key)))
        return cast("BinaryIO", self._fs.open(self._path(key), "rb"))

    def stat(self, key: str) -> Entry:
        """Tell about a file."""
        self._fs.invalidate_cache()
        info = self._fs.info(self._path(key))
        if info["type"] != "file":
            raise FileNotFoundError(key)
        return _entry(info, key)

    def list(self, prefix: str, *, recursive: bool) -> list[Entry]:
        """Tell about what is in a folder."""
        path = self._path(prefix)
        self._fs.invalidate_cache()
        try:
            found = self._fs.find(path, detail=True).values() if recursive else self._fs.ls(path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        entries = [_entry(info, self._key(info["name"])) for info in found]
        inside = [entry for entry in entries if _is_listed(entry.key) and entry.key != prefix]
        return sorted(inside, key=lambda entry: entry.key)

    def _key(self, name: str) -> str:
        path = str(self._fs._strip_protocol(name))
        return path[len(self._place[1]) :].strip("/")

    def touch(self, key: str) -> None:
        """Do nothing: an object store would write the whole object anew."""

    def move(self, key: str, target: str) -> None:
        """Copy a file and remove the original; readers may see both."""
        self._pipe(self._path(target), self._fs.cat_file(self._path(key)))
        self._fs.rm_file(self._path(key))

    def remove(self, key: str) -> None:
        """Remove a file."""
        self.stat(key)  # object stores remove what is not there without a word
        self._fs.rm_file(self._path(key))

    def remove_tree(self, prefix: str) -> None:
        """Remove all below a folder."""
        path = self._path(prefix)
        self._fs.invalidate_cache()
        if self._fs.exists(path):
            self._fs.rm(path, recursive=True)

    def sweep(self, older_than: float) -> int:
        """Nothing is ever left behind."""
        return 0

    def _path(self, key: str) -> str:
        root = self._place[1]
        return f"{root}/{key}" if key else root


def _head(source: Reader) -> bytes:
    """All of a source, or more of it than is put at once."""
    head = bytearray()
    while len(head) <= _ONE_PUT and (chunk := source.read(_CHUNK)):
        head += chunk
    return bytes(head)


def _is_listed(key: str) -> bool:
    return bool(key) and not any(part.startswith(TEMPORARY) for part in key.split("/"))


def _entry(info: Mapping[str, Any], key: str) -> Entry:  # what a filesystem of fsspec tells
    folder = info["type"] == "directory"
    return Entry(key, 0 if folder else int(info["size"] or 0), _modified(info), is_folder=folder)


def _modified(info: Mapping[str, Any]) -> float | None:  # what a filesystem of fsspec tells
    for name in _TIMES:
        match info.get(name):
            case datetime() as moment:
                return moment.timestamp()
            case int() | float() as seconds:
                return float(seconds)
    return None
