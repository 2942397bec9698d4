"""A run on the stage of a test: cut short at any fact that it says, and resumed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from mlcore.events import (
    ArtifactStored,
    BatchFinished,
    CheckpointSaved,
    EpochFinished,
    EpochStarted,
    ItemsPredicted,
    MetricsLogged,
    ModelSaved,
    Progress,
    StreamStarted,
)
from mlcore.runs import Run, RunView

# What a run says of its work; how it starts and ends is said for it.
WORK = (
    EpochStarted,
    StreamStarted,
    BatchFinished,
    EpochFinished,
    MetricsLogged,
    ModelSaved,
    CheckpointSaved,
    ArtifactStored,
    ItemsPredicted,
    Progress,
)
Cut: TypeAlias = Callable[[Run], None]


class CutShort(Exception):
    """The run was cut short, as a test wanted it."""


def fail(run: Run) -> None:
    """Cut a run short as an error of the user's does."""
    raise CutShort


def stop(run: Run) -> None:
    """Cut a run short as Ctrl+C does."""
    run.stop("to see it resumed")


class Witness:
    """Counts what a run says of its work, and cuts it short.

    Args:
        run: Not entered yet.
        at: The number of the fact at which to cut, from 1; None for never.
        cut: How.
    """

    def __init__(self, run: Run, at: int | None = None, cut: Cut = fail) -> None:
        self.facts: list[str] = []
        self._run, self._at, self._cut = run, at, cut
        for kind in WORK:
            run.bus.on(kind, self._hear, priority=-2000)  # after checkpoints, which listeners write

    def _hear(self, fact: object) -> None:
        self.facts.append(type(fact).__name__)
        if len(self.facts) == self._at:
            self._cut(self._run)


def results(view: RunView) -> dict[str, Any]:  # JSON values
    """What a run has brought: its numbers and its models."""
    series = {name: [*zip(found.steps, found.values, strict=True)] for name, found in view.journal.series().items()}
    models = [(model["name"], model["version"], model["digest"]) for model in view.models]
    return {"numbers": series, "models": sorted(models)}


def difference(wanted: dict[str, Any], found: dict[str, Any]) -> str | None:
    """Say where two results differ, bit by bit; None when they are equal.

    Args:
        wanted: What `results` gave.
        found: The same of another run.
    """
    for name in sorted({*wanted["numbers"], *found["numbers"]}):
        one, other = (repr(side["numbers"].get(name, [])) for side in (wanted, found))
        if one != other:
            return f"{name} is {_short(other)}, not {_short(one)}"
    if wanted["models"] != found["models"]:
        return f"the models are {_short(repr(found['models']))}, not {_short(repr(wanted['models']))}"
    return None


def _short(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]}…"
