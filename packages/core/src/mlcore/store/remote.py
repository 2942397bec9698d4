"""A folder on any filesystem that fsspec knows, among them `memory://`.

One put is one object: object stores show it whole or not at all, so no temporaries are needed. What fails for a passing
reason is tried again.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import tempfile
import threading
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

from mlcore.errors import StoreError
from mlcore.store.files import Entry, Exclusive
from mlcore.store.keys import TEMPORARY
from mlcore.store.retries import retrying
from mlcore.store.troubles import is_absent_place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlcore.store.files import Name, Reader

    Info: TypeAlias = Mapping[str, Any]  # what a filesystem of fsspec tells of a file or folder
    Infos: TypeAlias = list[Info]

# Up to here a file is read or put at once, in memory; a longer one goes by way of a local copy, or is read as it comes.
_ONE_PUT = 1 << 26
_CHUNK = 1 << 20
_INSTALL = "install the package that publishes this kind of URL for fsspec, s3fs for s3:// say, or use another store"
# These list all below a folder by one request; the `find` of others is fsspec's own, which leaves out what fails.
_FINDING = frozenset({"abfs", "gs", "s3"})
_TIMES = ("mtime", "modified", "LastModified", "last_modified", "updated", "created")
_memory = threading.Lock()


def is_conditional(fs: Any) -> bool:  # fsspec publishes no types
    """Whether a filesystem is known to put a file only where there is none, against all other writers.

    s3fs sends `If-None-Match: *` and gcsfs `ifGenerationMatch=0` for `mode="create"`, adlfs `If-None-Match: *` for
    `overwrite=False`. Releases of the first two from before they had that mode are not exclusive. Only s3fs is tested
    here, against a local server; the other two are used as they document it.
    """
    match _protocol(fs):
        case "memory" | "abfs":
            return True
        case "s3" | "gs":
            return _has_mode(fs._pipe_file)
        case _:
            return False


def conditional_put(fs: Any, path: str, data: bytes) -> None:  # fsspec publishes no types
    """Put a file where there is none, as exclusively as the filesystem can.

    Raises:
        FileExistsError: There is one.
    """
    match _protocol(fs):
        case "memory":
            with _memory:  # and not by `mode`, which releases before 2024.12 do not know
                if fs.exists(path):
                    raise FileExistsError(path)
                fs.pipe_file(path, data)
        case "abfs":
            fs.pipe_file(path, data, overwrite=False)
        case _ if is_conditional(fs):
            fs.pipe_file(path, data, mode="create")
        case _:
            fs.invalidate_cache()
            if _exists(fs, path):
                raise FileExistsError(path)
            _pipe(fs, path, data, **({"mode": "create"} if _has_mode(fs.pipe_file) else {}))


def _has_mode(method: Any) -> bool:  # a method of a filesystem of fsspec
    import inspect

    return "mode" in inspect.signature(method).parameters


def _protocol(fs: Any) -> str:  # fsspec publishes no types
    return str(fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0])


def _exists(fs: Any, path: str) -> bool:  # fsspec publishes no types
    """Ask `info`: `exists` of fsspec takes any error for a no."""
    try:
        fs.info(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        if is_absent_place(error):
            raise
        return False
    return True


def _pipe(fs: Any, path: str, data: bytes, **options: str) -> None:  # fsspec publishes no types
    try:
        fs.pipe_file(path, data, **options)
    except FileNotFoundError as error:  # a filesystem with real folders
        if is_absent_place(error):
            raise
        fs.makedirs(fs._parent(path), exist_ok=True)
        fs.pipe_file(path, data, **options)


class Remote:
    """The operations of `mlcore.store.files.Files` below a URL."""

    local = None

    def __init__(self, url: str) -> None:
        self._url = url if url.endswith("://") else url.rstrip("/")
        self._known: tuple[int, Any, str] | None = None

    @property
    def _place(self) -> tuple[Any, str]:  # a filesystem of fsspec, and the root's path in it
        if self._known is None or self._known[0] != os.getpid():  # a filesystem does not work in a forked child
            self._known = (os.getpid(), *_filesystem(self._url))
        return self._known[1:]

    @property
    def _fs(self) -> Any:  # fsspec publishes no types
        return self._place[0]

    @property
    def url(self) -> str:
        """The URL, without a slash at its end."""
        return self._url

    @property
    def exclusive(self) -> Exclusive:
        """By whether it is known to have conditional puts."""
        return "atomic" if is_conditional(self._fs) else "single-writer"

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
                retrying(lambda: self._fs.put_file(str(copy), self._path(key)))

    def _pipe(self, path: str, data: bytes) -> None:
        retrying(lambda: _pipe(self._fs, path, data))

    def create(self, key: str, data: bytes, *, sync: bool) -> bool:
        """Put a file where there is none.

        A file that holds just this content counts as made by this call: the answer to an earlier try of it, ours or
        one of the filesystem's own, may have been lost. So contents that compete for a key must differ.
        """
        path, failures = self._path(key), list[BaseException]()
        try:
            retrying(lambda: conditional_put(self._fs, path, data), failures.append)
        except FileExistsError:
            found = self._cat(path)
            if failures and self.exclusive != "atomic" and found != data and data.startswith(found):
                self._pipe(path, data)  # half of it came from the try that failed: nobody else writes here
                return True
            return found == data and (bool(failures) or self._tries_itself)
        return True

    @property
    def _tries_itself(self) -> bool:
        return _protocol(self._fs) not in {"memory", "local", "file"} and is_conditional(self._fs)

    def _cat(self, path: str) -> bytes:
        return cast("bytes", retrying(lambda: self._fs.cat_file(path)))

    def open(self, key: str) -> BinaryIO:
        """Open a file for reading. What is not very long is read at once, so that it is of one piece."""
        path = self._path(key)
        if retrying(partial(self._size, path)) <= _ONE_PUT:
            return io.BytesIO(self._cat(path))
        file = retrying(lambda: self._fs.open(path, "rb"))
        return cast("BinaryIO", io.BufferedReader(_Stream(file), _CHUNK))

    def _size(self, path: str) -> int:
        if _protocol(self._fs) == "memory":  # no request is saved there, and readers would share one position
            return 0
        return int(self._info(path)["size"] or 0)

    def _info(self, path: str) -> Info:
        self._fs.invalidate_cache()
        info = self._fs.info(path)
        if info["type"] != "file":
            raise FileNotFoundError(path)
        return cast("Info", info)

    def stat(self, key: str) -> Entry:
        """Tell about a file."""
        return _entry(retrying(lambda: self._info(self._path(key))), key)

    def list(self, prefix: str, *, recursive: bool) -> list[Entry]:
        """Tell about what is in a folder."""
        try:
            found = self._list(self._path(prefix), recursive=recursive)
        except (FileNotFoundError, NotADirectoryError) as error:
            if is_absent_place(error):
                raise
            return []
        entries = [_entry(info, self._key(info["name"])) for info in found]
        inside = [entry for entry in entries if _is_listed(entry.key) and entry.key != prefix]
        return sorted(inside, key=lambda entry: entry.key)

    def _list(self, path: str, *, recursive: bool) -> Infos:
        self._fs.invalidate_cache()
        if recursive and _protocol(self._fs) in _FINDING:
            return list(retrying(lambda: self._fs.find(path, detail=True)).values())
        found: Infos = list(retrying(lambda: self._fs.ls(path, detail=True)))
        if not recursive:
            return found
        return [each for info in found for each in (self._below(info) if info["type"] == "directory" else [info])]

    def _below(self, folder: Info) -> Infos:
        try:
            return self._list(folder["name"], recursive=True)
        except (FileNotFoundError, NotADirectoryError):  # removed since its parent was listed
            return []

    def _key(self, name: str) -> str:
        path = str(self._fs._strip_protocol(name))
        return path[len(self._place[1]) :].strip("/")

    def touch(self, key: str) -> None:
        """Do nothing: an object store would write the whole object anew."""

    def move(self, key: str, target: str) -> None:
        """Copy a file and remove the original; readers may see both."""
        self._pipe(self._path(target), self._cat(self._path(key)))
        self._remove(self._path(key))

    def remove(self, key: str) -> None:
        """Remove a file."""
        self.stat(key)  # object stores remove what is not there without a word
        self._remove(self._path(key))

    def _remove(self, path: str) -> None:
        with suppress(FileNotFoundError):  # an earlier try removed it, and failed to say so
            retrying(lambda: self._fs.rm_file(path))

    def remove_tree(self, prefix: str) -> None:
        """Remove all below a folder."""
        with suppress(FileNotFoundError):
            retrying(lambda: self._remove_tree(self._path(prefix)))

    def _remove_tree(self, path: str) -> None:
        self._fs.invalidate_cache()
        if _exists(self._fs, path):
            self._fs.rm(path, recursive=True)
            if self._list(path, recursive=True):  # `rm` of fsspec leaves out what it fails to list
                raise OSError(errno.EBUSY, "some of it is still there", path)

    def sweep(self, older_than: float) -> int:
        """Nothing is ever left behind."""
        return 0

    def _path(self, key: str) -> str:
        root = self._place[1]
        return f"{root}/{key}" if key else root


class _Stream(io.RawIOBase):
    """A file of fsspec whose reads are tried again."""

    def __init__(self, file: Any) -> None:  # fsspec publishes no types
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any, /) -> int:  # a writable buffer
        at = self.tell()
        data = retrying(lambda: self._read(at, len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def _read(self, at: int, size: int) -> bytes:
        self._file.seek(at)
        return cast("bytes", self._file.read(size))

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _filesystem(url: str) -> tuple[Any, str]:  # a filesystem of fsspec, and the path in it
    import fsspec

    try:
        fs, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise StoreError(str(error), where=url, hint=_INSTALL) from error
    return fs, path.rstrip("/")


def _head(source: Reader) -> bytes:
    """All of a source, or more of it than is put at once."""
    head = bytearray()
    while len(head) <= _ONE_PUT and (chunk := source.read(_CHUNK)):
        head += chunk
    return bytes(head)


def _is_listed(key: str) -> bool:
    return bool(key) and not any(part.startswith(TEMPORARY) for part in key.split("/"))


def _entry(info: Info, key: str) -> Entry:
    folder = info["type"] == "directory"
    return Entry(key, 0 if folder else int(info["size"] or 0), _modified(info), is_folder=folder)


def _modified(info: Info) -> float | None:
    for name in _TIMES:
        match info.get(name):
            case datetime() as moment:
                return moment.timestamp()
            case int() | float() as seconds:
                return float(seconds)
    return None
