"""Reading a run: what its newest attempt, and what that one kept of earlier ones, say about it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mlcore.checkpoint import Checkpoints
from mlcore.config import Config
from mlcore.errors import CorruptError, KeyMissingError, RunError
from mlcore.journal import Journal, Series, read_journal
from mlcore.runs import records
from mlcore.runs.attempt import Attempt, Attempts
from mlcore.runs.run import Header
from mlcore.store import Folder, Store

# A writer adds a line at least every 15 seconds; without one for this long it is taken for dead.
SILENCE = 60.0
# The best value of a series is its lowest when its name says so.
_LOWER_IS_BETTER = ("loss", "error", "mse", "mae", "rmse", "perplexity")


@dataclass(frozen=True)
class Metric:
    """One series of numbers, in short.

    Args:
        stream: The part before the name; None for a series that belongs to no stream.
        name: For example `accuracy`.
        last: The newest value.
        best: The lowest value of losses and errors, the highest of everything else.
    """

    stream: str | None
    name: str
    last: float
    best: float


class RunView:
    """A run as its readers see it."""

    def __init__(self, store: Store, folder: Folder) -> None:
        self.store, self.folder = store, folder

    @cached_property
    def header(self) -> Header:
        """What never changes."""
        try:
            return records.read(self.folder, "run.json", Header)
        except KeyMissingError:
            raise RunError("there is no run here", where=self.folder.url) from None

    @property
    def id(self) -> str:
        """Sorted by time."""
        return self.header.id

    @property
    def name(self) -> str:
        """For people."""
        return self.header.name

    @cached_property
    def attempts(self) -> list[Attempt]:
        """Every start and resume."""
        return Attempts(self.folder, self.header.id).all()

    @property
    def next_attempt(self) -> int:
        """The number of the attempt that resumes it: never 1, even if the run died before that one was on record."""
        return self.attempts[-1].number + 1 if self.attempts else 2

    @cached_property
    def journal(self) -> Journal:
        """Everything on record that still counts."""
        if not self.attempts:
            return read_journal(self.folder)
        newest = self.attempts[-1]
        return read_journal(self.folder, keep=newest.keep, attempt=newest.number)

    @cached_property
    def status(self) -> str:
        """`running`, `finished`, `stopped`, `failed`; `lost` when the process ended without saying so."""
        said = str(self._last_word.get("status", "running"))
        return "lost" if said == "running" and not self.alive else said

    @property
    def reason(self) -> str | None:
        """Why it ended, where somebody said so."""
        return self._last_word.get("reason")

    @property
    def traceback(self) -> str | None:
        """Of the error that it failed with."""
        return self._last_word.get("traceback")

    @cached_property
    def _last_word(self) -> Mapping[str, Any]:  # JSON values
        """What the newest attempt said last about its status."""
        newest = self.next_attempt - 1
        said = [record.fields for record in self.journal.records("status") if record.attempt == newest]
        return said[-1] if said else {}

    def _records(self, kind: str, *needed: str) -> list[Mapping[str, Any]]:  # JSON values
        """The fields of all records of a type, but of those in which something rotted."""
        found = [record.fields for record in self.journal.records(kind)]
        return [fields for fields in found if fields.keys() >= set(needed)]

    @property
    def alive(self) -> bool:
        """Whether its process seems to run: known on the same machine, elsewhere judged by the journal's age."""
        known = self.attempts[-1].process.alive() if self.attempts else False
        return self.silence() < SILENCE if known is None else known

    def silence(self) -> float:
        """Seconds since the newest change of the journal or the attempts, by this machine's clock."""
        entries = [*self.folder.list("journal"), *self.folder.list("attempts")]
        return time.time() - max((entry.modified for entry in entries if entry.modified), default=0.0)

    @cached_property
    def epochs(self) -> list[dict[str, Any]]:  # JSON values
        """One object an epoch: `epoch`, `seconds`, `metrics` by stream and name."""
        found = {fields["epoch"]: fields for fields in self._records("epoch", "epoch")}
        rows = {
            number: {"epoch": number, "seconds": fields.get("seconds"), "metrics": {}}
            for number, fields in found.items()
        }
        for stream, name, series in self._named_series():
            for step, value in zip(series.steps, series.values, strict=True):
                if stream is not None and step in rows:
                    rows[step]["metrics"].setdefault(stream, {})[name] = value
        return list(rows.values())

    @property
    def epochs_done(self) -> int:
        """How many epochs it trained: the number of the last one."""
        return int(self.epochs[-1]["epoch"]) if self.epochs else 0

    @cached_property
    def metrics(self) -> list[Metric]:
        """Last and best value of every series."""
        return [
            Metric(stream, name, series.values[-1], _best(name, series.values))
            for stream, name, series in self._named_series()
            if len(series.values)
        ]

    def _named_series(self) -> Iterator[tuple[str | None, str, Series]]:
        for full, series in self.journal.series().items():
            stream, dot, name = full.partition(".")
            yield (stream, name, series) if dot else (None, full, series)

    @cached_property
    def models(self) -> list[dict[str, Any]]:  # JSON values
        """Versions that it made: `name`, `version`, `digest`, `url`, `step`, and the `aliases` that it left on them."""
        found: dict[tuple[str, int], dict[str, Any]] = {}
        for fields in self._records("model", "name", "version", "digest", "url", "aliases"):
            for earlier in found.values():
                if earlier["name"] == fields["name"]:
                    earlier["aliases"] = [alias for alias in earlier["aliases"] if alias not in fields["aliases"]]
            facts = {**fields, "url": self._present_url(fields["url"]), "aliases": []}
            found.setdefault((fields["name"], fields["version"]), facts)["aliases"] += fields["aliases"]
        return list(found.values())

    @cached_property
    def uses(self) -> list[Mapping[str, Any]]:  # JSON values
        """Data and models that it used, each once: `kind`, `url`, `digest`, `size`; of models `name`, `version`."""
        found = self._records("use", "kind", "url", "digest", "size")
        return list({(fields["url"], fields["digest"]): fields for fields in found}.values())

    def _present_url(self, url: str) -> str:
        """Where a version is now: `models/<id>/v<n>` of a store that may have been moved since."""
        return (self.store / "/".join(url.split("/")[-3:])).url

    @cached_property
    def checkpoints(self) -> list[dict[str, Any]]:  # JSON values
        """Complete checkpoints: `step`, `best` (true for one at most), `url`."""
        found = Checkpoints(self.folder / "checkpoints").manifests()
        best = max((step for step, manifest in found.items() if manifest.meta.get("best")), default=None)
        return [
            {"step": step, "best": step == best, "url": (self.folder / "checkpoints" / str(step)).url} for step in found
        ]

    def summary(self) -> dict[str, Any]:  # JSON values
        """`id`, `name`, `status`, `path`, `metrics`: the promise of `--json`."""
        path = str(self.folder.local) if self.folder.local else self.folder.url
        metrics = [vars(metric) for metric in self.metrics]
        return {"id": self.id, "name": self.name, "status": self.status, "path": path, "metrics": metrics}

    def details(self) -> dict[str, Any]:  # JSON values
        """The summary with all that `mlcore show --json` promises besides."""
        return {
            **self.summary(),
            "reason": self.reason,
            "traceback": self.traceback,
            "runner": self.header.runner,
            "seed": self.header.seed,
            "created": self.header.created,
            "parent": self.header.parent,
            "config": self.effective_config().data,
            "epochs": self.epochs,
            "models": self.models,
            "uses": self.uses,
            "checkpoints": self.checkpoints,
            "attempts": [attempt.record() for attempt in self.attempts],
            "warnings": list(self.journal.warnings),
        }

    def config_text(self) -> str:
        """The stored config of the first attempt."""
        data = self.folder.read_bytes("config.yaml")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise CorruptError(f"this file is not UTF-8 text: {error}", where=self.config_url) from error

    @property
    def config_url(self) -> str:
        """Where the stored config is."""
        return f"{self.folder.url}/config.yaml"

    def overrides(self) -> tuple[str, ...]:
        """What resumes changed in it, in order."""
        return tuple(text for attempt in self.attempts if attempt.number > 1 for text in attempt.overrides)

    def effective_config(self) -> Config:
        """The config of the newest attempt."""
        return Config.parse(self.config_text(), name=self.config_url, overrides=self.overrides())


def _best(name: str, values: Sequence[float]) -> float:
    numbers = [value for value in values if not math.isnan(value)] or [math.nan]
    lower = any(word in name.lower() for word in _LOWER_IS_BETTER)
    return min(numbers) if lower else max(numbers)
