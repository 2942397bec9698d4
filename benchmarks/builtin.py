"""Small measurements that need nothing but this repository: an event that nobody hears, the loop alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from plugs.loops import make
from table import Row, spread

from mlcore.events import BatchFinished, Bus

TURNS = 1_000_000
SHORT, LONG = 500, 10_500


def measure(rounds: int) -> list[Row]:
    """All rows."""
    return [idle_event(rounds), loop_alone(rounds)]


def idle_event(rounds: int) -> Row:
    channel = Bus().channel(BatchFinished)

    def empty() -> None:
        for _ in range(TURNS):
            pass

    def idle() -> None:
        for _ in range(TURNS):
            if channel.listeners:
                channel.emit(BatchFinished(0, "train", 0, {}, train=True))

    pairs = [(_cpu(idle) / TURNS * 1e9, _cpu(empty) / TURNS * 1e9) for _ in range(rounds)]
    ours, floor = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    figure = statistics.median(mine / bare for mine, bare in pairs)
    beside = f"an empty loop turn {spread(floor, 'ns')}"
    return Row("an event nobody listens to", spread(ours, "ns"), beside, figure, 10)


def loop_alone(rounds: int) -> Row:
    """The cost of a batch: a long training less a short one, over the batches between."""
    costs = []
    for _ in range(rounds):
        short, long = (_cpu(make([None] * count, 0, "noop")) for count in (SHORT, LONG))
        costs.append((long - short) / (LONG - SHORT) * 1e6)
    return Row("loop alone, a batch (built in)", spread(costs, "µs"), "", statistics.median(costs), 3, 2, " µs")


def _cpu(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
