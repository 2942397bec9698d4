"""Showing how far a run is: bars in a terminal, a line an epoch in a pipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlcore.cli.common import interactive, number, say

if TYPE_CHECKING:
    from mlcore.events import BatchFinished, EpochFinished, StreamStarted, Warned
    from mlcore.runs import Run


@contextmanager
def shown(run: Run) -> Iterator[None]:
    """Listen to a run and show its progress while the block lasts."""
    from mlcore.events import BatchFinished, EpochFinished, StreamStarted, Warned

    run.bus.on(Warned, _warned)
    if not interactive() or run.header.runner == "script":  # what a script prints and moving bars do not go together
        run.bus.on(EpochFinished, lambda event: say(epoch_line(event)))
        yield
        return
    with Bars() as bars:
        run.bus.on(StreamStarted, bars.stream)
        run.bus.on(BatchFinished, bars.batch)
        run.bus.on(EpochFinished, bars.epoch)
        yield


def _warned(event: Warned) -> None:
    say(f"warning: {event.message}")


def epoch_line(event: EpochFinished) -> str:
    """An epoch in one line."""
    streams = " | ".join(_stream_text(stream, values) for stream, values in event.metrics.items() if values)
    return f"epoch {event.number:>3}  {streams}  ({event.seconds:.1f} s)"


def _stream_text(stream: str, values: Mapping[str, float]) -> str:
    return f"{stream} " + " ".join(f"{name} {number(value)}" for name, value in values.items())


class Bars:
    """One moving bar for the present stream, and a line above it for each epoch that is done."""

    def __enter__(self) -> Bars:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._progress.start()
        self._task: Any = None  # rich's task id
        self._stream, self._counts = "", Counter[str]()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def stream(self, event: StreamStarted) -> None:
        """Begin a bar."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        # A stream that does not say how long it is, is as long as it was before.
        total = event.total or self._counts.pop(event.stream, None)
        self._stream = event.stream
        self._task = self._progress.add_task(f"epoch {event.epoch} {event.stream}", total=total)

    def batch(self, event: BatchFinished) -> None:
        """Move it on."""
        if self._task is not None:
            self._counts[self._stream] += 1
            self._progress.advance(self._task)

    def epoch(self, event: EpochFinished) -> None:
        """Leave a line."""
        self._progress.console.print(epoch_line(event), highlight=False, markup=False)
