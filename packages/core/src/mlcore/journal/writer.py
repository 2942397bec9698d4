"""The writing end of a journal: one process's own file.

`log` only appends to a list. One daemon thread owns everything else: it numbers, encodes and writes, so that Ctrl+C can
never land between a write and the note that it was made, and a signal handler may write while the program writes. The
thread exists from construction to `close`, for it also writes the heartbeat.
"""

from __future__ import annotations

import atexit
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from time import time as clock
from typing import TYPE_CHECKING, SupportsFloat

from mlcore.errors import MlcoreError, StoreError, SupersededError
from mlcore.journal.lines import BEAT, HEAD, POINTS, LoggedPoint, encode_fields, encode_points, encode_record
from mlcore.journal.points import LARGEST_STEP, checked_items, checked_step, checked_time, checked_value
from mlcore.journal.sink import open_sink

if TYPE_CHECKING:
    from mlcore.store import Folder

FLUSH_SECONDS = 0.25
FLUSH_POINTS = 1600  # about 64 KB of lines
FULL_POINTS = 500_000  # from here on `log` waits for the disk, or tells its error
CHUNK_POINTS = 4096

_WRITER = re.compile("[A-Za-z0-9_]{1,64}")


@dataclass(slots=True)
class _Request:
    """What a caller waits for: a record stored, or (without a tail) everything handed over."""

    time: float = 0.0
    tail: str | None = None
    sync: bool = False
    last: bool = False
    reply: SimpleQueue[int | Exception] = field(default_factory=SimpleQueue)


class JournalWriter:
    """Writes the journal of one process of one attempt.

    Points survive SIGKILL after 0.25 s or 64 KB, records when `write` returns, and power loss when it returns with
    `sync=True`. When the disk fails, what is buffered is kept and tried again; until that succeeds every call raises
    the error. On a store that cannot append, all this is true of a spool on this machine. From there records with
    `sync` are brought to the store before `write` returns, and everything else within seconds; what could not be
    shipped stays in the spool, and is shipped later.

    Args:
        folder: The run's folder.
        attempt: The number of the attempt.
        writer: The name of this process among those of the attempt: letters, digits and underscores.
        guard: Called before each writing to the store, by a background thread; what it raises is raised to the caller,
            and nothing is written there. After a SupersededError nothing is written any more.
        beat_seconds: A `beat` record is written when so long nothing else was; None writes none.

    Raises:
        KeyExistsError: The attempt has a writer of that name already.

    Example:
        >>> with JournalWriter(folder, attempt=1) as journal:  # doctest: +SKIP
        ...     journal.log(10, {"valid.loss": 0.1})
        ...     journal.write("status", sync=True, status="finished")
    """

    def __init__(
        self,
        folder: Folder,
        attempt: int,
        writer: str = "main",
        guard: Callable[[], None] | None = None,
        *,
        beat_seconds: float | None = 15.0,
    ) -> None:
        self._key = _checked_key(attempt, writer)
        self._beat_seconds = beat_seconds
        self._pending: list[LoggedPoint] = []
        self._inbox: SimpleQueue[_Request | None] = SimpleQueue()
        self._trouble: Exception | None = None
        self._woken = self._closed = False
        self._kept = True  # whether all that was taken is at least in the spool
        self._seq, self._wrote, self._pid = 0, monotonic(), os.getpid()
        self._sink = open_sink(folder, attempt, writer, guard or _allow)
        self._thread = Thread(target=self._work, name=f"mlcore-journal-{self._key}", daemon=True)
        self._thread.start()
        atexit.register(self._close_at_exit)

    def log(self, step: float, values: Mapping[str, SupportsFloat], time: float | None = None) -> None:
        """Add one point to each named series; all or, when one is not a number, none.

        Args:
            step: Where on the axis of the series: an integer or a finite float.
            values: Real numbers by series name; NaN and the infinities are kept.
            time: Seconds since the epoch, kept to the millisecond; now, when left out.
        """
        if self._trouble is not None or os.getpid() != self._pid:
            self._refuse()
        if type(step) is not int or not -LARGEST_STEP < step < LARGEST_STEP:
            step = checked_step(step)
        now = clock() if time is None else checked_time(time)
        pending = self._pending
        # One `extend` is one step for the interpreter: no lock, and the points of one call stay together.
        pending.extend(
            [
                (name, step, now, value if type(value) is float and type(name) is str else checked_value(name, value))
                for name, value in checked_items(values)
            ]
        )
        if len(pending) >= FLUSH_POINTS:
            self._press(len(pending))

    def write(self, kind: str, /, *, sync: bool = False, **fields: object) -> int:
        """Store one record after the points logged before it, and give its sequence number.

        Args:
            kind: The record's type.
            sync: Return only when the record survives a power cut.
            fields: JSON values by name.
        """
        now = round(clock(), 3)
        self._check()
        return self._ask(_Request(now, encode_fields(_checked_kind(kind, fields), fields), sync))

    def flush(self) -> None:
        """Hand over everything logged so far to the operating system, or to the store."""
        self._ask(_Request())

    def positions(self) -> dict[str, int]:
        """Flush, and give the last sequence number: what a checkpoint keeps to say how far the journal counts."""
        return {self._key: self._ask(_Request())}

    def close(self) -> None:
        """Flush and let go of the file; a second call does nothing.

        Raises:
            StoreError: What is buffered could not be written: then the writer stays open, and goes on trying. Or it
                could not be shipped: then it stays in the spool.
        """
        if self._closed or os.getpid() != self._pid:  # a forked child has nothing of its own to close
            return
        self._ask(_Request(last=True))

    def _close_at_exit(self) -> None:
        try:
            self.close()
        except MlcoreError as error:
            sys.stderr.write(f"warning: the end of the journal {self._key} is not in the store: {error}\n")

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # In the caller

    def _check(self) -> None:
        if os.getpid() != self._pid:
            raise MlcoreError(
                f"the journal writer {self._key} belongs to process {self._pid}, this is its child {os.getpid()}",
                hint="open a JournalWriter with another writer name in the child process",
            )
        if self._closed:
            raise MlcoreError(f"the journal writer {self._key} is closed", hint="log and write before close()")

    def _refuse(self) -> None:
        self._check()
        if self._trouble is not None:  # it may have healed in between
            raise self._trouble

    def _press(self, waiting: int) -> None:
        """Wake the thread early; wait for it when it has fallen far behind."""
        if not self._woken:
            self._woken = True
            self._inbox.put(None)
        if waiting >= FULL_POINTS:
            self.flush()

    def _ask(self, request: _Request) -> int:
        self._check()
        self._inbox.put(request)
        while True:
            try:
                answer = request.reply.get(timeout=1)
            except Empty:
                self._check_thread()
                continue
            if isinstance(answer, Exception):
                raise answer
            return answer

    def _check_thread(self) -> None:
        self._check()
        if sys.is_finalizing() or not self._thread.is_alive():
            raise StoreError(f"the journal writer {self._key} has stopped: the interpreter is ending")

    # In the thread

    def _work(self) -> None:
        while not self._closed:
            self._turn(self._next_requests())
            self._ship_in_time()

    def _next_requests(self) -> list[_Request]:
        try:
            items = [self._inbox.get(timeout=FLUSH_SECONDS)]
        except Empty:
            return []
        while not self._inbox.empty():
            items.append(self._inbox.get())
        return [item for item in items if item is not None]

    def _turn(self, requests: list[_Request]) -> None:
        """Store what there is, and tell those who wait how it went."""
        self._woken = False
        try:
            answers: Sequence[int | Exception] = self._store(requests)
            trouble: Exception | None = None
        except Exception as error:  # noqa: BLE001  every caller is told from now on, until a later turn succeeds
            answers, trouble = [error] * len(requests), error
        if any(request.last for request in requests) and (self._kept or isinstance(trouble, SupersededError)):
            self._end()
            trouble = MlcoreError(f"the journal writer {self._key} is closed")
        self._trouble = trouble
        for request, answer in zip(requests, answers, strict=True):
            request.reply.put(answer)

    def _store(self, requests: list[_Request]) -> list[int]:
        if isinstance(self._trouble, SupersededError):
            raise self._trouble
        taken = len(self._pending)
        lines = self._point_lines(self._pending[:taken])
        numbers = []
        for request in requests:
            if request.tail is not None:
                lines.append(encode_record(self._seq + len(lines) + 1, request.time, request.tail))
            numbers.append(self._seq + len(lines))
        if not lines and self._silent():
            lines.append(encode_record(self._seq + 1, round(clock(), 3), encode_fields(BEAT, {})))
        self._kept = False
        self._append(lines, sync=any(request.sync for request in requests))
        del self._pending[:taken]
        self._kept = True
        if any(request.sync or request.tail is None for request in requests):
            self._sink.ship(now=True)
        return numbers

    def _ship_in_time(self) -> None:
        """Ship what nobody waits for. Where the store is out of reach it stays in the spool until somebody does."""
        try:
            if not self._closed:
                self._sink.ship(now=False)
        except StoreError:
            return
        except Exception as error:  # noqa: BLE001  every caller is told
            self._trouble = error

    def _append(self, lines: list[str], *, sync: bool) -> None:
        self._sink.append("".join(lines).encode(), sync=sync)
        if lines:
            self._seq += len(lines)
            self._wrote = monotonic()

    def _point_lines(self, points: list[LoggedPoint]) -> list[str]:
        series: dict[str, list[LoggedPoint]] = {}
        for point in points:
            series.setdefault(point[0], []).append(point)
        chunks = [rows[at : at + CHUNK_POINTS] for rows in series.values() for at in range(0, len(rows), CHUNK_POINTS)]
        now = round(clock(), 3)
        return [encode_points(seq, now, chunk) for seq, chunk in enumerate(chunks, self._seq + 1)]

    def _silent(self) -> bool:
        return self._beat_seconds is not None and monotonic() - self._wrote >= self._beat_seconds

    def _end(self) -> None:
        self._closed = True
        atexit.unregister(self._close_at_exit)
        self._sink.close()


def _allow() -> None:
    """Guard nothing."""


def _checked_key(attempt: int, writer: str) -> str:
    if not 1 <= attempt < 10**9:
        raise MlcoreError(f"{attempt!r} is not an attempt number", hint="attempts are numbered 1, 2, 3, …")
    if not _WRITER.fullmatch(writer):
        raise MlcoreError(f"{writer!r} is not a writer name", hint="use letters, digits and underscores (at most 64)")
    return f"{attempt}-{writer}"


def _checked_kind(kind: str, fields: Mapping[str, object]) -> str:
    if not kind or kind == POINTS:
        hint = "points are written with log()" if kind == POINTS else "a type is text, such as 'status'"
        raise MlcoreError(f"{kind!r} cannot be the type of a record", hint=hint)
    taken = [name for name in HEAD if name in fields]
    if taken:
        raise MlcoreError(
            f"{taken[0]!r} is a field of every record; a {kind!r} record cannot give it", hint="rename it"
        )
    return kind
