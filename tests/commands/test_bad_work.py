"""What goes wrong while a run works: the user's code, the data, the numbers."""

from __future__ import annotations

import pytest
from tests.commands.small_job import Desk


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


def line_of(desk, text):
    lines = (desk.path / "parts.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ("dataset.class=parts.BrokenData", "ValueError: the disk with the pictures is not mounted", "raise ValueError"),
        ("dataset.class=parts.BreaksOff", "OSError: picture 7 is gone", "raise OSError"),
        ("model={class: parts.Unlicensed}", "RuntimeError: no licence", "raise RuntimeError"),
    ],
)
def test_an_error_in_the_users_code_is_shown_with_the_users_lines_only(desk, change, error, text):
    done = desk.run(change)
    done.users(error, f'parts.py", line {line_of(desk, text)}, in ', text)
    [run] = desk.runs()
    assert f"go on with: mlcore resume {run.name}" in done.err
    shown = desk.mlcore("show", run.name, "--json").ok().json
    assert (shown["status"], shown["reason"]) == ("failed", error)
    assert "Traceback (most recent call last)" in shown["traceback"]
    assert error in shown["traceback"]


def test_what_show_says_of_a_failed_run_has_the_users_lines_only(desk):
    desk.run("dataset.class=parts.BrokenData")
    shown = desk.mlcore("show", "train").ok().out
    assert "failed: ValueError: the disk with the pictures is not mounted" in shown


def test_a_call_that_does_not_fit_the_users_code_is_an_error_without_our_frames(desk):
    (desk.path / "odd.py").write_text(
        "import parts\nfrom mlcore_emloop_compat import AbstractHook\n\n\n"
        "class Odd(AbstractHook):\n    def after_epoch(self):\n        pass\n"
    )
    done = desk.run("hooks=[odd.Odd]", "main_loop.epochs_count=1")
    done.refused("error: TypeError: Odd.after_epoch() got an unexpected keyword argument", "MLCORE_TRACEBACK=1", code=1)
    assert "at: mlcore_emloop_compat/hook_chain.py:" in done.err


@pytest.mark.filterwarnings("default")
def test_the_whole_traceback_is_there_for_who_asks(desk, monkeypatch):
    monkeypatch.setenv("MLCORE_TRACEBACK", "1")
    done = desk.run("dataset.class=parts.BrokenData")
    assert done.code == 1
    assert "in execute_job" in done.err


def test_an_error_of_ours_says_where_the_users_code_met_it(desk):
    (desk.path / "odd.py").write_text(
        "from mlcore_emloop_compat import AbstractHook\nfrom mlcore.runs import current_run\n\n\n"
        "class Odd(AbstractHook):\n    def after_epoch(self, epoch_id, epoch_data):\n"
        "        current_run().save_model(object())\n"
    )
    done = desk.run("hooks=[odd.Odd]")
    done.refused("no backend recognises builtins.object", "at: odd.py:7 in after_epoch")


@pytest.mark.parametrize(
    ("dataset", "fragments"),
    [
        ("EmptyBatch", ("a batch of the stream 'train' is empty", "'x': 0, 't': 0")),
        ("NoBatches", ("the stream 'train' of NoBatches has no batches",)),
        ("LacksTarget", ("the model needs the source 't'", "the stream 'train'")),
        ("Ragged", ("the stream 'train' are of unequal length: x 6, t 3",)),
        ("NoBatch", ("the stream 'train' gave a ndarray instead of a batch", "hint: a batch is a mapping")),
        ("NoStream", ("the stream 'train'", "int", "hint: let its method return an iterable")),
    ],
)
def test_data_that_do_not_fit_are_told_with_stream_and_source(desk, dataset, fragments):
    desk.run(f"dataset.class=parts.{dataset}").refused(*fragments)
    [run] = desk.runs()
    assert desk.mlcore("show", run.name, "--json").json["status"] == "failed"


def test_a_training_that_a_hook_ends_says_why(desk):
    hooks = "hooks=[{ComputeStats: {variables: [loss]}}, StopOnNaN, {StopAfter: {epochs: 9}}]"
    done = desk.run(hooks, "model.nan_after=2").ok()
    assert "finished: train loss mean is NaN" in done.out or "finished: train loss is NaN" in done.out
    shown = desk.mlcore("show", "train", "--json").ok().json
    assert shown["status"] == "finished"
    assert shown["reason"].startswith("train loss")
    assert len(shown["epochs"]) == 2
    assert f"status  finished: {shown['reason']}" in desk.mlcore("show", "train").out


def test_a_limit_that_ends_a_training_says_so(desk):
    assert "finished: training terminated after epoch 3" in desk.run().ok().out
    done = desk.run("hooks=[]", "main_loop.epochs_count=2").ok()
    assert "finished: training terminated after 2 epochs" in done.out


def test_a_run_that_failed_is_resumed_when_the_cause_is_mended(desk):
    desk.run("dataset.class=parts.BrokenData").users("ValueError")
    [run] = desk.runs()
    done = desk.mlcore("resume", run.name, "dataset.class=parts.Data").ok()
    assert "attempt 2, from the beginning: there is no complete checkpoint" in done.err
    shown = desk.mlcore("show", run.name, "--json").json
    assert (shown["status"], shown["traceback"]) == ("finished", None)


def test_secrets_of_a_command_line_are_not_recorded(desk):
    (desk.path / "odd.py").write_text(
        "from parts import Line\n\n\nclass Odd(Line):\n"
        "    def __init__(self, *args, password=None):\n        super().__init__(*args)\n"
    )
    done = desk.run("model={name: line, class: odd.Odd}", "model.password=hunter22").ok()
    assert "warning: model.password looks like a secret and is not stored" in done.err
    [run] = desk.runs()
    written = [path for path in run.rglob("*") if path.is_file() and b"hunter22" in path.read_bytes()]
    assert not written
    again = desk.mlcore("resume", run.name, "hooks.2.StopAfter.epochs=4")
    again.refused("model.password looked like a secret and was not stored", "model.password=VALUE")
    desk.mlcore("resume", run.name, "hooks.2.StopAfter.epochs=4", "model.password=hunter22").ok()
    written = [path for path in run.rglob("*") if path.is_file() and b"hunter22" in path.read_bytes()]
    assert not written
    desk.mlcore("resume", run.name, "hooks.2.StopAfter.epochs=5").refused("model.password looked like a secret")
