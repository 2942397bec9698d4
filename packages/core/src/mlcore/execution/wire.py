"""Messages between an executor's process and its workers.

They are pickles on pipes that nobody else can reach: each side reads only what the other one, its own parent or
child, has written. What comes from users, payloads and values, is pickled by itself within them, so that what cannot
be read is known by its key.
"""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from typing import Any, TypeAlias

from mlcore.execution.outcomes import Failure

_SIZE = 8  # bytes before each message that say how long it is
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Use:
    """To a worker: import this function, as `sys.path` is now."""

    function: str
    path: list[str]


@dataclass(frozen=True, slots=True)
class Ready:
    """From a worker: the function is imported, or why it is not."""

    function: str
    error: Exception | None = None
    traceback: str = ""


# From a worker: what became of the next payload of its batch, and whether it will start nothing more of this batch.
# Bare tuples, and seconds with a pickled value for a result: there is one of these for each payload.
Told: TypeAlias = tuple[tuple[float, bytes] | Failure | None, bool]


def dumps(thing: Any) -> bytes:  # a message, a payload or a value
    """Pickle as both sides do: they are one interpreter."""
    return pickle.dumps(thing, pickle.HIGHEST_PROTOCOL)


loads = pickle.loads


def send(descriptor: int, message: Any) -> None:  # one of the above, or a list of pickled payloads
    """Write a message, all of it."""
    body = dumps(message)
    size = len(body).to_bytes(_SIZE)
    for part in (size + body,) if len(body) < _CHUNK else (size, body):
        left = memoryview(part)
        while left:
            left = left[os.write(descriptor, left) :]


class Inbox:
    """Reads messages from a pipe as they come in."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._data = bytearray()

    def read(self) -> list[Any]:
        """Read once, and give the messages that are complete now.

        Raises:
            EOFError: The other side is gone.
            BlockingIOError: There is nothing to read, and the pipe does not wait.
        """
        chunk = os.read(self._descriptor, _CHUNK)
        if not chunk:
            raise EOFError
        self._data += chunk
        messages = []
        while len(self._data) >= _SIZE:
            end = _SIZE + int.from_bytes(self._data[:_SIZE])
            if len(self._data) < end:
                break
            with memoryview(self._data) as data:
                messages.append(loads(data[_SIZE:end]))
            del self._data[:end]
        return messages
