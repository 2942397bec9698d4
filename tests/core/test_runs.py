"""Runs in plain Python: what they keep, how they end, and how they go on."""

from __future__ import annotations

import contextvars
import json
import random
import threading

import numpy as np
import pytest
from tests.core.test_checkpoint import Constant

import mlcore
from mlcore import current_run, find_run, start_run
from mlcore.errors import KeyExistsError, MlcoreError, RunBusyError, RunError, StoreError, SupersededError
from mlcore.events import CheckpointSaved, MetricsLogged, ModelSaved, RunFailed, RunFinished, RunStarted
from mlcore.hookspecs import hookimpl
from mlcore.plugins import PluginHost
from mlcore.runs import Attempts, RunView, list_runs, resume_run
from mlcore.store import Store, find_store, use_store

# A run ends with what its body raises, and a body has several statements.
ending_with = pytest.raises


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


@pytest.fixture(autouse=True)
def _no_accident(tmp_path, monkeypatch):
    """A test that forgets its store makes one here."""
    monkeypatch.chdir(tmp_path)


def view(run):
    return RunView(run.store, run.folder)


# --- a run ---


def test_a_run_keeps_config_numbers_models_and_files(store):
    with start_run({"a": {"b": 1}}, store=store, name="fit", seed=5) as run:
        assert view(run).status == "running"
        for step in range(3):
            run.log(step, loss=1 / (step + 1), accuracy=step)
        run.log(1.5, **{"valid.loss": 0.5})
        version = run.save_model(Constant(1), aliases=("best",), step=2, metadata={"note": "x"})
        run.append("notes.txt").write("hello\n")
        (run.directory / "plot.txt").write_text("plot")
    seen = view(run)
    assert (seen.status, seen.name, seen.header.seed, seen.header.runner) == ("finished", "fit", 5, None)
    assert seen.effective_config().data == {"a": {"b": 1}}
    series = seen.journal.series()
    assert list(series) == ["loss", "accuracy", "valid.loss"]
    assert list(series["accuracy"].values) == [0, 1, 2]
    assert {(metric.stream, metric.name): (metric.last, metric.best) for metric in seen.metrics} == {
        (None, "loss"): (1 / 3, 1 / 3),
        (None, "accuracy"): (2, 2),
        ("valid", "loss"): (0.5, 0.5),
    }
    [model] = seen.models
    assert (model["name"], model["version"], model["aliases"], model["step"]) == ("fit", 1, ["best"], 2)
    assert model["digest"] == version.digest
    assert version.manifest.meta["made"] == {"run": run.id, "step": 2, "metadata": {"note": "x"}}
    assert (run.folder.local / "files" / "notes.txt").read_text() == "hello\n"
    assert (run.folder.local / "files" / "plot.txt").read_text() == "plot"
    assert json.loads(json.dumps(seen.details()))["config"] == {"a": {"b": 1}}


def test_a_run_without_a_name_has_one_of_its_id(store):
    with start_run(store=store) as run:
        pass
    assert run.name == f"run-{run.id.rpartition('-')[2]}"
    assert find_run(store, run.name).id == run.id


@pytest.mark.parametrize("name", ["a/b", "..", " x", "a@b", "x" * 300])
def test_a_name_that_cannot_be_stored_leaves_nothing(store, name, tmp_path):
    with pytest.raises(StoreError, match="cannot be a name"):
        start_run(store=store, name=name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_is_none_leaves_nothing(store, seed, tmp_path):
    with pytest.raises(RunError, match="out of range"):
        start_run(store=store, seed=seed)
    with pytest.raises(TypeError, match="integer"):
        start_run(store=store, seed=1.5)
    assert not list(tmp_path.iterdir())


def test_listeners_hear_of_the_whole_life(store):
    heard = []

    class Plugin:
        @hookimpl
        def mlcore_subscribe(self, run):
            for kind in (RunStarted, MetricsLogged, ModelSaved, CheckpointSaved, RunFinished):
                run.bus.on(kind, heard.append)

    host = PluginHost(allow=()).load()
    host.add("listener", Plugin())
    with start_run(store=store, name="fit", host=host) as run:
        run.log(1, loss=2)
        run.checkpoint({}, models={"m": Constant()})
        run.save_model(Constant(), aliases=("best",))
        run.reason = "it was enough"
    assert [type(event).__name__ for event in heard] == [
        "RunStarted",
        "MetricsLogged",
        "CheckpointSaved",
        "ModelSaved",
        "RunFinished",
    ]
    started, logged, kept, saved, finished = heard
    assert (started.run_id, started.attempt, started.resumed) == (run.id, 1, False)
    assert (logged.step, logged.values) == (1, {"loss": 2})
    assert (kept.step, saved.name, saved.aliases) == (1, "fit", ("best",))
    assert (finished.status, finished.reason) == ("finished", "it was enough")
    assert view(run).reason == "it was enough"


# --- how it ends ---


def test_a_failing_body_is_recorded_and_raised(store):
    heard = []
    with ending_with(ZeroDivisionError), start_run(store=store) as run:
        run.bus.on(RunFailed, heard.append)
        1 / 0
    seen = view(run)
    assert (run.status, seen.status, seen.reason) == ("failed", "failed", "ZeroDivisionError: division by zero")
    assert "test_runs.py" in seen.traceback
    assert isinstance(heard[0].error, ZeroDivisionError)


def test_a_failing_listener_of_the_failure_hides_nothing(store):
    def fail(event):
        raise KeyError("listener")

    with ending_with(ZeroDivisionError) as caught, start_run(store=store) as run:
        run.bus.on(RunFailed, fail)
        1 / 0
    assert any("KeyError" in note for note in caught.value.__notes__)
    assert view(run).status == "failed"


def test_a_failing_listener_ends_the_run_with_its_name(store):
    def picky(event):
        raise ValueError("I do not like it")

    with ending_with(ValueError, match="like it") as caught, start_run(store=store) as run:
        run.bus.on(MetricsLogged, picky)
        run.log(1, loss=1)
    assert any("picky" in note and "MetricsLogged" in note for note in caught.value.__notes__)
    seen = view(run)
    assert seen.status == "failed"
    assert list(seen.journal.series()) == ["loss"], "what a listener breaks is on record"


def test_a_plugin_that_fails_at_the_start_ends_the_run_with_its_name(store):
    class Plugin:
        @hookimpl
        def mlcore_subscribe(self, run):
            raise ValueError("no server")

    host = PluginHost(allow=()).load()
    host.add("tracker", Plugin())
    run = start_run(store=store, host=host)
    with pytest.raises(ValueError, match="no server") as caught, run:
        pytest.fail("the body must not run")
    assert any("mlcore_subscribe of plugin 'tracker'" in note for note in caught.value.__notes__)
    assert view(run).status == "failed"
    assert current_run() is None


def test_a_failing_listener_of_the_end_is_raised_and_recorded(store):
    def fail(event):
        raise KeyError("listener")

    with ending_with(KeyError), start_run(store=store) as run:
        run.bus.on(RunFinished, fail)
    assert view(run).status == "failed"
    assert current_run() is None


def test_stop_is_a_wish_that_is_recorded(store):
    with start_run(store=store) as run:
        for step in range(100):
            if run.stopping:
                break
            run.log(step, x=step)
            if step == 3:
                run.stop("enough")
    seen = view(run)
    assert (run.status, seen.status, seen.reason) == ("stopped", "stopped", "enough")
    assert len(seen.journal.series()["x"].steps) == 4


def test_ctrl_c_is_a_stop(store):
    with ending_with(KeyboardInterrupt), start_run(store=store) as run:
        raise KeyboardInterrupt
    assert (view(run).status, view(run).reason) == ("stopped", "interrupted")


# --- where it is ---


def test_the_current_run_is_that_of_the_block(store, tmp_path):
    other = Store(str(tmp_path / "other"))
    assert current_run() is None
    with start_run(store=store) as outer:
        assert current_run() is outer
        assert find_store().url == store.url
        with start_run(parent=outer.id) as inner:
            assert current_run() is inner
            assert inner.store.url == store.url, "a run inside a run is kept where that one is"
        with start_run(store=other) as inner_elsewhere:
            assert find_store().url == other.url
        assert current_run() is outer
        assert find_store().url == store.url
    assert current_run() is None
    assert {seen.id for seen in list_runs(store)} == {outer.id, inner.id}
    assert [seen.id for seen in list_runs(other)] == [inner_elsewhere.id]
    assert view(inner).header.parent == outer.id


def test_the_store_is_that_of_the_environment_without_another(tmp_path, monkeypatch):
    monkeypatch.setenv("MLCORE_STORE", str(tmp_path / "by-variable"))
    with start_run() as run:
        assert run.store.url == str(tmp_path / "by-variable")
    with use_store(str(tmp_path / "by-block")), start_run() as run:
        assert run.store.url == str(tmp_path / "by-block")
    with start_run(store=str(tmp_path / "by-argument")) as run:
        assert run.store.url == str(tmp_path / "by-argument")


def test_runs_in_threads_do_not_see_each_other(store):
    seen, barrier = {}, threading.Barrier(3)

    def work(number):
        with start_run(store=store, name=f"thread-{number}") as run:
            barrier.wait()
            run.log(number, x=number)
            seen[number] = current_run() is run
            barrier.wait()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {0: True, 1: True, 2: True}
    for number in range(3):
        found = find_run(store, f"thread-{number}")
        assert (found.status, list(found.journal.series()["x"].values)) == ("finished", [number])


def test_a_thread_with_the_context_of_a_run_logs_into_it(store):
    with start_run(store=store) as run:
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(lambda: current_run().log(1, x=1),))
        thread.start()
        thread.join()
    assert list(view(run).journal.series()) == ["x"]


# --- randomness ---


def test_a_generator_depends_on_seed_and_name_only(store):
    with start_run(store=store, seed=1) as one:
        first, second = one.rng("a").random(3), one.rng("b").random(3)
    with start_run(store=store, seed=1) as two:
        assert two.rng("b").random(3).tolist() == second.tolist()
        assert two.rng("a").random(3).tolist() == first.tolist()
        assert two.rng("a") is two.rng("a")
    with start_run(store=store, seed=2) as three:
        assert three.rng("a").random(3).tolist() != first.tolist()
    assert first.tolist() != second.tolist()


def test_a_seed_that_was_given_seeds_the_global_generators(store):
    def draw(**options):
        with start_run(store=store, **options):
            return random.random(), np.random.rand()

    assert draw(seed=3) == draw(seed=3)
    random.seed(7)
    before = random.getstate()
    with start_run(store=store):
        assert random.getstate() == before, "a run that was given no seed leaves the generators alone"


# --- going on ---


def train(run, until, stop_at=None):
    """A loop written by hand: a walk with state, two kinds of randomness, a table."""
    restored = run.restore()
    state = restored.state if restored else {"epoch": 0, "weights": np.zeros(3), "history": ()}
    if restored:
        restored.generators()
    epoch, weights, history = state["epoch"], state["weights"], state["history"]
    table = run.append("table.csv")
    while epoch < until:
        epoch += 1
        weights = weights + run.rng("noise").normal(size=3) + np.random.rand() + random.random()
        history = (*history, float(weights.sum()))
        run.log(epoch, total=weights.sum())
        table.write(f"{epoch},{weights.sum()}\n")
        run.checkpoint({"epoch": epoch, "weights": weights, "history": history}, models={"model": Constant(epoch)})
        if epoch == stop_at:
            run.log(epoch + 0.5, total=-1)
            table.write("lost\n")
            raise RuntimeError("cut off")
    return weights, history


def facts(run):
    seen = view(run)
    series = seen.journal.series()["total"]
    return list(series.steps), list(series.values), (run.directory / "table.csv").read_text()


def test_a_loop_goes_on_bit_for_bit(store):
    with start_run(store=store, seed=11) as calm:
        expected = train(calm, 6)
    with ending_with(RuntimeError), start_run(store=store, seed=11) as cut:
        train(cut, 6, stop_at=3)
    assert facts(cut) != facts(calm)
    with resume_run(view(cut)) as first:
        with pytest.raises(RuntimeError):
            train(first, 6, stop_at=5)
        first.stop("by hand")
    with resume_run(view(cut)) as second:
        assert second.restore().model().value == "5 True"
        found = train(second, 6)
    assert found[0].tolist() == expected[0].tolist()
    assert found[1] == expected[1]
    assert facts(second) == facts(calm)
    assert [attempt.resumed_from for attempt in view(cut).attempts] == [None, 3, 5]


def test_a_file_that_no_later_attempt_opens_is_cut_all_the_same(store):
    with ending_with(RuntimeError), start_run(store=store, seed=11) as cut:
        train(cut, 6, stop_at=3)
    with resume_run(view(cut)) as run:
        pass
    assert (run.directory / "table.csv").read_text().count("\n") == 3


def test_a_file_begun_after_the_checkpoint_begins_anew(store):
    with ending_with(RuntimeError), start_run(store=store) as cut:
        cut.checkpoint({})
        cut.append("late.txt").write("old\n")
        raise RuntimeError
    with resume_run(view(cut)) as run:
        run.append("late.txt").write("new\n")
    assert (run.directory / "late.txt").read_text() == "new\n"


def test_a_run_without_a_checkpoint_begins_at_the_beginning(store):
    with ending_with(RuntimeError), start_run(store=store) as cut:
        cut.log(1, x=1)
        raise RuntimeError
    with resume_run(view(cut)) as run:
        assert run.restore() is None
        run.log(1, x=2)
    assert list(view(run).journal.series()["x"].values) == [2]


def test_a_step_that_goes_back_is_refused(store):
    with start_run(store=store) as run:
        run.checkpoint({}, step=5)
        run.checkpoint({"again": True}, step=5)
        with pytest.raises(MlcoreError, match="checkpoint 4 comes after checkpoint 5"):
            run.checkpoint({}, step=4)
        run.checkpoint({})
    assert [found["step"] for found in view(run).checkpoints] == [5, 6]


def test_a_state_that_cannot_be_kept_is_told_and_costs_no_checkpoint(store):
    with start_run(store=store) as run:
        run.checkpoint({"epoch": 1})
        with pytest.raises(MlcoreError, match=r"state\.state\.model is a Constant"):
            run.checkpoint({"model": Constant()})
        run.checkpoint({"epoch": 2})
    assert [found["step"] for found in view(run).checkpoints] == [1, 2]


def test_a_finished_run_goes_on_only_with_a_change(store):
    with start_run({"epochs": 1}, store=store, name="fit") as run:
        run.checkpoint({"epoch": 1})
    with pytest.raises(RunError, match="is finished: there is nothing to go on with"):
        resume_run(view(run))
    with pytest.raises(MlcoreError, match=r"override 'epoch\.x=1'"):
        resume_run(view(run), ["epoch.x=1"])
    with resume_run(view(run), ["epochs=2"]) as more:
        assert more.config.data == {"epochs": 2}
        assert more.restore().state == {"epoch": 1}
    assert view(run).effective_config().data == {"epochs": 2}
    with resume_run(view(run), ["new=3"]) as again:
        assert again.config.data == {"epochs": 2, "new": 3}


def test_a_running_run_is_not_resumed_but_may_be_taken_over(store):
    with ending_with(SupersededError), start_run(store=store) as first:
        first.checkpoint({})
        with pytest.raises(RunBusyError, match="is still running: pid"):
            resume_run(view(first))
        with resume_run(view(first), takeover=True) as second:
            second.log(1, x=1)
            with pytest.raises(SupersededError):
                first.checkpoint({"late": True})
            with pytest.raises(SupersededError):
                first.save_model(Constant())
        first.log(2, x=2)
        first.checkpoint({})
    assert first.status == "superseded"
    seen = view(first)
    assert seen.status == "finished"
    assert list(seen.journal.series()["x"].values) == [1]
    assert not seen.models


def test_of_two_who_resume_at_once_one_is_told(store):
    with ending_with(RuntimeError), start_run(store=store) as cut:
        raise RuntimeError
    attempts = Attempts(cut.folder, cut.id)
    attempts.claim(2)
    with pytest.raises(RunBusyError, match="was just started by another process: pid"):
        attempts.claim(2)


def test_a_run_that_is_not_ended_twice(store):
    with start_run(store=store) as run:
        pass
    with pytest.raises((MlcoreError, KeyExistsError)):
        run.log(1, x=1) or run.checkpoint({})
    assert view(run).status == "finished"


# --- in memory ---


@pytest.mark.usefixtures("empty_memory")
def test_a_run_in_memory_is_like_any_other():
    store = Store("memory://runs")
    with ending_with(RuntimeError), start_run(store=store, seed=11, name="fit") as cut:
        train(cut, 6, stop_at=3)
    with resume_run(find_run(store, "fit")) as run:
        train(run, 6)
    seen = find_run(store, "fit")
    assert seen.status == "finished"
    assert list(seen.journal.series()["total"].steps) == [1, 2, 3, 4, 5, 6]
    table = (run.folder / "files").read_bytes("table.csv").decode()
    assert [line.partition(",")[0] for line in table.splitlines()] == ["1", "2", "3", "4", "5", "6"]


def test_everything_is_at_the_top_of_the_package():
    assert mlcore.start_run is start_run
    assert mlcore.current_run is current_run
