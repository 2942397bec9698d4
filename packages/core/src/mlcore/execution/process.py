"""The executor `process`: workers on this machine, and what keeps them."""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from mlcore.errors import MlcoreError
from mlcore.execution.functions import check_function
from mlcore.execution.handle import Handle
from mlcore.execution.keys import Key
from mlcore.execution.outcomes import Outcome
from mlcore.execution.protocol import check_retries
from mlcore.execution.source import Source
from mlcore.execution.supervisor import Job, Supervisor

_GRACE = 2.0  # seconds for an idle worker to end by itself


class ProcessExecutor:
    """Calls the function in other processes of this machine, and outlives them.

    Workers are fresh interpreters: nothing is forked, and the program's main module is not run again. They see its
    `sys.path`, environment and working directory, write to its stdout and stderr, and end when it does, however it
    ends. Payloads and results are pickled on their way. Outcomes come as they become known.

    A worker that ends in the middle of a call is replaced and the call made again; so a function may be called twice
    for a payload. Calls that are quick are sent many at a time.

    Args:
        address: The number of workers, as in `process://4`.
        workers: The same as a number; as many as there are processors by default. Where several `map` are in
            progress they share the workers, but each has one at least.
        deaths: A payload whose calls have ended so many workers is given up.

    Example:
        >>> with ProcessExecutor(workers=2) as executor:
        ...     print(sorted(outcome.value for _, outcome in executor.map("math:sqrt", [1, 4, 9])))
        [1.0, 2.0, 3.0]
    """

    def __init__(self, address: str | None = None, *, workers: int | None = None, deaths: int = 3) -> None:
        self.workers = _count("workers", _number(address, workers))
        self.deaths = _count("deaths", deaths)
        self.cancelled = 0  # how often; a `map` goes on while this is what it was at its start
        self.closed = False
        self._lock = threading.RLock()
        self._idle: list[Handle] = []
        self._all: set[Handle] = set()
        self._maps: weakref.WeakSet[Generator[tuple[Key, Outcome]]] = weakref.WeakSet()
        weakref.finalize(self, _end_all, self._all)

    def map(
        self,
        function: str,
        payloads: Iterable[Any],  # plain data
        *,
        key: Callable[[Any], Key] | None = None,
        retries: int = 0,
        timeout: float | None = None,
    ) -> Iterator[tuple[Key, Outcome]]:
        """See `Executor.map`.

        Workers are served while an outcome is waited for, by the thread that waits. A call that ends its worker is made
        again whatever `retries` says, up to `deaths` times.
        """
        if self.closed:
            raise MlcoreError("the executor is closed", hint="open another one")
        _check_importable(function)
        check_retries(retries)
        _check_timeout(timeout)
        job = Job(function, retries, timeout, self.deaths)
        supervisor = Supervisor(self, job, Source(payloads, key))
        supervisor.begin()
        outcomes = supervisor.outcomes()
        self._maps.add(outcomes)
        return outcomes

    def cancel(self) -> None:
        """See `Executor.cancel`; the outcomes of the calls that run now are still yielded."""
        self.cancelled += 1
        with self._lock:
            for worker in self._all:
                worker.revoke()

    def close(self) -> None:
        """See `Executor.close`; the calls that run now are ended with their workers."""
        self.cancel()
        self.closed = True
        with self._lock:
            idle, self._idle = self._idle, []
            for worker in self._all.difference(idle):
                worker.kill()
        awaited = [outcomes for outcomes in list(self._maps) if not _closed(outcomes)]
        self.take_back(idle)
        for worker in list(self._all) if not awaited else ():  # started while an exception came, and nobody's
            self.end(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # For supervisors.

    def hire(self, function: str, *, must: bool) -> Handle | None:
        """Give a worker that has imported a function or is about to; None when there are enough.

        Args:
            function: Its path.
            must: Whether to give one however many there are.
        """
        with self._lock:
            worker = self._free_one()
            if worker is None and not self.closed and (must or len(self._all) < self.workers):
                worker = Handle()
                self._all.add(worker)
        if worker is not None:
            worker.use(function)
        return worker

    def _free_one(self) -> Handle | None:
        while self._idle:
            worker = self._idle.pop()
            if worker.alive():
                return worker
            self.end(worker)
        return None

    def take_back(self, workers: list[Handle]) -> None:
        """Keep workers for the next `map`; end them after the last, and those that are too many."""
        with self._lock:
            keep = 0 if self.closed else max(0, self.workers - len(self._all) + len(workers))
            self._idle += workers[:keep]
        for worker in workers[keep:]:
            worker.dismiss()
        for worker in workers[keep:]:
            self.end(worker, grace=_GRACE)

    def end(self, worker: Handle, *, grace: float = 0) -> None:
        """End a worker."""
        worker.end(grace)
        with self._lock:
            self._all.discard(worker)


def _closed(outcomes: Generator[object]) -> bool:
    """Close a `map`, unless somebody waits for its next outcome: its workers are gone, so that it ends there."""
    try:
        outcomes.close()
    except ValueError:
        return False
    return True


def _end_all(workers: set[Handle]) -> None:
    for worker in workers:
        worker.kill()
    while workers:
        workers.pop().end()


def _number(address: str | None, workers: int | None) -> object:
    if address:
        return int(address) if address.isdecimal() else address
    return (os.cpu_count() or 1) if workers is None else workers


def _count(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise MlcoreError(f"the executor 'process': {name}={value!r} is no positive integer", hint="as in process://4")
    return value


def _check_importable(function: str) -> None:
    check_function(function)
    if function.partition(":")[0] == "__main__":
        raise MlcoreError(
            f"{function!r} is part of the program itself, which workers do not run",
            hint="put the function into a module of its own",
        )


def _check_timeout(timeout: object) -> None:
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if timeout is not None and not (number and 0 < timeout < math.inf):  # type: ignore[operator]  # a number
        raise MlcoreError(f"timeout={timeout!r} is no positive number of seconds")
