"""Ctrl+C and SIGTERM: the first asks the run to stop at the next border, the second stops at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from mlcore.runs.run import Run


@dataclass
class Interruption:
    """Which signal came, if any."""

    number: int | None = None

    @property
    def exit_code(self) -> int:
        """128 plus the signal's number, as shells have it: 130 for Ctrl+C, 143 for SIGTERM; 0 without one."""
        return 128 + self.number if self.number else 0


@contextmanager
def interruptible(run: Run, *, at_once: bool = False) -> Iterator[Interruption]:
    """Stop a run on SIGINT and SIGTERM. Does nothing outside the main thread, where signals cannot be handled.

    Args:
        run: It is asked to stop.
        at_once: The first signal, too, raises KeyboardInterrupt where the work is.
    """
    caught = Interruption()

    def handle(number: int, frame: FrameType | None) -> None:
        if caught.number is not None:
            raise KeyboardInterrupt
        caught.number = number
        run.stop(signal.Signals(number).name)
        if at_once:
            raise KeyboardInterrupt
        # Written past Python's buffers: a handler may come in the middle of another print.
        os.write(2, b"\nstopping at the next border; once more stops at once\n")

    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
