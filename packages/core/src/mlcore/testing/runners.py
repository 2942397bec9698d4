"""What every runner must do, as tests: for ours and for strangers'.

In a test file, with pytest:

    class TestMyRunner(RunnerConformance):
        runner = "mine"                        # as the plugin registers it
        config = {"steps": 6, "size": 100}     # a job of a second or two; what it names must be importable

or, with any test runner, `check_runner("mine", config)`. The plugin must be installed, or be part of the host that
`make_host` gives.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from mlcore.config import Config
from mlcore.errors import ConfigError
from mlcore.plugins import PluginHost, current_host
from mlcore.runs import Job, Run, RunSettings, RunView, execute_job, plan_job, resume_job, start_job
from mlcore.testing.rehearsal import Cut, CutShort, Witness, difference, fail, results, stop
from mlcore.testing.suites import require, run_suite

__all__ = ["RunnerConformance", "check_runner"]

UNKNOWN = "not_a_section_of_any_runner"
SEED = 11
# So that a cut in the middle has something before it and something after it.
FEWEST_FACTS = 4


def check_runner(runner: str, config: Mapping[str, Any], host: PluginHost | None = None) -> None:
    """Run the whole suite on a runner.

    Args:
        runner: Its name.
        config: YAML values: a job of a second or two.
        host: The plugins; the current ones by default.

    Raises:
        AssertionError: The runner breaks the contract; the message starts with the check's name.
    """
    run_suite(runner_suite(runner, config, host))


def runner_suite(runner: str, config: Mapping[str, Any], host: PluginHost | None = None) -> RunnerConformance:
    """Make the suite of a runner; the arguments are those of `check_runner`."""
    own = {"runner": runner, "config": config, "make_host": lambda self: host or current_host()}
    suite: RunnerConformance = type("Suite", (RunnerConformance,), own)()
    return suite


class RunnerConformance:
    """The suite; see the module's page. Every test stands alone."""

    runner: ClassVar[str]
    config: ClassVar[Mapping[str, Any]]  # YAML values

    def make_host(self) -> PluginHost:
        """Give the plugins that the runner needs, its own included."""
        return current_host()

    def test_members(self) -> None:
        """It has the protocol's methods, and a schema whose fields are described."""
        runner = self._host.runners.resolve(self.runner)()
        schema = getattr(runner, "schema", None)
        require(
            isinstance(schema, type) and issubclass(schema, RunSettings),
            f"its schema is {schema!r}, which does not derive from mlcore.runs.RunSettings",
        )
        for name, field in getattr(schema, "model_fields", {}).items():
            require(bool(field.description), f"the field {name!r} of its schema has no description")
        for member in ("check", "plan", "execute"):
            require(callable(getattr(runner, member, None)), f"it has no method {member!r}")

    def test_unknown_keys(self) -> None:
        """An unknown key is refused, with its place, before anything exists."""
        with _folder() as folder:
            before = _tree(folder)
            try:
                self._plan(folder, {UNKNOWN: 1})
            except ConfigError as error:
                require(UNKNOWN in str(error), f"the error does not name the unknown key: {error}")
                require(re.search(r":\d+:\d+", str(error)) is not None, f"the error names no line and column: {error}")
            else:
                raise AssertionError(f"the unknown key {UNKNOWN!r} is taken")
            require(_tree(folder) - before <= {"config.yaml"}, "something was created for a config with an unknown key")

    def test_a_plan_touches_nothing(self) -> None:
        """Checking and planning, `--dry-run`, say what would be done, and do nothing."""
        with _folder() as folder, contextlib.chdir(folder):
            self._plan(folder)  # what it imports is imported now, and may change what it likes
            require(_tree(folder) == {"config.yaml"}, f"check created something: {sorted(_tree(folder))}")
            before = self._surroundings(folder)
            job = self._plan(folder)
            lines = list(job.runner.plan(job.config))
            for what, (was, now) in _changes(before, self._surroundings(folder)):
                raise AssertionError(f"check or plan changed {what} from {was} to {now}")
        require(bool(lines), "the plan has no line")
        for line in lines:
            require(isinstance(line, str) and "\n" not in line, f"{line!r} of the plan is no line")

    def test_a_run(self) -> None:
        """The sample runs to its end, and says on the bus what happens."""
        with _folder() as folder:
            view, facts = self._whole(folder)
            require(view.status == "finished", f"the run is {view.status}: {view.reason}")
            require(
                len(facts) >= FEWEST_FACTS,
                f"the run said {len(facts)} facts of its work on `run.bus`; at least {FEWEST_FACTS} are needed to "
                "cut it in the middle: log more, or give a sample with more steps",
            )
            require(bool(view.journal.series()), "the run logged no numbers, by which a resumed one could be compared")

    def test_the_same_again(self) -> None:
        """The same config and seed give the same numbers and models."""
        with _folder() as first, _folder() as second:
            differs = difference(results(self._whole(first)[0]), results(self._whole(second)[0]))
        require(differs is None, f"the same config and seed gave other results: {differs}")

    def test_stopping(self) -> None:
        """After `run.stop` it ends at the next border, and a resume goes on as if nothing had been."""
        self._cut_and_resume(stop, "stopped")

    def test_a_failure(self) -> None:
        """After an error in the middle a resume goes on from the checkpoint as if nothing had been."""
        self._cut_and_resume(fail, "failed")

    def _cut_and_resume(self, cut: Cut, status: str) -> None:
        with _folder() as whole, _folder() as folder:
            view, facts = self._whole(whole)
            for at in sorted({len(facts) // 3, len(facts) // 2, len(facts) * 2 // 3} - {0}):
                place = folder / str(at)
                place.mkdir()
                self._compare(view, len(facts), self._cut(place, at, cut, len(facts)), at, status)

    def _compare(self, whole: RunView, facts: int, cut: RunView, at: int, status: str) -> None:
        where = f"cut at fact {at} of {facts}"
        require(cut.status == status, f"{where}, the run is {cut.status}, not {status}")
        job, run = resume_job(cut, host=self._host)
        execute_job(job, run)
        resumed = RunView(run.store, run.folder)
        require(resumed.status == "finished", f"{where} and resumed, the run is {resumed.status}, not finished")
        differs = difference(results(whole), results(resumed))
        require(differs is None, f"{where} and resumed, the run has other results: {differs}")

    def _cut(self, folder: Path, at: int, cut: Cut, whole: int) -> RunView:
        run, witness = self._start(folder, at, cut)
        with contextlib.suppress(CutShort):
            execute_job(self._plan(folder), run)
        require(len(witness.facts) < whole, f"after run.stop at fact {at} of {whole} it went on to the end")
        return RunView(run.store, run.folder)

    def _whole(self, folder: Path) -> tuple[RunView, list[str]]:
        run, witness = self._start(folder)
        execute_job(self._plan(folder), run)
        return RunView(run.store, run.folder), witness.facts

    def _start(self, folder: Path, at: int | None = None, cut: Cut = fail) -> tuple[Run, Witness]:
        run = start_job(self._plan(folder), store=str(folder / "store"), name="conformance", host=self._host)
        return run, Witness(run, at, cut)

    def _plan(self, folder: Path, more: Mapping[str, Any] | None = None) -> Job:  # YAML values
        whole = {"seed": SEED, **self.config, "runner": self.runner, **(more or {})}
        (folder / "config.yaml").write_text(Config.of(whole).dump(), encoding="utf-8")
        return plan_job(folder / "config.yaml", host=self._host)

    def _surroundings(self, folder: Path) -> dict[str, object]:
        return {
            "the working folder's files": sorted(_tree(folder)),
            "the working folder": str(Path.cwd()),
            "the environment": dict(os.environ),
            "sys.path": list(sys.path),
            "Python's random generator": hash(random.getstate()),
        }

    @cached_property
    def _host(self) -> PluginHost:
        return self.make_host()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="mlcore-") as directory:
        yield Path(directory)


def _tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def _changes(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[tuple[str, tuple[object, object]]]:
    for what, value in before.items():
        if value != after[what]:
            yield what, (value, after[what])
