"""One `map` of the executor `process`: who works on what, and what happens when a worker ends."""

from __future__ import annotations

import selectors
import time
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlcore.errors import MlcoreError
from mlcore.execution.outcomes import Failure, Outcome, Result, failure
from mlcore.execution.wire import Ready, loads

if TYPE_CHECKING:
    from mlcore.execution.handle import Handle
    from mlcore.execution.keys import Key
    from mlcore.execution.process import ProcessExecutor
    from mlcore.execution.source import Source, Task

_TICK = 0.1  # seconds between two looks after workers that say nothing


@dataclass(frozen=True, slots=True)
class Job:
    """What a `map` was asked for.

    Attributes:
        function: Its path.
        retries: How often a payload is run again after an exception or a timeout.
        timeout: Seconds that a call may take.
        deaths: How many workers a payload may end.
    """

    function: str
    retries: int
    timeout: float | None
    deaths: int


class Supervisor:
    """Keeps workers busy, replaces those that end, and tells each payload's outcome once.

    It acts while an outcome is waited for, in the thread that waits; there is no other.
    """

    def __init__(self, executor: ProcessExecutor, job: Job, source: Source) -> None:
        self._executor, self._job, self._source = executor, job, source
        self._cancelled = executor.cancelled
        self._selector = selectors.DefaultSelector()
        self._starting: set[Handle] = set()
        self._free: list[Handle] = []
        self._busy: set[Handle] = set()
        self._told: deque[Outcome] = deque()
        self._stillborn = 0
        self._next_look = 0.0

    def begin(self) -> None:
        """Have one worker import the function.

        Raises:
            MlcoreError: It cannot.
        """
        try:
            while not self._free and not self._executor.closed:
                if self._starting:
                    self._wait()
                else:
                    self._hire()
        finally:
            self._leave()

    def outcomes(self) -> Generator[tuple[Key, Outcome]]:
        """Yield each key with its outcome.

        Raises:
            Exception: What reading the payloads raised, after the outcomes of those before.
        """
        try:
            while not self._executor.closed:
                self._assign()
                if self._told or self._source.unfit:
                    yield from self._report()
                elif self._busy or self._source.has(1):
                    self._wait()
                else:
                    break
        finally:
            self._leave()
            self._selector.close()
        if self._source.error is not None and not self._source.closed:
            raise self._source.error

    def _report(self) -> Iterator[tuple[Key, Outcome]]:
        for outcomes in (self._source.unfit, self._told):
            while outcomes:
                outcome = outcomes.popleft()
                yield outcome.key, outcome

    # Work for workers, workers for work.

    def _assign(self) -> None:
        while not self._stopped():
            if not self._free:
                if not (self._source.has(len(self._starting) + 1) and self._hire()):
                    return
            elif batch := self._source.take(1 if self._job.timeout else self._free[-1].capacity()):
                if self._stopped():  # by the payloads
                    return
                worker = self._free.pop()
                self._busy.add(worker)
                worker.give(batch)
            else:
                return

    def _stopped(self) -> bool:
        if self._executor.cancelled == self._cancelled:
            return False
        self._source.close()
        for worker in self._busy:
            worker.take_back()
        return True

    def _hire(self) -> bool:
        worker = self._executor.hire(self._job.function, must=not (self._starting or self._free or self._busy))
        if worker is None:
            return False
        self._selector.register(worker.answers, selectors.EVENT_READ, worker)
        if worker.ready:
            self._free.append(worker)
        else:
            self._starting.add(worker)
        return True

    def _leave(self) -> None:
        """Give back the workers that can go on, and end those whose calls nobody awaits any more."""
        for worker in self._busy:
            worker.kill()
        for worker in list(self._busy):
            self._remove(worker)
            self._executor.end(worker)
        rest = [*self._free, *self._starting]
        for worker in rest:
            self._remove(worker)
        self._executor.take_back(rest)

    def _remove(self, worker: Handle) -> None:
        self._selector.unregister(worker.answers)
        self._busy.discard(worker)
        self._starting.discard(worker)
        if worker in self._free:
            self._free.remove(worker)

    # What workers say.

    def _wait(self) -> None:
        for chosen, _ in self._selector.select(self._patience()):
            self._listen(chosen.data)
        if time.monotonic() >= self._next_look:
            self._look_after()
            self._next_look = time.monotonic() + self._patience()

    def _patience(self) -> float:
        if self._job.timeout is None or not self._busy:
            return _TICK
        first = min(worker.since for worker in self._busy) + self._job.timeout
        return max(0.0, min(_TICK, first - time.monotonic()))

    def _listen(self, worker: Handle) -> None:
        try:
            messages = worker.read()
        except EOFError:
            self._bury(worker)
            return
        for message in messages:
            if isinstance(message, Ready):
                self._welcome(worker, message)
            else:
                self._hear(worker, *message)

    def _welcome(self, worker: Handle, message: Ready) -> None:
        if not worker.welcome(message):
            return
        if message.error is not None:
            raise _import_error(self._job.function, message)
        self._stillborn = 0
        self._starting.discard(worker)
        self._free.append(worker)

    def _hear(self, worker: Handle, told: tuple[float, bytes] | Failure | None, over: bool) -> None:
        if told is not None:
            self._note(worker.told(), worker, told)
        if over:
            self._source.put_back(worker.batch)
            worker.batch.clear()
            self._busy.discard(worker)
            self._free.append(worker)

    def _note(self, task: Task, worker: Handle, told: tuple[float, bytes] | Failure) -> None:
        task.attempts += 1
        if isinstance(told, Failure):
            self._failed(task, replace(told, key=task.key), final=told.attempts == 0)
        else:
            worker.took(told[0])
            self._told.append(_result(task, *told))

    def _failed(self, task: Task, told: Failure, *, final: bool = False) -> None:
        if not (final or self._source.closed) and task.attempts - task.deaths <= self._job.retries:
            self._source.put_back([task])
        else:
            self._told.append(replace(told, attempts=0 if final else task.attempts, deaths=task.deaths))

    # What becomes of workers that do not answer.

    def _look_after(self) -> None:
        now = time.monotonic()
        for worker in [*self._busy, *self._starting]:
            if not worker.alive():
                self._listen(worker)
                if worker in self._busy or worker in self._starting:  # what it has started holds its end of the pipe
                    self._bury(worker)
            elif self._job.timeout is not None and worker.batch and now - worker.since >= self._job.timeout:
                self._overdue(worker)
            elif len(worker.batch) > 1 and now - worker.since > _TICK:
                self._source.put_back(worker.take_back())  # others may have them: the call that it is at takes long

    def _overdue(self, worker: Handle) -> None:
        task = worker.told()
        self._remove(worker)
        self._executor.end(worker)
        task.attempts += 1
        text = f"the call took longer than {self._job.timeout:g} s, and its worker was ended"
        self._failed(task, Failure(task.key, "TimeoutError", text, "", 1))

    def _bury(self, worker: Handle) -> None:
        starting = worker in self._starting
        tasks = list(worker.batch)  # an outcome is told before the next call begins: the first one's call has ended it
        how = worker.ended()
        self._remove(worker)
        self._executor.end(worker)
        if starting:
            self._mourn(how)
        elif tasks:
            self._source.put_back(tasks[1:])
            self._killed(tasks[0], how)

    def _killed(self, task: Task, how: str) -> None:
        task.attempts += 1
        task.deaths += 1
        if task.deaths < self._job.deaths and not self._source.closed:
            self._source.put_back([task])
            return
        workers = "a worker, which" if task.deaths == 1 else f"{task.deaths} workers, the last of which"
        text = f"payload {task.key!r} ended {workers} {how}"
        self._told.append(Failure(task.key, "WorkerDied", text, "", task.attempts, task.deaths))

    def _mourn(self, how: str) -> None:
        self._stillborn += 1
        if self._stillborn >= self._job.deaths and not self._executor.closed:
            raise MlcoreError(
                f"{self._stillborn} workers in a row ended before they had imported {self._job.function!r};"
                f" the last one {how}",
                hint="what they wrote to stderr may say why",
            )


def _result(task: Task, seconds: float, data: bytes) -> Outcome:
    try:
        return Result(task.key, loads(data), seconds)
    except Exception as error:  # noqa: BLE001  the outcome tells it
        what = f"the result for payload {task.key!r} is no plain data, it cannot be read here: "
        return failure(task.key, error, task.attempts, what=what)


def _import_error(function: str, message: Ready) -> MlcoreError:
    error = message.error
    if isinstance(error, MlcoreError):
        hint = error.hint or "a worker imports it by its name: it must be in a file in one of the folders of sys.path"
        return MlcoreError(error.what, where=error.where, hint=hint)
    raised = MlcoreError(f"a worker cannot import {function!r}: {type(error).__qualname__}: {error}")
    raised.__cause__ = error
    raised.add_note(f"in the worker:\n{message.traceback}")
    return raised
