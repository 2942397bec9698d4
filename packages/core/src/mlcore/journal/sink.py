"""Where the lines of a writer go: one appended file on a local disk, numbered segments anywhere else.

A sink takes bytes whole or not at all: after an error in `append` its content is what it was before. It is used by one
thread.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from mlcore.errors import KeyExistsError, StoreError
from mlcore.journal.lines import CLAIM
from mlcore.journal.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlcore.store import Folder

SEGMENT_BYTES = 256 * 1024
SEGMENT_SECONDS = 3.0


class Sink(Protocol):
    """Takes the lines of one writer."""

    def append(self, data: bytes, *, sync: bool) -> None:
        """Take whole lines, all or none; with `sync` they survive a power cut when this returns."""

    def ship(self, *, now: bool) -> None:
        """Bring what has been taken to where others read it: at once, or when it is time.

        Called a few times a second. After an error what was taken is still there, and the next call tries again.
        """

    def close(self) -> None:
        """Let go of the file. What still waits should have been shipped."""


def open_sink(folder: Folder, attempt: int, writer: str, guard: Callable[[], None] = lambda: None) -> Sink:
    """Create the first file of a writer, exclusively.

    Args:
        folder: The run's.
        attempt: Number of the attempt.
        writer: Name of the writer.
        guard: Called before anything is written where others read it; nothing is if it raises.

    Raises:
        KeyExistsError: The attempt has a writer of that name already.
    """
    stem = f"journal/{attempt}-{writer}"
    try:
        if folder.local is None:
            return SegmentSink(folder, stem, guard)
        return LocalSink(folder.local / f"{stem}.1.jsonl", guard)
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

    def __init__(self, path: Path, guard: Callable[[], None] = lambda: None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._fd, self._size, self._guard = path, _create(path), 0, guard
        self._torn = self._rooted = False

    def append(self, data: bytes, *, sync: bool) -> None:
        """Write whole lines."""
        if not data and not sync:
            return
        if data:
            self._guard()
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

    def ship(self, *, now: bool) -> None:
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
    """Numbered objects of a store that cannot append; what has not become one yet is in a spool of this machine.

    A segment is closed and put when 256 KB or a few seconds are full, or at once when somebody waits for it.
    """

    def __init__(self, folder: Folder, stem: str, guard: Callable[[], None]) -> None:
        # The first segment claims the name: its content is like no other's.
        folder.create(f"{stem}.1.jsonl", json.dumps({CLAIM: os.urandom(8).hex()}).encode() + b"\n")
        self._spool, self._guard = Spool.make(folder, stem), guard
        self._number, self._size, self._since = 2, 0, monotonic()
        self._open: LocalSink | None = None
        self._waiting = False

    def append(self, data: bytes, *, sync: bool) -> None:
        """Append whole lines to the open segment, in the spool."""
        if self._open is None:
            if not data:
                return
            self._open = self._begin()
        self._open.append(data, sync=sync)
        self._size += len(data)

    def _begin(self) -> LocalSink:
        path = self._spool.segment(self._number)
        try:
            segment = LocalSink(path)
        except OSError as error:
            raise _failed(error, str(path)) from error
        self._size = 0
        if not self._waiting:
            self._since = monotonic()
        return segment

    def ship(self, *, now: bool) -> None:
        """Close the open segment and put it, if it is time; those that wait since an error with it."""
        if self._open is None and not self._waiting:
            return
        if now or self._size >= SEGMENT_BYTES or monotonic() - self._since >= SEGMENT_SECONDS:
            self._finish()
            self._since = monotonic()
            self._guard()
            self._spool.ship()
            self._waiting = False

    def _finish(self) -> None:
        """Close the open segment: from here on its content is what it is."""
        if self._open is not None:
            self._open.close()
            self._open, self._waiting = None, True
            self._number, self._size = self._number + 1, 0

    def close(self) -> None:
        """Let go of the spool, and remove it if all is shipped."""
        self._finish()
        self._spool.close()
