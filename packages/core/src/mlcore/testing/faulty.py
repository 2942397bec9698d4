"""A filesystem of fsspec that fails on purpose, on top of one that does not.

    faulty://memory,seed=3,errors=0.1,lost=0.05/path      over memory://path
    faulty://file,torn=0.1/absolute/path                  over a local folder

Importing this module makes `faulty://` known to fsspec. What goes wrong is drawn from the seed, in the order of the
calls. The rates are chances of each call:

    errors   it fails, and nothing was done
    lost     it is done, and its answer is lost: it fails all the same
    torn     a put stores part of the content and fails
    delays   it takes up to `pause` seconds longer (0.01)

Real object stores do the first two and the last; the third happens where a put is not one request.
"""

from __future__ import annotations

import errno
import os
import random
import time
from collections import Counter
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

import fsspec
from fsspec.spec import AbstractFileSystem

from mlcore.store.keys import TEMPORARY

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PROTOCOL: Final = "faulty"
_RATES = ("errors", "lost", "torn", "delays")
_creating = Lock()


def faulty_url(path: str, target: str = "memory", **options: float) -> str:
    """The URL of a place on the filesystem that fails.

    Args:
        path: In the filesystem below.
        target: Protocol of that filesystem.
        options: `seed`, `pause`, and the rates: `errors`, `lost`, `torn`, `delays`.

    Example:
        >>> faulty_url("shelf", seed=3, errors=0.1)
        'faulty://memory,seed=3,errors=0.1/shelf'
    """
    words = [target, *(f"{name}={value}" for name, value in options.items())]
    return f"{PROTOCOL}://{','.join(words)}/{path.lstrip('/')}"


class FaultyFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec publishes no types
    """See the module. `happened` counts what went wrong, by kind; with `calm = True` nothing does.

    `pipe_file(mode="create")` is exclusive within a process, and tears nothing, as the conditional puts of object
    stores.
    """

    protocol = PROTOCOL
    root_marker = ""

    def __init__(
        self,
        target: str = "memory",
        *,
        seed: float = 0,
        errors: float = 0,
        lost: float = 0,
        torn: float = 0,
        delays: float = 0,
        pause: float = 0.01,
        **options: Any,  # fsspec's own
    ) -> None:
        super().__init__(**options)
        self.below = fsspec.filesystem(target)
        self.rates = dict(zip(_RATES, (errors, lost, torn, delays), strict=True))
        self.pause, self.calm = pause, False
        self.happened: Counter[str] = Counter()
        self._random, self._drawing = random.Random(int(seed)), Lock()  # noqa: S311 - repeatable, not secret

    @classmethod
    def _get_kwargs_from_urls(cls, path: str) -> dict[str, Any]:  # options of __init__
        head = path.removeprefix(f"{PROTOCOL}://").partition("/")[0]
        target, *words = head.split(",")
        given = dict(word.split("=", 1) for word in words)
        return {"target": target, **{name: float(value) for name, value in given.items()}}

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        if path.startswith(f"{PROTOCOL}://"):
            path = path.removeprefix(f"{PROTOCOL}://").partition("/")[2]
        return path.strip("/")

    def _happens(self, kind: str) -> bool:
        with self._drawing:
            drawn = self._random.random()
        if self.calm or drawn >= self.rates[kind]:
            return False
        self.happened[kind] += 1
        return True

    def _fail(self, doing: str) -> None:
        with self._drawing:
            drawn = self._random.randrange(3)
        if drawn == 0:
            raise ConnectionResetError(errno.ECONNRESET, f"on purpose, while it was to {doing}")
        if drawn == 1:
            raise TimeoutError(f"on purpose, while it was to {doing}")
        raise OSError(errno.EBUSY, f"Please reduce your request rate: on purpose, while it was to {doing}")

    def _ask(self, doing: str, call: Callable[[], T]) -> T:
        """Read something: it may fail, and take long."""
        if self._happens("delays"):
            time.sleep(self.pause * self._random.random())
        if self._happens("errors"):
            self._fail(doing)
        return call()

    def _change(self, doing: str, call: Callable[[], object]) -> None:
        """Change something: its answer may be lost besides."""
        self._ask(doing, call)
        if self._happens("lost"):
            self._fail(doing)

    def _place(self, path: str) -> str:
        return str(self.below._strip_protocol(f"/{self._strip_protocol(path)}"))

    def _told(self, info: dict[str, Any]) -> dict[str, Any]:  # what a filesystem of fsspec tells
        return {**info, "name": str(info["name"]).strip("/")}

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # names, or what a filesystem tells
        """List a folder."""
        found = self._ask("list", lambda: self.below.ls(self._place(path), detail=True))
        told = [self._told(info) for info in found]
        return told if detail else [info["name"] for info in told]

    def info(self, path: str, **_: Any) -> dict[str, Any]:  # what a filesystem of fsspec tells
        """Tell about a file or folder."""
        return self._told(self._ask("look", lambda: self.below.info(self._place(path))))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Read a file, or a part of it."""
        data = self._ask("read", lambda: self.below.cat_file(self._place(path), start=start, end=end))
        return bytes(data)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        """Write a file."""
        place = self._place(path)
        if mode == "create":
            return self._change("create", lambda: self._create(place, value))
        if self._happens("torn"):
            self.below.pipe_file(place, value[: self._random.randrange(len(value) + 1)])
            self._fail("write")
        return self._change("write", lambda: self._write(place, value))

    def _write(self, place: str, value: bytes) -> object:
        """Put a file that is whole at once, also over a local filesystem, which fsspec writes in place."""
        if "file" not in self.below.protocol:
            return self.below.pipe_file(place, value)
        draft = Path(place).with_name(f"{TEMPORARY}{os.urandom(8).hex()}")
        draft.write_bytes(value)
        return draft.replace(place)

    def _create(self, place: str, value: bytes) -> None:
        with _creating:
            if self.below.exists(place):
                raise FileExistsError(place)
            self._write(place, value)

    def put_file(self, lpath: str, rpath: str, callback: object = None, mode: str = "overwrite", **_: Any) -> None:
        """Write a file that is a copy of a local one."""
        with open(lpath, "rb") as file:  # noqa: PTH123 - fsspec gives text
            self.pipe_file(rpath, file.read(), mode=mode)

    def rm_file(self, path: str) -> None:
        """Remove a file."""
        self._change("remove", lambda: self.below.rm_file(self._place(path)))

    def rm(self, path: str, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove a file, or a folder with all that is in it."""
        self._change("remove", lambda: self.below.rm(self._place(path), recursive=recursive, maxdepth=maxdepth))

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder and those above it."""
        self._change("make a folder", lambda: self.below.makedirs(self._place(path), exist_ok=exist_ok))

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:  # a file of fsspec
        return self._ask("open", lambda: self.below.open(self._place(path), mode, **options))


fsspec.register_implementation(PROTOCOL, FaultyFileSystem, clobber=True)
