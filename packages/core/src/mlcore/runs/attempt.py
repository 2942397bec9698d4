"""Attempts: each start or resume of a run, one record created exclusively, so that only one process can be it.

    attempts/<n>.diff    how tracked files of the code differ from its git commit, where they do
    attempts/<n>.json    who, where, with which overrides, and from which checkpoint and journal positions it went on

The record of the newest attempt says which part of the earlier attempts' journals still counts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mlcore.errors import KeyExistsError, RunBusyError, SupersededError
from mlcore.runs import records
from mlcore.store import Folder
from mlcore.store.process import Process


@dataclass(frozen=True)
class Attempt:
    """One start or resume of a run.

    Args:
        number: From 1.
        process: Who it is.
        time: When it began, seconds since the epoch.
        overrides: Given to this attempt; an attempt's config has those of all attempts before it applied.
        resumed_from: The checkpoint's step; None when it began at the beginning.
        keep: Journal file to the last sequence number that still counts, over all earlier attempts.
        environment: Command, code, packages, machine.
    """

    number: int
    process: Process
    time: float
    overrides: tuple[str, ...] = ()
    resumed_from: int | None = None
    keep: Mapping[str, int] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:  # JSON values
        """As it is kept in the store."""
        return asdict(self)


class Attempts:
    """The attempts of one run."""

    def __init__(self, folder: Folder, run_id: str) -> None:
        self.folder, self._run_id = folder / "attempts", run_id

    def numbers(self) -> list[int]:
        """Rising, from 1."""
        stems = (entry.key.removesuffix(".json") for entry in self.folder.list())
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def read(self, number: int) -> Attempt:
        """The record of an attempt."""
        return records.read(self.folder, f"{number}.json", Attempt)

    def all(self) -> list[Attempt]:
        """Every attempt, the first one first."""
        return [self.read(number) for number in self.numbers()]

    def claim(self, number: int, *, sync: bool = True, **fields: Any) -> Attempt:  # fields of Attempt
        """Become attempt `number`.

        Raises:
            RunBusyError: Another process was quicker.
        """
        attempt = Attempt(number, Process.current(), time.time(), **fields)
        try:
            self.folder.create(f"{number}.json", json.dumps(attempt.record(), indent=1).encode() + b"\n", sync=sync)
        except KeyExistsError:
            raise self._lost(number) from None
        return attempt

    def check_newest(self, number: int) -> None:
        """Refuse to go on when a newer attempt exists.

        Raises:
            SupersededError: This attempt must stop writing.
        """
        if self.folder.exists(f"{number + 1}.json"):
            raise SupersededError(
                f"attempt {number} of run {self._run_id} was taken over by a newer attempt and stops",
                hint=f"mlcore show {self._run_id}",
            )

    def _lost(self, number: int) -> RunBusyError:
        winner = self.read(number).process
        return RunBusyError(
            f"run {self._run_id} was just started by another process: pid {winner.pid} on {winner.host}",
            hint=f"wait for it, or look at it with: mlcore show {self._run_id}",
        )
