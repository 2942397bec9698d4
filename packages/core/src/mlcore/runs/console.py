"""Keeping what this process and its children print in a file, while it is shown as ever.

Everything that goes to the file descriptors 1 and 2 passes through `copier`, so also what C code and child processes
print. Where the two lead to one place, as in a terminal, they share a channel and the order is exact. Where they lead
to two places, Python's own streams wait for each other; what one child prints to both is in the order of reading.
"""

from __future__ import annotations

import fcntl
import io
import os
import subprocess
import sys
import termios
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

_COPIER = Path(__file__).with_name("copier.py")
# How long a stream waits at most for what was written to the other one to be copied.
_PATIENCE = 0.05
_PAUSE = 0.0001


class Console:
    """Within its `with` block, what is printed is appended to a file as well.

    Args:
        path: The file.

    Attributes:
        trouble: Why the file could not be written to its end, if so.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.trouble: str | None = None

    def __enter__(self) -> Self:
        self._before = sys.stdout, sys.stderr
        _flush(*self._before)
        self._log = self._path.open("ab", buffering=0)
        with ExitStack() as failing:
            failing.callback(self._log.close)
            self._start_copier()
            failing.pop_all()
        self._real = os.dup(1), os.dup(2)
        os.dup2(self._ends[0], 1)
        os.dup2(self._ends[-1], 2)
        out, err = self._ends if len(self._ends) > 1 else (None, None)
        self._streams = _stream(1, err, "<stdout>", "strict"), _stream(2, out, "<stderr>", "backslashreplace")
        sys.stdout, sys.stderr = self._streams
        return self

    def _start_copier(self) -> None:
        one_place = os.path.samestat(os.fstat(1), os.fstat(2))
        channels = {target: _channel(target) for target in ((1,) if one_place else (1, 2))}
        self._ends = [end for _, end in channels.values()]
        asked, self._ask = os.pipe()
        self._answer, answering = os.pipe()
        own = [self._log.fileno(), asked, answering, *(source for source, _ in channels.values())]
        routes = [f"{source}:{target}" for target, (source, _) in channels.items()]
        # A session of its own: Ctrl+C is for the run, whose last words are still to be copied.
        self._copier = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_COPIER), *map(str, own[:3]), *routes],
            stdin=subprocess.DEVNULL, pass_fds=own, start_new_session=True,
        )  # fmt: skip
        for descriptor in own[1:]:
            os.close(descriptor)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _flush(sys.stdout, sys.stderr, *self._streams)
        sys.stdout, sys.stderr = self._before
        for target, real in enumerate(self._real, start=1):
            os.dup2(real, target)
            os.close(real)
        for end in self._ends:
            os.close(end)
        self._wait_for_copier()
        self._end_line()
        self._log.close()

    def _wait_for_copier(self) -> None:
        """Until everything printed so far is in the file; children that live on may print more."""
        with suppress(BrokenPipeError):
            os.write(self._ask, b".")
        os.close(self._ask)
        with os.fdopen(self._answer, "rb") as answer:
            self.trouble = answer.read().decode() or None
        with suppress(subprocess.TimeoutExpired):
            self._copier.wait(timeout=0.1)

    def _end_line(self) -> None:
        """End the line that was printed last, here and there, so that what comes next begins one."""
        with self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            begun = file.read(1) not in (b"", b"\n")
        for place in (self._log.fileno(), 1) if begun else ():
            with suppress(OSError):
                os.write(place, b"\n")


def _flush(*streams: TextIO | None) -> None:
    for stream in streams:
        with suppress(OSError, ValueError):  # closed, or nobody reads any more
            if stream is not None:
                stream.flush()


def _channel(target: int) -> tuple[int, int]:
    """Where to read and where to write, alike to where the target leads: a terminal for a terminal, else a pipe."""
    if os.isatty(target):
        with suppress(OSError, termios.error):  # there may be no terminals to be had
            return _terminal(target)
    return os.pipe()


def _terminal(target: int) -> tuple[int, int]:
    attributes = termios.tcgetattr(target)
    attributes[1] &= ~termios.OPOST  # the real one processes what is written
    size = fcntl.ioctl(target, termios.TIOCGWINSZ, bytes(8))
    source, end = os.openpty()
    termios.tcsetattr(end, termios.TCSANOW, attributes)
    fcntl.ioctl(end, termios.TIOCSWINSZ, size)
    return source, end


def _stream(descriptor: int, other: int | None, name: str, errors: str) -> TextIO:
    """A text stream that is written a line at a time, so that a killed run loses nothing that was printed."""
    raw = _Turns(descriptor, other)
    raw.name = name
    buffer = io.BufferedWriter(raw)  # type: ignore[type-var]  # the name of a FileIO is declared read-only
    return io.TextIOWrapper(buffer, encoding="utf-8", errors=errors, line_buffering=True)


class _Turns(io.FileIO):
    """Writes to a file descriptor when what was written to the other one has been copied.

    Args:
        descriptor: To write to.
        other: A pipe, or None where there is one channel for both.
    """

    name: str

    def __init__(self, descriptor: int, other: int | None) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._other = other

    def write(self, data: bytes) -> int:  # type: ignore[override]  # any buffer
        """Wait, then write."""
        if self._other is not None:
            deadline = time.monotonic() + _PATIENCE
            while _waiting(self._other) and time.monotonic() < deadline:
                time.sleep(_PAUSE)
        return super().write(data)


def _waiting(pipe: int) -> bool:
    """Whether something in a pipe has not been read yet."""
    try:
        return any(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))
    except OSError:
        return False
