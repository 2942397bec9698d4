"""The table of a benchmark run: ours beside the others, and the budget."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

HEAD = ("what", "mlcore: median (range)", "beside it", "figure", "must / stretch", "met")


@dataclass(frozen=True)
class Row:
    """One line.

    Args:
        what: What was measured.
        ours: Our figure, with its spread.
        beside: Floors and peers.
        figure: What is held against the budget; None where there is nothing to hold.
        must: The budget.
        stretch: What is wanted while the code stays plain.
        unit: Of the figure: `x` for a ratio.
    """

    what: str
    ours: str
    beside: str
    figure: float | None = None
    must: float | None = None
    stretch: float | None = None
    unit: str = "x"

    @property
    def met(self) -> str:
        if self.figure is None or self.must is None:
            return "-"
        if self.figure > self.must:
            return "NO"
        return "stretch" if self.stretch is not None and self.figure <= self.stretch else "yes"

    def cells(self) -> tuple[str, ...]:
        budget = "-" if self.must is None else f"{self.must:g}{self.unit}"
        budget += f" / {self.stretch:g}{self.unit}" if self.stretch is not None else ""
        figure = "-" if self.figure is None else f"{self.figure:.3g}{self.unit}"
        return self.what, self.ours, self.beside or "-", figure, budget, self.met


def spread(values: Sequence[float], unit: str) -> str:
    """Median and range."""
    return timed(statistics.median(values), min(values), max(values), unit)


def timed(median: float, low: float, high: float, unit: str) -> str:
    """Median and range, to three digits."""
    return f"{short(median)} {unit} ({short(low)} to {short(high)})"


def short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def markdown(rows: Iterable[Row]) -> str:
    """The table."""
    lines = [HEAD, ("---",) * len(HEAD), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page(rows: Iterable[Row], versions: str, note: str = "") -> str:
    """The table as a page, with the day, the machine, and what the person who measured has to add."""
    note = f"\n{note}\n" if note else ""
    return f"""# Benchmarks

What `nox -s bench -- --rulers FOLDER --write docs/benchmarks.md` measured on {date.today():%Y-%m-%d}.
Machine: {machine()}.
{versions}

{markdown(rows)}
{note}
How to read it:

* Times are CPU time of the process itself, as the machine was shared with other work; only where it says so, they are
  those of the clock on the wall. What is compared ran by turns in the same minute: ratios say more than times.
* Figure: what is held against the budget, a ratio to the floor in the same line or the time itself. On a busy machine
  either estimate of a loop's ratio may be lucky, that of the medians and that of the least disturbed times: the worse
  of the two counts. Where the ranges of a line overlap, expect the figure to differ by some percent in the next run.
* A floor is the same work without a library: `duties` is a hand-written loop that checks, times and merges each batch
  as the main loop does; `duties+acc` also collects two variables, as the hook ComputeStats must.
* Callbacks are called twice a batch by every contender.

Without `--rulers` only the small measurements are done that need nothing but this repository.
"""


def machine() -> str:
    """Cores, memory and Python; nothing that names the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GB RAM, {platform.system()}, Python {sys.version.split()[0]}"
