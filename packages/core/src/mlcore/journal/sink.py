"""Where the lines of a writer go: one appended file on a local disk, numbered segments anywhere else.

A sink takes bytes whole or not at all: after an error its content is what it was before. It is used by one thread.
"""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from mlcore.errors import KeyExistsError, StoreError

if TYPE_CHECKING:
    from mlcore.store import Folder

SEGMENT_BYTES = 64 * 1024
SEGMENT_SECONDS = 3.0


class Sink(Protocol):
    """Takes the lines of one writer."""

    def append(self, data: bytes, *, sync: bool) -> None:
        """Take whole lines, all or none; with `sync` they survive a power cut when this returns.

        Called a few times a second, with nothing when there is nothing.
        """

    def ship(self) -> None:
        """Hand over what has been taken and still waits in this process."""

    def close(self) -> None:
        """Let go of the file. What still waits must have been shipped."""


def open_sink(folder: Folder, attempt: int, writer: str) -> Sink:
    """Create the first file of a writer, exclusively.

    Raises:
        KeyExistsError: The attempt has a writer of that name already.
    """
    stem = f"journal/{attempt}-{writer}"
    try:
        return SegmentSink(folder, stem) if folder.local is None else LocalSink(folder.local / f"{stem}.1.jsonl")
    except KeyExistsError as error:
        raise KeyExistsError(
            f"attempt {attempt} of this run has a journal writer named {writer!r} already",
            where=f"{folder.url}/{stem}.1.jsonl",
            hint="give each process of an attempt a writer name of its own; a resumed run gets a new attempt number",
        ) from error
    except OSError as error:
        raise _failed(error, f"{folder.url}/{stem}.1.jsonl") from error


class LocalSink:
    """One file, appended to with single writes."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._fd, self._size = path, _create(path), 0
        self._torn = self._rooted = False

    def append(self, data: bytes, *, sync: bool) -> None:
        """Write whole lines."""
        if not data and not sync:
            return
        try:
            self._cut()
            self._torn = True
            self._write(data)
            if sync:
                self._sync()
        except OSError as error:
            self._cut_if_possible()
            raise _failed(error, str(self._path)) from error
        self._size += len(data)
        self._torn = False

    def ship(self) -> None:
        """Do nothing: what was written is with the operating system."""

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def _sync(self) -> None:
        os.fsync(self._fd)
        if not self._rooted:  # the name of a new file is durable only once its folders are
            for folder in (self._path.parent, self._path.parent.parent):
                _sync_folder(folder)
            self._rooted = True

    def _cut(self) -> None:
        """Take back what a failed append left: a torn line, or lines whose numbers will be given again."""
        if self._torn:
            os.ftruncate(self._fd, self._size)
            self._torn = False

    def _cut_if_possible(self) -> None:
        try:
            self._cut()
        except OSError:
            self._torn = True  # the next append tries again before it writes, and fails with this same error


def _create(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError as error:
        raise KeyExistsError("the file exists", where=str(path)) from error


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _failed(error: OSError, where: str) -> StoreError:
    return StoreError(
        f"the journal cannot be written: {error.strerror or error}",
        where=where,
        hint="free space or restore access; what is buffered is kept and tried again",
    )


class SegmentSink:
    """Numbered objects of a store that cannot append: one when 64 KB or a few seconds are full, or on `sync`.

    What waits for that is in memory only and does not survive the process.
    """

    def __init__(self, folder: Folder, stem: str) -> None:
        self._folder, self._stem = folder, stem
        folder.create(f"{stem}.1.jsonl", b"")  # an empty first segment claims the name
        self._number, self._waiting, self._since = 1, b"", monotonic()

    def append(self, data: bytes, *, sync: bool) -> None:
        """Take whole lines, and put a segment when it is time."""
        if not self._waiting:
            self._since = monotonic()
        whole = self._waiting + data
        if sync or len(whole) >= SEGMENT_BYTES or monotonic() - self._since >= SEGMENT_SECONDS:
            self._put(whole)
        else:
            self._waiting = whole

    def ship(self) -> None:
        """Put what waits as a segment."""
        self._put(self._waiting)

    def close(self) -> None:
        """Do nothing: there is no file."""

    def _put(self, data: bytes) -> None:
        if data:
            self._folder.put_bytes(f"{self._stem}.{self._number + 1}.jsonl", data)
            self._number += 1
        self._waiting = b""
