"""Runs that are stopped by signals, changed on the way, taken over, or asked for twice at once."""

from __future__ import annotations

import platform
import signal

import pytest
from tests.integration.conftest import GATED, Desk, until

import mlcore
from mlcore.errors import SupersededError
from mlcore.runs import Attempts


@pytest.fixture(scope="module")
def calm(tmp_path_factory, zygote):
    """What the gated job comes to when nobody disturbs it."""
    desk = Desk(tmp_path_factory.mktemp("calm"), zygote)
    desk.mlcore("run", desk.write(GATED)).ok()
    facts = desk.facts(desk.runs()[0])
    assert [number for number, _ in facts["epochs"]] == [1, 2, 3, 4]
    return facts


class Held:
    """A run that waits in its third epoch until its gate is opened."""

    def __init__(self, desk):
        self.desk, self.config, self.gate = desk, desk.write(GATED), desk.path / "gate"
        self.gate.touch()
        self.process = desk.start("run", self.config, "--json", GATE=str(self.gate))
        until(self.waits, self.process)
        [self.run] = desk.runs()

    def waits(self):
        return self.gate.with_suffix(".held").exists()

    def open(self):
        self.gate.unlink()
        return self.desk.wait(self.process)


@pytest.fixture
def held(quick):
    made = Held(quick)
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
def test_a_signal_stops_it_at_the_next_batch_and_it_can_be_resumed(number, code, held, quick, calm):
    held.process.send_signal(number)
    done = held.open()
    assert done.code == code
    assert done.json["status"] == "stopped"
    assert "stopping at the next border; once more stops at once" in done.err
    assert "Traceback" not in done.err
    shown = quick.mlcore("show", held.run, "--json").ok().json
    assert (shown["status"], shown["reason"]) == ("stopped", number.name)
    assert [epoch["epoch"] for epoch in shown["epochs"]] == [1, 2]
    assert "from checkpoint 2)" in quick.mlcore("resume", held.run).ok().err
    assert quick.facts(held.run) == calm


def test_a_second_signal_ends_it_at_once_and_it_can_be_resumed(held, quick, calm):
    held.process.send_signal(signal.SIGINT)
    told = held.process.stderr.readline
    until(lambda: "once more stops at once" in told(), held.process)
    held.process.send_signal(signal.SIGINT)  # the gate stays closed: it would wait for ever
    done = quick.wait(held.process)
    assert done.code == 130
    assert done.json["status"] == "stopped"
    assert "interrupted" in done.err
    assert "Traceback" not in done.err
    quick.mlcore("resume", held.run).ok()
    assert quick.facts(held.run) == calm


def test_a_run_stopped_after_its_last_checkpoint_does_not_train_on(quick, calm):
    """The signal comes when all is done but the last word."""
    config = quick.write(GATED)
    config.write_text(config.read_text().replace("at: 0", "at: 4"))
    done = quick.mlcore("run", config, "--json")
    assert done.code == 130
    assert done.json["status"] == "stopped"
    [run] = quick.runs()
    quick.mlcore("resume", run).ok()
    assert quick.facts(run) == calm


def test_overrides_given_to_a_resume_are_applied_and_recorded(held, quick, calm):
    held.process.send_signal(signal.SIGINT)
    held.open()
    quick.mlcore("resume", held.run, "model.alpha=0.5", "hooks.3.StopAfter.epochs=3").ok()
    shown = quick.mlcore("show", held.run, "--json").ok().json
    assert [attempt["overrides"] for attempt in shown["attempts"]] == [
        [],
        ["model.alpha=0.5", "hooks.3.StopAfter.epochs=3"],
    ]
    assert shown["config"]["hooks"][3] == {"StopAfter": {"epochs": 3}}
    assert shown["config"]["model"]["alpha"] == 0.5
    assert [epoch["epoch"] for epoch in shown["epochs"]] == [1, 2, 3]
    assert "alpha: 0.5" in quick.mlcore("show", held.run).ok().out
    # A third attempt keeps them, and adds its own.
    quick.mlcore("resume", held.run, "hooks.3.StopAfter.epochs=5").ok()
    shown = quick.mlcore("show", held.run, "--json").ok().json
    assert shown["config"]["model"]["alpha"] == 0.5
    assert [epoch["epoch"] for epoch in shown["epochs"]] == [1, 2, 3, 4, 5]
    assert shown["attempts"][2]["resumed_from"] == 3


def test_an_override_of_a_resume_that_is_wrong_leaves_the_run_alone(held, quick):
    held.process.send_signal(signal.SIGINT)
    held.open()
    before = sorted(quick.store.rglob("*"))
    for wrong, message in {
        "model.alhpa=1": "did you mean 'alpha'?",
        "modle.alpha=1": "did you mean 'model'?",
        "nothing": "there is no `=` in it",
        "model.class=nowhere.Model": "there is no module 'nowhere'",
    }.items():
        done = quick.mlcore("resume", held.run, wrong)
        assert done.code == 2
        assert message in done.err
        assert "Traceback" not in done.err
    assert sorted(quick.store.rglob("*")) == before


def test_a_finished_run_is_resumed_only_to_train_on(quick, calm):
    config = quick.write(GATED)
    quick.mlcore("run", config, "hooks.3.StopAfter.epochs=2").ok()
    [run] = quick.runs()
    done = quick.mlcore("resume", run.name)
    assert done.code == 2
    assert done.out == ""
    assert f"run train ({run.name}) is finished: there is nothing to go on with" in done.err
    assert f"mlcore resume {run.name} KEY=VALUE" in done.err
    assert len(list(run.glob("attempts/*.json"))) == 1
    quick.mlcore("resume", run.name, "hooks.3.StopAfter.epochs=4").ok()
    assert quick.facts(run) == calm


def test_a_run_that_is_running_is_not_resumed_but_may_be_taken_over(held, quick, calm):
    refused = quick.mlcore("resume", held.run)
    assert refused.code == 2
    assert f"is still running: pid {held.process.pid} on {platform.node()}" in refused.err
    assert "--takeover" in refused.err
    quick.mlcore("resume", held.run, "--takeover").ok()
    assert quick.facts(held.run) == calm
    before = {path: path.read_bytes() for path in quick.store.rglob("*") if path.is_file()}
    late = held.open()
    assert late.code == 2
    assert f"attempt 1 of run {held.run.name} was taken over by a newer attempt and stops" in late.err
    assert "Traceback" not in late.err
    assert "could not be recorded" not in late.err
    assert late.json["status"] == "finished", "the run itself is; this attempt is not"
    after = {path: path.read_bytes() for path in quick.store.rglob("*") if path.is_file()}
    assert {path for path in after if after[path] != before.get(path)} <= set(held.run.glob("files/*"))
    assert quick.facts(held.run) == calm


def test_a_run_that_was_taken_over_is_told_before_it_has_something_to_keep(tmp_path):
    """A long epoch need not run to its end: what the journal's thread writes in between is enough."""
    run = mlcore.start_run(store=str(tmp_path / "store"))

    def work():
        with run:
            Attempts(run.folder, run.id).claim(2)
            run.log(1, loss=0.5)
            until(lambda: run.stopping)

    with pytest.raises(SupersededError, match="was taken over by a newer attempt"):
        work()
    assert run.status == "superseded"


def test_of_two_resumes_at_once_one_wins_and_the_other_is_told(held, quick, calm):
    held.process.kill()
    held.process.communicate()
    held.gate.with_suffix(".held").unlink()
    racers = [quick.start("resume", held.run, GATE=str(held.gate)) for _ in range(2)]
    ended = until(lambda: [racer for racer in racers if racer.poll() is not None])
    assert len(ended) == 1, "the winner waits at the gate"
    [winner] = [racer for racer in racers if racer not in ended]
    lost = quick.wait(ended[0])
    assert lost.code == 2
    assert f"pid {winner.pid} on {platform.node()}" in lost.err
    until(held.waits, winner)
    held.gate.unlink()
    quick.wait(winner).ok()
    assert len(list(held.run.glob("attempts/*.json"))) == 2
    assert quick.facts(held.run) == calm


def test_a_run_whose_code_fails_keeps_its_own_traceback_and_can_be_resumed(quick, calm):
    config = quick.write(GATED)
    module = quick.path / "gated.py"
    sound = module.read_text()
    module.write_text(sound.replace("        yield batch", "        yield batch if self._epoch < 3 else 1 / 0"))
    done = quick.mlcore("run", config, "--json")
    assert done.code == 1
    assert done.json["status"] == "failed"
    assert "ZeroDivisionError" in done.err
    assert "gated.py" in done.err
    assert "mlcore_emloop_compat" not in done.err
    module.write_text(sound)
    quick.mlcore("resume", done.json["id"]).ok()
    assert quick.facts(quick.runs()[0]) == calm
