"""What becomes of a payload: the function's value, or how it failed."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from mlcore.execution.keys import Key


@dataclass(frozen=True, slots=True)
class Result:
    """A payload's function has returned.

    Attributes:
        key: The payload's key.
        value: What the function returned.
        seconds: Wall-clock time of the call that succeeded.
    """

    key: Key
    value: Any  # what the user's function returns
    seconds: float


@dataclass(frozen=True, slots=True)
class Failure:
    """A payload was given up: each call raised, took too long or ended its worker, or the payload cannot be sent.

    Attributes:
        key: The payload's key.
        error: Class of the last exception: `ValueError`, `package.module.SomeError`. `TimeoutError` when the last call
            took too long, `WorkerDied` when it ended its worker.
        message: What the last exception said.
        traceback: Its traceback as text; empty when nothing was raised.
        attempts: How often the function was called.
        deaths: How many of these calls ended their worker.
    """

    key: Key
    error: str
    message: str
    traceback: str
    attempts: int
    deaths: int = 0


Outcome: TypeAlias = Result | Failure


def call(function: Callable[[Any], Any], payload: Any, key: Key, retries: int = 0) -> Outcome:
    """Call a function once, and again after an exception; what is no `Exception`, like Ctrl+C, passes through.

    Args:
        function: Takes the payload.
        payload: Plain data.
        key: The payload's key.
        retries: How often to call again.
    """
    attempt = 0
    while True:
        attempt += 1
        started = time.perf_counter()
        try:
            return Result(key, function(payload), time.perf_counter() - started)
        except Exception as error:  # noqa: BLE001  the outcome tells it
            if attempt > retries:
                return failure(key, error, attempt)


def failure(key: Key, error: Exception, attempts: int, *, what: str = "") -> Failure:
    """Tell an exception that the caller has just caught.

    Args:
        key: The payload's key.
        error: The exception.
        attempts: How often the function was called.
        what: What to say before the exception's own message.
    """
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    # The first frame is the caller's, which is not the user's.
    theirs = error.__traceback__.tb_next if error.__traceback__ else None
    text = "".join(traceback.format_exception(kind, error, theirs))
    return Failure(key, name, what + _message(error), text, attempts)


def _message(error: Exception) -> str:
    try:
        return str(error)
    except Exception as other:  # noqa: BLE001  a user's exception may fail to say what it is
        return f"<its message cannot be read: {type(other).__qualname__}>"
