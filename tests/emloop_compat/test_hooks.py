"""Every loop hook, with good and bad arguments and data, and what it remembers."""

from __future__ import annotations

import json
import logging
import math

import numpy as np
import pytest
from tests.emloop_compat.conftest import Doubler, Line, Lists, Points, after_epoch, make_loop, revived

from mlcore.errors import MlcoreError
from mlcore.runs import start_run
from mlcore_emloop_compat import AbstractHook, MainLoop, hooks
from mlcore_emloop_compat.hooks import (
    AccumulateVariables,
    ComputeStats,
    LogVariables,
    SaveBest,
    SaveLatest,
    ShowProgress,
    StopAfter,
    StopOnNaN,
    TrainingTerminated,
    TrainingTrace,
)
from mlcore_emloop_compat.utils.yaml import parse

GIVEN = {"dataset": None, "model": None, "output_dir": None}


# --- what all have in common ---


def everyone(tmp_path):
    model = Line(None, str(tmp_path))
    return [
        AccumulateVariables(["x"], **GIVEN),
        ComputeStats(["x"], **GIVEN),
        LogVariables(**GIVEN),
        SaveBest(**{**GIVEN, "model": model}),
        SaveLatest(**{**GIVEN, "model": model}),
        ShowProgress(**GIVEN),
        StopAfter(epochs=1, **GIVEN),
        StopOnNaN(**GIVEN),
        TrainingTrace(**GIVEN),
    ]


def test_every_hook_of_the_package_is_tried_here(tmp_path):
    public = {name for name in hooks.__all__ if name not in ("AbstractHook", "TrainingTerminated")}
    assert {type(hook).__name__ for hook in everyone(tmp_path)} == public


def test_every_hook_takes_what_a_config_gives_and_declares_its_state(tmp_path, caplog):
    for number, hook in enumerate(everyone(tmp_path)):
        assert hook.state_dict() is not None, f"{type(hook).__name__} declares no state"
        revived(hook, everyone(tmp_path)[number], tmp_path / str(number))
    assert not caplog.records


def test_an_argument_that_nobody_knows_is_told(caplog):
    LogVariables(varables=["loss"], **GIVEN)
    assert [record.getMessage() for record in caplog.records] == ["LogVariables does not know the argument `varables`"]


def test_a_plain_hook_declares_no_state():
    assert AbstractHook().state_dict() is None


# --- AccumulateVariables and ComputeStats ---


def test_variables_are_kept_by_stream_and_forgotten_after_the_epoch():
    hook = AccumulateVariables(["a", "b"])
    hook.after_batch(stream_name="train", batch_data={"a": [1, 2], "b": np.array([3.0, 4.0]), "c": [0, 0]})
    hook.after_batch(stream_name="train", batch_data={"a": [5], "b": np.array([6.0])})
    hook.after_batch(stream_name="valid", batch_data={"a": [7], "b": [8]})
    assert hook._accumulator["train"] == {"a": [1, 2, 5], "b": [3.0, 4.0, 6.0]}
    assert hook._accumulator["valid"] == {"a": [7], "b": [8]}
    after_epoch(hook)
    assert not hook._accumulator["train"]["a"]


@pytest.mark.parametrize("kind", [AccumulateVariables, ComputeStats])
def test_a_variable_that_cannot_be_collected_is_told(kind):
    hook = kind(["loss"])
    with pytest.raises(
        KeyError, match="'loss', which the batches of stream 'train' do not have\n  hint: they have: x, y"
    ) as caught:
        hook.after_batch(stream_name="train", batch_data={"x": [1], "y": [1]})
    assert isinstance(caught.value, MlcoreError)
    for single in (0.5, np.float32(0.5), np.array(0.5)):
        with pytest.raises(TypeError, match=f"the variable 'loss' is a single {type(single).__name__}"):
            hook.after_batch(stream_name="train", batch_data={"loss": single})


@pytest.mark.parametrize("kind", [AccumulateVariables, ComputeStats, LogVariables, StopOnNaN])
@pytest.mark.parametrize("variables", ["loss", 3])
def test_variables_are_a_list(kind, variables):
    with pytest.raises(
        ValueError, match=rf"{kind.__name__}'s variables are {variables!r}, not a list\n.*\[{variables}\]"
    ):
        kind(variables=variables)


def stats(variables, batches, streams=("train",)):
    hook = ComputeStats(variables)
    for batch in batches:
        hook.after_batch(stream_name="train", batch_data=batch)
    return after_epoch(hook, **{name: {} for name in streams})


def test_aggregates_are_written_into_the_epochs_data():
    batches = [{"a": np.array([1.0, 2.0]), "b": [[1, 2], [3, 4]]}, {"a": np.array([6.0]), "b": [[5, 6]]}]
    found = stats(["a", {"b": ["mean", "max"]}], batches)
    assert found == {"train": {"a": {"mean": 3.0}, "b": {"mean": 3.5, "max": 6}}}


def test_a_variable_may_have_several_aggregates_from_several_items():
    found = stats(["a", {"a": ["std", "median", "nancount", "nanfraction"]}], [{"a": np.array([1.0, math.nan])}])[
        "train"
    ]["a"]
    assert list(found) == ["mean", "std", "median", "nancount", "nanfraction"]
    assert (found["nancount"], found["nanfraction"]) == (1, 0.5)
    assert math.isnan(found["mean"])


def test_the_mean_is_that_of_all_examples_whatever_their_type():
    values = np.random.default_rng(0).normal(size=10)
    for convert in (list, np.asarray, lambda part: np.asarray(part).reshape(-1, 1), tuple):
        found = stats(["a"], [{"a": convert(values[:7])}, {"a": convert(values[7:])}])
        assert found["train"]["a"]["mean"] == pytest.approx(values.mean())


def test_a_stream_without_batches_has_nan_aggregates():
    found = stats([{"a": ["mean", "max"]}], [{"a": [1]}], streams=("train", "valid"))
    assert found["train"]["a"] == {"mean": 1, "max": 1}
    assert all(math.isnan(value) for value in found["valid"]["a"].values())


def test_plain_iterables_have_aggregates_under_their_own_names():
    seen = []

    class Look(AbstractHook):
        def after_epoch(self, epoch_id, epoch_data):
            seen.append(json.loads(json.dumps(epoch_data)))

    loop = make_loop([ComputeStats(["y"]), Look()])
    with loop:
        loop.epoch([[{"x": [1, 2]}]], [[{"x": [5]}]])
    assert seen == [{"unnamed_train_0": {"y": {"mean": 3.0}}, "unnamed_eval_0": {"y": {"mean": 10.0}}}]


@pytest.mark.parametrize(
    ("variables", "what"),
    [
        ([{"a": ["maen"]}], "no aggregation 'maen'\n  hint: did you mean 'mean'"),
        ([{"a": [3]}], "no aggregation 3"),
        ([{"a": "mean"}], "aggregations of a are 'mean', not a list"),
        ([{"a": None}], "aggregations of a are None, not a list"),
        ([3], "3 is no variable"),
    ],
)
def test_wrong_aggregations_are_refused(variables, what):
    with pytest.raises(ValueError, match=what):
        ComputeStats(variables)


def test_what_was_collected_survives_a_checkpoint(tmp_path):
    hook = ComputeStats(["a", "b"])
    hook.after_batch(stream_name="train", batch_data={"a": np.array([1.0, 2.0]), "b": [[1, 2], [3, 4]]})
    fresh = revived(hook, ComputeStats(["a", "b"]), tmp_path)
    assert after_epoch(fresh, train={}) == after_epoch(hook, train={})


# --- LogVariables ---


def logged(caplog, data, **arguments):
    caplog.clear()
    caplog.set_level(logging.INFO)
    after_epoch(LogVariables(**arguments), **data)
    return [record.getMessage().strip() for record in caplog.records][1:]


def test_numbers_and_aggregates_are_logged(caplog):
    data = {"train": {"loss": {"mean": 0.5, "std": np.float32(0.25)}, "rate": 1, "text": "x", "array": np.zeros(2)}}
    assert logged(caplog, data) == ["train loss mean: 0.500000", "train loss std: 0.250000", "train rate: 1.000000"]
    assert logged(caplog, data, variables=["rate"]) == ["train rate: 1.000000"]
    assert logged(caplog, data, variables=["text"], on_unknown_type="str") == ["train text: x"]


def test_what_cannot_be_logged_is_an_error_told_or_ignored(caplog):
    data = {"train": {"text": "x"}}
    with pytest.raises(TypeError, match="train text is a str"):
        logged(caplog, data, on_unknown_type="error")
    assert "train text is a str" in logged(caplog, data, on_unknown_type="warn")[0]
    assert logged(caplog, data) == []
    assert logged(caplog, {"train": {"mixed": {"mean": 1, "text": "x"}}}) == []


def test_percent_signs_in_names_are_harmless(caplog):
    assert logged(caplog, {"train": {"100%d": "50%s"}}, on_unknown_type="str") == ["train 100%d: 50%s"]
    assert "train 100%d is a str" in logged(caplog, {"train": {"100%d": "50%s"}}, on_unknown_type="warn")[0]


def test_logging_refuses_what_it_does_not_know():
    with pytest.raises(KeyError, match="LogVariables finds no variable 'los' in stream 'train'\n  hint: it has: loss"):
        after_epoch(LogVariables(variables=["los"]), train={"loss": 1})
    with pytest.raises(
        ValueError, match="LogVariables's on_unknown_type is 'cry'; it is one of error, warn, str, ignore"
    ):
        LogVariables(on_unknown_type="cry")


# --- StopAfter ---


@pytest.mark.parametrize(
    ("arguments", "epochs", "trained"),
    [
        ({"epochs": 2}, 2, 4),
        ({"epochs": 0}, 0, 0),
        ({"iterations": 5}, 1, 3),  # of which 2 in epoch 0
        ({"epochs": 3, "iterations": 1}, 0, 0),
        ({"minutes": 0}, 0, 0),
        ({"epochs": 2, "minutes": 60}, 2, 4),
        ({"epochs": 9, "iterations": 3, "train_stream_name": "valid"}, 1, 4),
    ],
)
def test_a_training_stops_at_the_first_of_its_limits(arguments, epochs, trained):
    model = Doubler()
    loop = make_loop([StopAfter(**arguments)], model=model, epochs_count=None)
    loop.run_training()
    assert loop.training_epochs_done == epochs
    assert sum(train for _, train, _ in model.calls) == trained


def test_a_finished_training_can_still_be_evaluated():
    model = Doubler()
    loop = make_loop([StopAfter(epochs=1)], model=model, epochs_count=None)
    loop.run_training()
    model.calls.clear()
    loop.run_evaluation("valid")
    assert len(model.calls) == 1


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({}, "StopAfter has no limit"),
        ({"epochs": "3"}, "StopAfter's epochs is '3'; it is a number, 0 or above"),
        ({"iterations": -1}, "StopAfter's iterations is -1"),
        ({"minutes": math.nan}, "StopAfter's minutes is nan"),
        ({"epochs": True}, "StopAfter's epochs is True"),
    ],
)
def test_wrong_limits_are_refused(arguments, what):
    with pytest.raises(ValueError, match=what):
        StopAfter(**arguments)


def test_a_resumed_training_goes_on_counting(tmp_path):
    hook = StopAfter(iterations=3)
    for _ in range(2):
        hook.after_batch(stream_name="train", batch_data={})
    fresh = revived(hook, StopAfter(iterations=3), tmp_path)
    fresh.before_training()
    with pytest.raises(TrainingTerminated, match="after 3 iterations"):
        fresh.after_batch(stream_name="train", batch_data={})


def test_the_time_between_stop_and_resume_does_not_count():
    hook = StopAfter(minutes=1)
    hook.load_state_dict({"iterations": 0, "seconds": 59.0})
    hook.before_training()
    hook.after_batch(stream_name="train", batch_data={})
    hook.load_state_dict({"iterations": 0, "seconds": 61.0})
    with pytest.raises(TrainingTerminated, match="minutes"):
        hook.after_batch(stream_name="train", batch_data={})


# --- StopOnNaN ---


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        np.float32("nan"),
        [1.0, math.nan],
        np.array([[1.0, 2.0], [3.0, np.nan]]),
        [[1.0], [2.0, math.nan]],
        {"mean": math.nan, "std": 1.0},
        {"deep": {"deeper": [math.nan]}},
    ],
    ids=str,
)
def test_nan_is_found_at_any_depth(value):
    with pytest.raises(TrainingTerminated, match="train loss is NaN"):
        after_epoch(StopOnNaN(), train={"loss": value})
    after_epoch(StopOnNaN(variables=["other"]), train={"loss": value, "other": 1})
    after_epoch(StopOnNaN(after_epoch=False, after_batch=True), train={"loss": value})
    with pytest.raises(TrainingTerminated):
        StopOnNaN(after_batch=True).after_batch(stream_name="train", batch_data={"loss": value})
    StopOnNaN().after_batch(stream_name="train", batch_data={"loss": value})


@pytest.mark.parametrize(
    "value", [1, True, "nan", ["a", "b"], None, [], {}, b"x", np.array(["nan"]), math.inf], ids=str
)
def test_what_is_not_nan_is_left_alone(value):
    after_epoch(StopOnNaN(), train={"loss": value})


def test_infinities_count_when_asked_for():
    for value in (math.inf, -math.inf, np.array([1, np.inf])):
        with pytest.raises(TrainingTerminated, match="NaN or infinite"):
            after_epoch(StopOnNaN(stop_on_inf=True), train={"loss": value})


def test_values_that_cannot_hold_numbers_are_an_error_told_or_ignored(caplog):
    with pytest.raises(TypeError, match="cannot look for NaN in train text: it is a str"):
        after_epoch(StopOnNaN(on_unknown_type="error"), train={"text": "x"})
    after_epoch(StopOnNaN(on_unknown_type="warn"), train={"text": "100%d"})
    assert "cannot look for NaN in train text" in caplog.text


def test_looking_for_nan_refuses_what_it_does_not_know():
    with pytest.raises(KeyError, match="StopOnNaN finds no variable 'los' in stream 'train'"):
        after_epoch(StopOnNaN(variables=["los"]), train={"loss": 1})
    with pytest.raises(ValueError, match="StopOnNaN's on_unknown_type is 'str'"):
        StopOnNaN(on_unknown_type="str")
    with pytest.raises(ValueError, match="StopOnNaN never looks"):
        StopOnNaN(after_epoch=False)


# --- ShowProgress ---


def test_a_bar_shows_share_and_time_left():
    hook = ShowProgress(dataset=type("Dataset", (), {"num_batches": {"train": 4}})())
    assert hook.bar("train", 0.0) == f"train [{'.' * 30}] 0/4   0% ETA 0s"
    hook._done["train"] = 2
    assert hook.bar("train", 10.0) == f"train [{'#' * 15}{'.' * 15}] 2/4  50% ETA 20s"
    hook._done["train"] = 9
    assert hook.bar("train", 10.0).endswith("9/4 100% ETA 0s")
    assert hook.bar("other", 1.0) == "other 0 batches"


def test_progress_is_drawn_without_a_run_only(tmp_path, capsys):
    def train():
        dataset = Lists(train=[{"x": [1]}] * 3)
        MainLoop(Doubler(), dataset, [ShowProgress(dataset=dataset)], epochs_count=1).run_training()
        return capsys.readouterr().out

    drawn = train()
    assert drawn.startswith("\rtrain 1 batches")
    assert drawn.endswith("1/3  33% ETA 0s\n"), "the first epoch's length is not known in the second"
    with start_run(store=str(tmp_path / "store")):
        assert train() == ""


def test_lengths_survive_a_checkpoint(tmp_path):
    hook = ShowProgress()
    hook.after_batch(stream_name="train", batch_data={})
    after_epoch(hook)
    assert revived(hook, ShowProgress(), tmp_path).bar("train", 0.0).endswith("0/1   0% ETA 0s")


# --- TrainingTrace ---


def trace(folder):
    return parse((folder / "trace.yaml").read_text())


def test_a_trace_tells_how_far_a_training_came(tmp_path):
    make_loop([TrainingTrace(output_dir=str(tmp_path))], epochs_count=2).run_training()
    found = trace(tmp_path)
    assert list(found) == ["train_begin", "train_end", "epochs_done", "exit_status"]
    assert (found["epochs_done"], found["exit_status"]) == (2, 0)
    assert found["train_begin"] <= found["train_end"]


def test_a_trace_of_a_failure(tmp_path):
    class Fail(AbstractHook):
        def after_epoch(self, epoch_id, epoch_data):
            if epoch_id == 1:
                raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        make_loop([TrainingTrace(output_dir=str(tmp_path)), Fail()], epochs_count=2).run_training()
    assert (trace(tmp_path)["epochs_done"], trace(tmp_path)["exit_status"]) == (1, 1)


def test_a_resumed_trace_keeps_its_beginning(tmp_path):
    hook = TrainingTrace(output_dir=str(tmp_path))
    hook.before_training()
    hook._trace["train_begin"] = "2020-01-01 00:00:00.000000"
    after_epoch(hook, 3)
    fresh = revived(hook, TrainingTrace(output_dir=str(tmp_path)), tmp_path / "state")
    fresh.before_training()
    assert trace(tmp_path)["train_begin"] == "2020-01-01 00:00:00.000000"
    assert trace(tmp_path)["epochs_done"] == 3
    assert trace(tmp_path)["exit_status"] is None


def test_without_a_folder_there_is_no_trace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_loop([TrainingTrace()]).run_training()
    assert not list(tmp_path.iterdir())


def test_all_hooks_together_work_on_real_points(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    dataset = Points("{output_dir: null}")
    model = Line(dataset, str(tmp_path))
    together = [
        ComputeStats(["loss"]),
        LogVariables(),
        StopOnNaN(),
        SaveBest(model=model),
        SaveLatest(model=model),
        ShowProgress(dataset=dataset),
        TrainingTrace(output_dir=str(tmp_path)),
        StopAfter(epochs=30),
    ]
    loop = MainLoop(model, dataset, together, extra_streams=["valid"])
    loop.run_training()
    assert loop.training_epochs_done == 30
    assert np.allclose(Line(None, None, str(tmp_path / "line_best")).weights, [1, -2], atol=0.2)
    assert "valid loss mean: 0." in caplog.text
