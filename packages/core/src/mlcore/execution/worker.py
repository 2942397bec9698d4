"""The worker's end: what runs in the processes of the executor `process`."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from mlcore.execution.functions import import_function
from mlcore.execution.outcomes import Failure, Result, call, failure
from mlcore.execution.wire import Inbox, Ready, Use, dumps, loads, send


def main(tasks: int, claims: int, answers: int, lifeline: int) -> None:
    """Work until the executor closes its end of `tasks`.

    Args:
        tasks: Pipe with functions to use and batches of payloads.
        claims: Pipe with a byte for each payload that may be started; the executor takes bytes back.
        answers: Pipe for what became of them.
        lifeline: Pipe that ends when the executor's process does.
    """
    for descriptor in (tasks, claims, answers, lifeline):
        os.set_inheritable(descriptor, False)
    threading.Thread(target=_end_with, args=(lifeline,), name="mlcore-lifeline", daemon=True).start()
    if sys.stdout is not None:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # what is said is seen, whoever kills us
    _Worker(claims, answers).work(Inbox(tasks))


def _end_with(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)  # with what the function has started


class _Worker:
    """One function at a time, and the batches for it."""

    def __init__(self, claims: int, answers: int) -> None:
        self._claims, self._answers = claims, answers
        self._function: Callable[[Any], Any] | None = None

    def work(self, inbox: Inbox) -> None:
        """Read and obey until there is nothing more to read."""
        while True:
            try:
                messages = inbox.read()
            except EOFError:
                return
            for message in messages:
                if isinstance(message, Use):
                    send(self._answers, self._use(message))
                else:
                    self._run(message)

    def _use(self, message: Use) -> Ready:
        sys.path[:] = message.path
        try:
            self._function = import_function(message.function)
        except Exception as error:  # noqa: BLE001  the executor raises it
            text = "".join(traceback.format_exception(error))
            return Ready(message.function, _sendable(error), text)
        return Ready(message.function)

    def _run(self, batch: list[bytes]) -> None:
        # Each outcome is told before the next call begins, which may take long or end this process.
        for left, payload in zip(range(len(batch) - 1, -1, -1), batch, strict=True):
            if not self._claim():
                send(self._answers, (None, True))
                return
            send(self._answers, (self._outcome(payload), not left))

    def _claim(self) -> bool:
        try:
            return bool(os.read(self._claims, 1))
        except BlockingIOError:
            return False

    def _outcome(self, data: bytes) -> tuple[float, bytes] | Failure:
        if self._function is None:
            raise RuntimeError("a batch came before its function")
        try:
            payload = loads(data)
        except Exception as error:  # noqa: BLE001  the outcome tells it
            return failure(0, error, 0, what="the payload is no plain data, a worker cannot read it: ")
        outcome = call(self._function, payload, 0)
        if not isinstance(outcome, Result):
            return outcome
        try:
            return outcome.seconds, dumps(outcome.value)
        except Exception as error:  # noqa: BLE001  the outcome tells it
            return failure(0, error, 1, what="the result is no plain data: ")


def _sendable(error: Exception) -> Exception:
    try:
        loads(dumps(error))
    except Exception:  # noqa: BLE001  a stranger's exception; its text goes instead
        return ImportError(f"{type(error).__qualname__}: {error}")
    return error
