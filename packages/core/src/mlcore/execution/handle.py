"""The executor's end of one worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any

from mlcore.execution.source import Task
from mlcore.execution.wire import Inbox, Ready, Use, send

# `sys.path` comes first: without it a worker may not find mlcore.
_START = (
    "import os, pickle, sys; tasks, claims, answers, lifeline = map(int, sys.argv[1:]); "
    "size = int.from_bytes(os.read(lifeline, 8)); data = b''\n"
    "while len(data) < size: data += os.read(lifeline, size - len(data))\n"
    "sys.path[:] = pickle.loads(data); sys.argv[1:] = []\n"
    "from mlcore.execution.worker import main; main(tasks, claims, answers, lifeline)"
)
_QUICK = 0.005  # a batch is as many calls as fit into so many seconds,
_MOST = 256  # but no more than these, for which there is room in the pipe of claims


class Handle:
    """Starts a worker, gives it batches, reads its answers, ends it.

    Attributes:
        answers: The pipe to wait at.
        ready: Whether it has imported its function.
        batch: The tasks that it has and has told no outcome of, in its order.
        since: When the batch was sent.
    """

    def __init__(self) -> None:
        self.ready = False
        self.batch: deque[Task] = deque()
        self.since = 0.0
        self._function: str | None = None
        self._pace: float | None = None  # seconds of a call, on average
        self._ours: list[int] = []
        self._lock = threading.Lock()  # `revoke` comes from any thread
        self._owner = os.getpid()
        self._start()

    def _start(self) -> None:
        theirs: list[int] = []
        try:
            tasks, claims, answers, lifeline = (self._pipe(theirs, ours_writes=writes) for writes in (1, 1, 0, 1))
            # Both sides take from the one pipe, by their own descriptors; neither may wait for the other.
            self._claims_back = os.dup(theirs[1])
            self._ours.append(self._claims_back)
            os.set_blocking(self._claims_back, False)
            os.set_blocking(answers, False)
            self._tasks, self._claims, self._lifeline = tasks, claims, lifeline
            self.answers, self._inbox = answers, Inbox(answers)
            # A group of its own: Ctrl+C reaches this process only, which then decides; and what a function has started
            # can be ended with its worker.
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, *map(str, theirs)],
                stdin=subprocess.DEVNULL,
                pass_fds=theirs,
                process_group=0,
            )
        except BaseException:
            self._close()
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        with suppress(BrokenPipeError):
            send(self._lifeline, sys.path)

    def _pipe(self, theirs: list[int], *, ours_writes: int) -> int:
        reader, writer = os.pipe()
        ours, other = (writer, reader) if ours_writes else (reader, writer)
        self._ours.append(ours)
        theirs.append(other)
        return ours

    def use(self, function: str) -> None:
        """Have it import a function, unless it has; it becomes `ready`, or answers with the error."""
        if function != self._function:
            self._function, self._pace, self.ready = function, None, False
            self._send(Use(function, list(sys.path)))

    def welcome(self, message: Ready) -> bool:
        """Take note of its answer to `use`; whether it is about the function of now."""
        if message.function != self._function:
            return False
        self.ready = message.error is None
        if not self.ready:
            self._function = None
        return True

    def capacity(self) -> int:
        """How many tasks to give it: one until it is known to be quick."""
        return 1 if self._pace is None else max(1, min(_MOST, int(_QUICK / max(self._pace, 1e-9))))

    def give(self, batch: list[Task]) -> None:
        """Send tasks; it has none."""
        self.batch.extend(batch)
        self.since = time.monotonic()
        os.write(self._claims, bytes(len(batch)))
        self._send([task.data for task in batch])

    def _send(self, message: Any) -> None:  # a message of `wire`
        with suppress(BrokenPipeError):  # it has ended, which will be noticed
            send(self._tasks, message)

    def told(self) -> Task:
        """Take off the task whose call has ended."""
        return self.batch.popleft()

    def took(self, seconds: float) -> None:
        """Note how long a call took."""
        self._pace = seconds if self._pace is None else self._pace + (seconds - self._pace) / 4

    def revoke(self) -> int:
        """Forbid it to start what it has not started, and say how many tasks these are."""
        with self._lock, suppress(BlockingIOError):
            return len(os.read(self._claims_back, _MOST)) if self._ours else 0
        return 0

    def take_back(self) -> list[Task]:
        """Take the tasks from it that it has not started."""
        return [self.batch.pop() for _ in range(self.revoke())][::-1]

    def read(self) -> list[Any]:  # messages of `wire`
        """Read what it has answered.

        Raises:
            EOFError: It has ended.
        """
        try:
            return self._inbox.read()
        except BlockingIOError:
            return []

    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def ended(self) -> str:
        """End a process that has ended or is about to, and say how it ended."""
        self.end(grace=1)
        code = self._process.returncode
        return f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit status {code}"

    def dismiss(self) -> None:
        """Let a worker without a batch end by itself, which `end` then awaits."""
        os.close(self._tasks)
        self._ours.remove(self._tasks)

    def kill(self) -> None:
        """End the process at once, with what it has started."""
        if os.getpid() != self._owner:
            return  # a fork of this process, which has no workers
        with suppress(ProcessLookupError, PermissionError):  # macOS says so of a group that has ended
            os.killpg(self._process.pid, signal.SIGKILL)

    def end(self, grace: float = 0) -> None:
        """Give everything back; so many seconds are waited before the process is killed."""
        if grace:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=grace)
        self.kill()
        self._process.wait()
        self._close()

    def _close(self) -> None:
        with self._lock:
            while self._ours:
                os.close(self._ours.pop())


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
