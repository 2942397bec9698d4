"""What readers see of a run: its status, whatever happened to its process, and how it is found."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, replace

import pytest

from mlcore import find_run, start_run
from mlcore.errors import RunError
from mlcore.journal import JournalWriter
from mlcore.runs import Attempts, RunView, list_runs, resume_run
from mlcore.runs.view import SILENCE
from mlcore.store import Store
from mlcore.store.process import Process


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


def finished(store, name=None, **values):
    with start_run(store=store, name=name) as run:
        for series, numbers in values.items():
            for step, number in enumerate(numbers):
                run.log(step, **{series: number})
    return run


def by(run, **changes):
    """Write another process into the record of the run's only attempt."""
    path = run.folder.local / "attempts" / "1.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "process": {**data["process"], **changes}}))
    return RunView(run.store, run.folder)


@pytest.fixture
def dead(store):
    """A run whose journal says that it is running, and whose process is gone."""
    with pytest.raises(RuntimeError), start_run(store=store, name="dead") as run:
        raise RuntimeError
    path = run.folder.local / "journal" / "1-main.1.jsonl"
    path.write_bytes(b"".join(line for line in path.read_bytes().splitlines(keepends=True) if b"failed" not in line))
    by(run, started="1")
    return run


def test_a_run_whose_process_is_gone_is_lost(dead):
    seen = RunView(dead.store, dead.folder)
    assert (seen.status, seen.reason, seen.alive) == ("lost", None, False)


def test_a_run_of_an_earlier_boot_is_lost(dead):
    assert by(dead, boot="another/boot").status == "lost"


def test_a_run_of_another_machine_runs_as_long_as_its_journal_moves(dead):
    seen = by(dead, host="elsewhere")
    assert (seen.status, seen.alive) == ("running", True)
    old = time.time() - SILENCE - 5
    for path in [*dead.folder.local.glob("journal/*"), *dead.folder.local.glob("attempts/*")]:
        os.utime(path, (old, old))
    seen = RunView(dead.store, dead.folder)
    assert (seen.status, seen.alive) == ("lost", False)


def test_a_run_that_is_over_is_over_whatever_became_of_its_process(store):
    run = finished(store)
    for change in ({"started": "1"}, {"host": "elsewhere"}, {"boot": "x"}):
        assert by(run, **change).status == "finished"


def test_a_run_cut_short_before_its_first_attempt_is_lost_and_can_be_resumed(store):
    run = finished(store)
    for path in [*run.folder.local.glob("attempts/*"), *run.folder.local.glob("journal/*")]:
        path.unlink()
    seen = RunView(run.store, run.folder)
    assert (seen.status, seen.attempts, seen.epochs, seen.next_attempt) == ("lost", [], [], 2)
    assert seen.summary()["status"] == "lost"
    with resume_run(seen) as again:
        assert again.attempt.number == 2
    assert RunView(run.store, run.folder).status == "finished"


def test_only_the_newest_attempt_says_how_a_run_is(dead):
    with resume_run(RunView(dead.store, dead.folder)) as run:
        assert RunView(dead.store, dead.folder).status == "running"
        run.stop("by hand")
    assert RunView(dead.store, dead.folder).status == "stopped"
    process = replace(Process.current(), started="1")
    attempt = replace(Attempts(dead.folder, dead.id).read(2), number=3, process=process)
    dead.folder.create("attempts/3.json", json.dumps(asdict(attempt)).encode())
    seen = RunView(dead.store, dead.folder)
    assert (seen.status, seen.reason) == ("lost", None), "what an earlier attempt said is not what this one says"


def test_the_best_of_a_loss_is_the_lowest_and_of_anything_else_the_highest(store):
    run = finished(store, loss=[3, 1, 2], accuracy=[0.1, 0.3, 0.2], val_error=[2, 3], score=[float("nan"), 1, 0])
    best = {metric.name: (metric.last, metric.best) for metric in RunView(store, run.folder).metrics}
    assert best == {"loss": (2, 1), "accuracy": (0.2, 0.3), "val_error": (3, 2), "score": (0, 1)}


def test_epochs_have_the_metrics_of_their_streams(store):
    with start_run(store=store) as run:
        writer = JournalWriter(run.folder, 1, writer="other")
        for epoch in (1, 2):
            writer.log(epoch, {"train.loss": 1 / epoch, "valid.loss": 2 / epoch, "lonely": 5})
            writer.write("epoch", epoch=epoch, seconds=0.5)
        writer.close()
    seen = RunView(store, run.folder)
    assert seen.epochs == [
        {"epoch": 1, "seconds": 0.5, "metrics": {"train": {"loss": 1.0}, "valid": {"loss": 2.0}}},
        {"epoch": 2, "seconds": 0.5, "metrics": {"train": {"loss": 0.5}, "valid": {"loss": 1.0}}},
    ]


def test_what_rotted_in_the_journal_costs_only_itself(store):
    with start_run(store=store) as run:
        writer = JournalWriter(run.folder, 1, writer="other")
        writer.write("epoch", epocj=1)
        writer.write("epoch", epoch=2)
        writer.write("model", name="x")
        writer.write("status", reason="?")
        writer.close()
    seen = RunView(store, run.folder)
    assert [row["epoch"] for row in seen.epochs] == [2]
    assert seen.models == []
    assert seen.details()["models"] == []


# --- finding ---


def test_the_newest_comes_first(store):
    runs = [finished(store, name) for name in ("one", "two", "three")]
    listed = [seen.id for seen in list_runs(store)]
    assert listed == sorted(listed, reverse=True)
    assert set(listed) == {run.id for run in runs}


def test_a_run_is_found_by_id_prefix_random_part_name_path_and_url(store, tmp_path):
    run = finished(store, "fit")
    finished(store, "other")
    random_part = run.id.rpartition("-")[2]
    path = run.folder.local
    for wanted in (run.id, random_part, random_part[:5], "fit", str(path), path.as_uri()):
        assert find_run(store, wanted).id == run.id, wanted
    elsewhere = Store(str(tmp_path / "elsewhere"))
    assert find_run(elsewhere, str(path)).store.url == store.url, "a path brings its store"


def test_of_one_name_the_newest_is_meant(store):
    runs = [finished(store, "fit") for _ in range(3)]
    newest = next(iter(list_runs(store))).id
    assert newest in {run.id for run in runs}
    assert find_run(store, "fit").id == newest


def test_a_name_goes_before_a_prefix(store):
    run = finished(store)
    named = finished(store, run.id[:4])
    assert find_run(store, run.id[:4]).id == named.id


def test_a_prefix_of_several_is_told_with_them(store):
    runs = [finished(store) for _ in range(2)]
    with pytest.raises(RunError, match="2 runs begin with") as caught:
        find_run(store, runs[0].id[:6])
    assert all(run.id in str(caught.value) for run in runs)
    assert caught.value.hint == "give more of the id"


@pytest.mark.parametrize("wanted", ["nothing", "", " ", "..", "/", "a/b", "\x00", "x" * 500, "*", "s3:/x"])
def test_what_is_no_run_is_told(store, wanted):
    with pytest.raises(RunError, match="there is no run") as caught:
        find_run(store, wanted)
    assert "mlcore run FILE" in caught.value.hint
    finished(store, "fit")
    with pytest.raises(RunError, match="there is no run"):
        find_run(store, wanted)


def test_what_lies_among_the_runs_and_is_none_is_left_out(store):
    run = finished(store)
    month = run.folder.local.parent
    (month / "notes").mkdir()
    (month / "file").write_text("x")
    (month / "20260101-000000-abcdef").mkdir()
    (month.parent / "readme").write_text("x")
    assert [seen.id for seen in list_runs(store)] == [run.id]


def test_where_there_is_no_run_there_is_none(store, tmp_path):
    assert list(list_runs(store)) == []
    with pytest.raises(RunError, match="there is no run here"):
        _ = RunView(store, store / "runs" / "x").header
    assert not list(tmp_path.iterdir())
