"""The main loop: its arguments, and the order of its events."""

from __future__ import annotations

import logging

import pytest
from tests.emloop_compat.conftest import Diary, Doubler, Lists, batches, make_loop, profile

from mlcore.errors import MlcoreError
from mlcore_emloop_compat import AbstractHook, MainLoop
from mlcore_emloop_compat.hooks import TrainingTerminated


def names(lines):
    return [line[0] for line in lines]


# --- the order of events ---


def test_a_training_has_all_events_in_order():
    diary = Diary()
    make_loop([diary]).run_training()
    evaluated = [
        ("after_batch", "train", [1, 2], [2, 4]),
        ("after_batch", "train", [3], [6]),
        ("after_batch", "valid", [4], [8]),
    ]
    assert diary.lines == [
        ("before_training",),
        *evaluated,
        ("after_epoch", 0, ["train", "valid"]),
        ("after_epoch_profile", 0, ["train", "valid"], profile(train=2, valid=1)),
        *evaluated,
        ("after_epoch", 1, ["train", "valid"]),
        ("after_epoch_profile", 1, ["train", "valid"], profile(train=2, valid=1)),
        ("after_training", True),
    ]


def test_the_model_learns_from_the_train_stream_only_and_not_in_epoch_zero():
    model = Doubler()
    make_loop(model=model, epochs_count=2).run_training()
    flags = [(stream, train) for stream, train, _ in model.calls]
    evaluation, training = [("train", False)] * 2 + [("valid", False)], [("train", True)] * 2 + [("valid", False)]
    assert flags == evaluation + training * 2


def test_the_zeroth_epoch_can_be_skipped():
    model, diary = Doubler(), Diary()
    make_loop([diary], model=model, skip_zeroth_epoch=True).run_training()
    assert [train for _, train, _ in model.calls] == [True, True, False]
    assert [line[1] for line in diary.lines if line[0] == "after_epoch"] == [1]


def test_hooks_are_called_in_their_order_and_share_batch_and_epoch_data():
    class First(AbstractHook):
        def after_batch(self, stream_name, batch_data):
            batch_data["z"] = 1

        def after_epoch(self, epoch_id, epoch_data):
            epoch_data["train"]["found"] = 1

    class Second(AbstractHook):
        seen = []

        def after_batch(self, stream_name, batch_data):
            self.seen.append(sorted(batch_data))

        def after_epoch(self, epoch_id, epoch_data):
            self.seen.append(dict(epoch_data["train"]))

    train = batches((1,))
    MainLoop(Doubler(), Lists(train=train), [First(), Second()], epochs_count=1, skip_zeroth_epoch=True).run_training()
    assert Second.seen == [["x", "y", "z"], {"found": 1}]
    assert train == [{"x": [1]}], "the dataset's own batch was changed"


def test_epoch_data_has_the_streams_in_order_train_first():
    seen = []

    class Look(AbstractHook):
        def after_epoch(self, epoch_id, epoch_data):
            seen.append((list(epoch_data), [dict(data) for data in epoch_data.values()]))

    dataset = Lists(**{name: batches((1,)) for name in ("b", "train", "a")})
    MainLoop(Doubler(), dataset, [Look()], extra_streams=["b", "a"], epochs_count=1).run_training()
    assert seen == [(["train", "b", "a"], [{}, {}, {}])] * 2


def test_the_profile_holds_seconds_and_begins_anew_each_epoch():
    seen = []

    class Look(AbstractHook):
        def after_epoch_profile(self, epoch_id, profile, streams):
            seen.append({name: list(times) for name, times in profile.items()})

    make_loop([Look()], epochs_count=3).run_training()
    assert len(seen) == 4
    for kept in seen:
        assert {name: len(times) for name, times in kept.items()} == profile(train=2, valid=1)
        assert all(isinstance(time, float) and time >= 0 for times in kept.values() for time in times)


@pytest.mark.parametrize("stop", [TrainingTerminated("enough"), ValueError("broken")])
@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("before_training", ["before_training"]),
        ("after_batch", ["before_training", "after_batch", "after_training"]),
    ],
)
def test_what_a_hook_raises_early_ends_the_epoch_at_once(event, expected, stop):
    before, diary, after = Diary(), Diary(event, error=stop), Diary()
    loop = make_loop([before, diary, after])
    if isinstance(stop, ValueError):
        with pytest.raises(ValueError, match="broken"):
            loop.run_training()
    else:
        loop.run_training()
    assert names(diary.lines) == expected
    success = isinstance(stop, TrainingTerminated)
    assert before.lines[-1] == ("after_training", success)
    assert names(after.lines) == ([] if event == "before_training" else ["before_training", "after_training"])
    assert not loop.training_epochs_done


@pytest.mark.parametrize("event", ["after_epoch", "after_epoch_profile"])
def test_a_hook_that_ends_the_training_after_an_epoch_lets_the_others_have_their_turn(event):
    diary, after = Diary(event, 2, TrainingTerminated("enough")), Diary()
    loop = make_loop([diary, after], epochs_count=9)
    loop.run_training()
    assert loop.training_epochs_done == 1
    assert names(diary.lines) == names(after.lines)
    assert names(after.lines)[-3:] == ["after_epoch", "after_epoch_profile", "after_training"]
    assert after.lines[-1] == ("after_training", True)


def test_the_last_of_two_reasons_is_told(caplog):
    caplog.set_level(logging.INFO)
    hooks = [Diary("after_epoch", error=TrainingTerminated(reason)) for reason in ("one", "two")]
    make_loop(hooks).run_training()
    assert [record.getMessage() for record in caplog.records] == ["two"]


def test_an_error_after_an_epoch_propagates():
    diary = Diary("after_epoch", error=ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        make_loop([diary]).run_training()
    assert diary.lines[-1] == ("after_training", False)


def test_all_hooks_hear_of_the_end_even_if_one_fails_there():
    hooks = [Diary("after_training", error=ValueError(text)) for text in ("first", "second")] + [Diary()]
    with pytest.raises(ValueError, match="first") as caught:
        make_loop(hooks).run_training()
    assert [hook.lines[-1] for hook in hooks] == [("after_training", True)] * 3
    assert caught.value.__notes__ == ["then after_training failed: ValueError('second')"]


def test_a_failure_at_the_end_does_not_hide_the_reason_of_the_end():
    hooks = [Diary("after_batch", error=KeyError("real")), Diary("after_training", error=ValueError("later"))]
    with pytest.raises(KeyError, match="real") as caught:
        make_loop(hooks).run_training()
    assert caught.value.__notes__ == ["then after_training failed: ValueError('later')"]


def test_a_failure_at_the_end_is_not_lost_when_a_hook_ended_the_training():
    hooks = [Diary("after_batch", error=TrainingTerminated()), Diary("after_training", error=ValueError("later"))]
    with pytest.raises(ValueError, match="later"):
        make_loop(hooks).run_training()


def test_an_evaluation_is_one_pass_and_leaves_the_model_alone():
    model, diary = Doubler(), Diary()
    loop = make_loop([diary], model=model)
    loop.run_evaluation("valid")
    assert model.calls == [("valid", False, [4])]
    assert diary.lines == [
        ("before_training",),
        ("after_batch", "valid", [4], [8]),
        ("after_epoch", 0, ["valid"]),
        ("after_epoch_profile", 0, ["valid"], profile(valid=1)),
        ("after_training", True),
    ]


def test_an_evaluation_after_a_training_has_the_number_of_its_epochs():
    diary = Diary()
    loop = make_loop([diary], epochs_count=3)
    loop.run_training()
    loop.run_evaluation("valid")
    assert [line[1] for line in diary.lines if line[0] == "after_epoch"] == [0, 1, 2, 3, 3]


def test_zero_epochs_are_an_evaluation_only():
    model = Doubler()
    make_loop(model=model, epochs_count=0).run_training()
    assert not any(train for _, train, _ in model.calls)
    assert len(model.calls) == 3


# --- hooks and their loop ---


def test_a_hook_knows_its_main_loop_and_has_only_one():
    hook = AbstractHook()
    loop = make_loop([hook])
    assert hook._main_loop is loop
    with pytest.raises(ValueError, match="AbstractHook is registered in a main loop already"):
        make_loop([hook])


def test_a_method_put_on_a_hook_is_called():
    hook, seen = AbstractHook(), []
    hook.after_batch = lambda stream_name, batch_data: seen.append(stream_name)
    make_loop([hook]).run_training()
    assert seen == ["train", "train", "valid"] * 2


def test_hooks_may_come_from_a_generator():
    diary = Diary()
    make_loop(hook for hook in [diary]).run_training()
    assert names(diary.lines).count("after_epoch") == 2


def test_arguments_can_be_asked_for():
    loop = make_loop(fixed_epoch_size=7)
    assert (loop.training_epochs_done, loop.fixed_epoch_size, loop.extra_streams) == (0, 7, ["valid"])
    assert MainLoop.EMPTY_ACTIONS == MainLoop.UNUSED_SOURCE_ACTIONS == ("ignore", "warn", "error")


@pytest.mark.parametrize("name", ["on_empty_batch", "on_empty_stream", "on_unused_sources", "on_incorrect_config"])
def test_an_unknown_action_is_refused(name):
    with pytest.raises(AssertionError, match=f"{name} is 'explode'; it is one of ignore, warn, error"):
        make_loop(**{name: "explode"})


def test_an_unknown_argument_is_refused_told_or_ignored(caplog):
    with pytest.raises(ValueError, match="no argument 'epoch_count'; did you mean 'epochs_count'") as caught:
        make_loop(epoch_count=1)
    assert isinstance(caught.value, MlcoreError)
    make_loop(epoch_count=1, on_incorrect_config="ignore")
    assert not caplog.records
    make_loop(epoch_count=1, on_incorrect_config="warn")
    assert "no argument 'epoch_count'" in caplog.text
