"""The runner suite passes a right runner and catches wrong ones; so does the listener suite."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
from pydantic import ConfigDict, Field

from mlcore.errors import ConfigError
from mlcore.events import EpochFinished
from mlcore.hookspecs import hookimpl
from mlcore.plugins import PluginHost
from mlcore.runs import RunSettings
from mlcore.testing.listeners import ListenerConformance, listener_suite
from mlcore.testing.runners import RunnerConformance, check_runner
from mlcore.testing.suites import run_suite

CONFIG = {"steps": 6}


class Settings(RunSettings):
    steps: int = Field(description="How many steps to walk")


class Right:
    """A random walk: a number, a generator and a position that must all survive."""

    schema: type[RunSettings] = Settings

    def check(self, config):
        pass

    def plan(self, config):
        yield f"walk {config.get('steps')} steps"

    def execute(self, run):
        restored = run.restore()
        step, place = (restored.state["step"], restored.state["place"]) if restored else (0, 0.0)
        if restored:
            restored.generators()
        while step < run.config.resolve()["steps"] and not self.stopping(run):
            step, place = step + 1, place + self.draw(run)
            run.log(step=step, place=place)
            self.keep(run, step, place)

    def stopping(self, run):
        return run.stopping

    def draw(self, run):
        return float(run.rng("walk").normal())

    def keep(self, run, step, place):
        run.checkpoint({"step": step, "place": place}, step=step)


class IgnoresStop(Right):
    def stopping(self, run):
        return False


class ForgetsItsPlace(Right):
    def keep(self, run, step, place):
        run.checkpoint({"step": step, "place": 0.0}, step=step)


class BeginsAnewAfterACheckpoint(Right):
    def keep(self, run, step, place):
        run.checkpoint({"step": 0, "place": 0.0}, step=step)


class SkipsAStep(Right):
    def keep(self, run, step, place):
        run.checkpoint({"step": step + 1, "place": place}, step=step)


class HasAGeneratorOfItsOwn(Right):
    generator = np.random.default_rng(3)

    def draw(self, run):
        return float(self.generator.normal())


class KeepsItsGeneratorToItself(Right):
    def execute(self, run):
        self.generator = np.random.default_rng(run.seed)
        super().execute(run)

    def draw(self, run):
        return float(self.generator.normal())


class Fails(Right):
    def execute(self, run):
        raise LookupError("no path")


class SaysNothing(Right):
    def execute(self, run):
        pass


class TakesAnything(Right):
    class schema(Settings):
        model_config = ConfigDict(extra="allow")


class NamesNoPlace(TakesAnything):
    def check(self, config):
        if set(config.data) - {"runner", "seed", "steps"}:
            raise ConfigError(f"unknown: {set(config.data)}")


class HasNoSchema(Right):
    schema = dict


class DescribesNothing(Right):
    class schema(RunSettings):
        steps: int


class HasNoPlan(Right):
    plan = None


class WritesWhenItPlans(Right):
    def plan(self, config):
        Path("plan.txt").write_text("walk")
        return ["walk"]


class WritesWhenItChecks(Right):
    def check(self, config):
        Path("checked.txt").write_text(os.urandom(8).hex())


class DrawsWhenItChecks(Right):
    def check(self, config):
        random.random()


class SetsAVariable(Right):
    def plan(self, config):
        os.environ["WALK"] = str(int(os.environ.get("WALK", "0")) + 1)
        return ["walk"]


class PlansNothing(Right):
    def plan(self, config):
        return []


class PlansPages(Right):
    def plan(self, config):
        return ["walk\nrun"]


WRONG = {
    IgnoresStop: "stopping: after run.stop at fact 4 of 12 it went on to the end",
    ForgetsItsPlace: r"stopping: cut at fact 4 of 12 and resumed, the run has other results: place is ",
    BeginsAnewAfterACheckpoint: "stopping: checkpoint 1 comes after checkpoint 2",
    SkipsAStep: "stopping: cut at fact 4 of 12 and resumed, the run has other results: place is ",
    HasAGeneratorOfItsOwn: "the_same_again: the same config and seed gave other results: place is ",
    KeepsItsGeneratorToItself: "stopping: cut at fact 4 of 12 and resumed, the run has other results: place is ",
    Fails: "a_run: no path",
    SaysNothing: "a_run: the run said 0 facts of its work",
    TakesAnything: "unknown_keys: the unknown key 'not_a_section_of_any_runner' is taken",
    NamesNoPlace: "unknown_keys: the error names no line and column",
    HasNoSchema: "members: its schema is <class 'dict'>",
    DescribesNothing: "members: the field 'steps' of its schema has no description",
    HasNoPlan: "members: it has no method 'plan'",
    WritesWhenItPlans: r"a_plan_touches_nothing: .* the working folder's files from .* to .*plan.txt",
    WritesWhenItChecks: "a_plan_touches_nothing: check created something: .*checked.txt",
    DrawsWhenItChecks: "a_plan_touches_nothing: check or plan changed Python's random generator",
    SetsAVariable: "a_plan_touches_nothing: check or plan changed the environment",
    PlansNothing: "a_plan_touches_nothing: the plan has no line",
    PlansPages: "a_plan_touches_nothing: 'walk.nrun' of the plan is no line",
}


def host_of(runner):
    class Plugin:
        @hookimpl
        def mlcore_register_runners(self, register):
            register("walk", f"{__name__}:{runner.__name__}")

    host = PluginHost(allow=("walk",)).load()
    host.add("walk", Plugin())
    return host


class TestRight(RunnerConformance):
    runner = "walk"
    config = CONFIG

    def make_host(self):
        return host_of(Right)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_a_wrong_runner_is_caught(wrong, monkeypatch, tmp_path):
    monkeypatch.setenv("WALK", "0")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError, match=WRONG[wrong]):
        check_runner("walk", CONFIG, host_of(wrong))


def test_a_sample_that_is_too_short_to_be_cut_is_told():
    with pytest.raises(AssertionError, match=r"at least 4 are needed .* a sample with more steps"):
        check_runner("walk", {"steps": 1}, host_of(Right))


class Listener:
    @hookimpl
    def mlcore_subscribe(self, run):
        run.bus.on(EpochFinished, lambda event: run.append("epochs.txt").write(f"{event.number}\n"))


class AppendsByItself:
    @hookimpl
    def mlcore_subscribe(self, run):
        def write(event):
            with (run.directory / "epochs.txt").open("a") as file:
                file.write(f"{event.number}\n")

        run.bus.on(EpochFinished, write)


class WritesAHeaderEachTime:
    @hookimpl
    def mlcore_subscribe(self, run):
        file = run.append("epochs.txt")
        file.write("epoch\n")
        run.bus.on(EpochFinished, lambda event: file.write(f"{event.number}\n"))


class Stumbles:
    @hookimpl
    def mlcore_subscribe(self, run):
        run.bus.on(EpochFinished, lambda event: event.metrics["valid"])


def listening(plugin):
    host = PluginHost(allow=("listener",)).load()
    host.add("listener", plugin)
    return host


class TestListener(ListenerConformance):
    def make_host(self):
        return listening(Listener())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (AppendsByItself, "a_resume_repeats_nothing: epochs.txt of a resumed run has 5 lines, not 4: .* `run.append`"),
        (WritesAHeaderEachTime, "a_resume_repeats_nothing: epochs.txt of a resumed run has 6 lines, not 5"),
        (Stumbles, "a_run_is_followed: 'valid'"),
    ],
)
def test_a_wrong_listener_is_caught(wrong, message):
    with pytest.raises(AssertionError, match=message):
        run_suite(listener_suite(listening(wrong())))
