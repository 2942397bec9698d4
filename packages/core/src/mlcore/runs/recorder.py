"""From the bus to the journal: what listeners hear of a run, its readers find again."""

from __future__ import annotations

from mlcore.events import Bus, EpochFinished, MetricsLogged
from mlcore.journal import JournalWriter


class Recorder:
    """Writes a run's events into its journal.

    Args:
        journal: Of the run's present attempt.
    """

    def __init__(self, journal: JournalWriter) -> None:
        self._journal = journal

    def attach(self, bus: Bus) -> None:
        """Listen, before every plugin, so that what a plugin's listener breaks is on record."""
        bus.on(MetricsLogged, self.metrics, priority=1000)
        bus.on(EpochFinished, self.epoch, priority=1000)

    def metrics(self, event: MetricsLogged) -> None:
        """Numbers of a step become points."""
        self._journal.log(event.step, event.values)

    def epoch(self, event: EpochFinished) -> None:
        """An epoch becomes a record, and its metrics points of the series `stream.name` at the epoch's number."""
        values = {f"{stream}.{name}": value for stream, named in event.metrics.items() for name, value in named.items()}
        if values:
            self._journal.log(event.number, values)
        self._journal.write("epoch", epoch=event.number, seconds=event.seconds)
