"""Functions for executors to call: what the suite `mlcore.testing.executors` sends to workers."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any, NoReturn, TypedDict


class Step(TypedDict, total=False):
    """A payload of `act`."""

    log: str  # file that notes each start
    fails: int  # how many of the first calls raise
    kills: int  # how many of the first calls end their process
    sleep: float
    value: Any  # to return


def same(payload: Any) -> Any:  # plain data
    """Return the payload."""
    return payload


def act(step: Step) -> Any:  # the payload's value
    """Note the start, then fail, die, sleep or return, as the payload says."""
    calls = _note(step["log"]) if "log" in step else 1
    if calls <= step.get("kills", 0):
        os.kill(os.getpid(), signal.SIGKILL)
    if calls <= step.get("fails", 0):
        raise ValueError(f"call {calls} fails")
    time.sleep(step.get("sleep", 0))
    return step.get("value")


def fail(payload: Any) -> NoReturn:  # plain data
    """Raise an error that names the payload."""
    raise ValueError(f"cannot take {payload!r}")


def odd(_: Any) -> object:  # plain data
    """Return what is no plain data."""
    return lambda: None


def process(_: Any) -> int:  # plain data
    """Return the id of the process."""
    return os.getpid()


def _note(log: str) -> int:
    with Path(log).open("a") as file:
        file.write("x")
    return Path(log).stat().st_size
