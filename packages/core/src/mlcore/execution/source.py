"""What a `map` of the executor `process` has still to run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mlcore.execution.keys import Key, Keys
from mlcore.execution.outcomes import Failure, failure
from mlcore.execution.wire import dumps

_MANY_BYTES = 1 << 18  # of payloads; more are not taken at once


@dataclass(slots=True)
class Task:
    """A payload on its way.

    Attributes:
        key: Its key.
        data: The pickled payload.
        attempts: How many calls of it have ended, in whatever way.
        deaths: How many of them ended their worker.
    """

    key: Key
    data: bytes
    attempts: int = 0
    deaths: int = 0


class Source:
    """Gives the tasks that came back, then those that it makes of payloads.

    Args:
        payloads: Plain data.
        key: Names a payload.

    Attributes:
        error: What reading the payloads raised; none is read any more.
        unfit: Failures of payloads that cannot be sent.
        closed: Whether nothing more may be run.
    """

    def __init__(self, payloads: Iterable[Any], key: Callable[[Any], Key] | None) -> None:  # plain data
        self._payloads, self._keys = iter(payloads), Keys(key)
        self._tasks: deque[Task] = deque()
        self._read_all = False
        self.error: Exception | None = None
        self.unfit: deque[Failure] = deque()
        self.closed = False

    def close(self) -> None:
        """Have nothing more."""
        self.closed = True
        self._tasks.clear()

    def put_back(self, tasks: Iterable[Task]) -> None:
        """Keep tasks that are to be run before all others."""
        if not self.closed:
            self._tasks.extendleft(reversed(list(tasks)))

    def has(self, count: int) -> bool:
        """Whether there are so many tasks; reads as many payloads as that takes."""
        while len(self._tasks) < count and not (self._read_all or self.closed):
            self._read()
        return len(self._tasks) >= count

    def take(self, count: int) -> list[Task]:
        """Take so many tasks, or fewer when they are large or there are no more."""
        tasks: list[Task] = []
        size = 0
        while len(tasks) < count and size < _MANY_BYTES and self.has(1):
            tasks.append(self._tasks.popleft())
            size += len(tasks[-1].data)
        return tasks

    def _read(self) -> None:
        try:
            payload = next(self._payloads)
        except StopIteration:
            self._read_all = True
            return
        except Exception as error:  # noqa: BLE001  raised when the calls that run now are over
            self._read_all, self.error = True, error
            return
        self._add(payload)

    def _add(self, payload: Any) -> None:  # plain data
        try:
            key = self._keys.next(payload)
        except Exception as error:  # noqa: BLE001  likewise
            self._read_all, self.error = True, error
            return
        try:
            self._tasks.append(Task(key, dumps(payload)))
        except Exception as error:  # noqa: BLE001  the outcome tells it
            self.unfit.append(failure(key, error, 0, what=f"payload {key!r} is no plain data: "))
