"""The main loop: its arguments, the order of its events, and what it says when something does not fit."""

from __future__ import annotations

import logging
import threading
import traceback

import numpy as np
import pytest
from tests.emloop_compat.conftest import Diary, Doubler, Lists, batches, make_loop

from mlcore.errors import MlcoreError
from mlcore.events import BatchFinished, EpochFinished, EpochStarted, StreamStarted
from mlcore.runs import start_run
from mlcore_emloop_compat import AbstractHook, AbstractModel, MainLoop, StreamWrapper
from mlcore_emloop_compat.hooks import TrainingTerminated

COUNTS = {"read_batch_{}", "eval_batch_{}", "after_batch_hooks_{}"}


def profile(**counts):
    return {name.format(stream): count for stream, count in counts.items() for name in COUNTS} | {
        "after_epoch_hooks": 1
    }


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


# --- batches that do not fit ---


@pytest.mark.parametrize("empty", [{}, {"x": []}, {"x": np.zeros((0, 3))}])
def test_an_empty_batch_is_an_error_told_or_ignored(empty, caplog):
    dataset = Lists(train=[{"x": [1]}, empty, {"x": [2]}])

    def train(action):
        model = Doubler()
        MainLoop(model, dataset, on_empty_batch=action, epochs_count=1, skip_zeroth_epoch=True).run_training()
        return [values for _, _, values in model.calls]

    with pytest.raises(ValueError, match="a batch of the stream 'train' is empty"):
        train("error")
    assert train("ignore") == [[1], [2]]
    assert not caplog.records
    assert train("warn") == [[1], [2]]
    assert "a batch of the stream 'train' is empty" in caplog.text


@pytest.mark.parametrize("stream", [[], [{"x": []}], [{"x": [1, 2]}]])
def test_a_stream_without_accepted_batches_is_an_error_told_or_ignored(stream, caplog):
    def train(action):
        arguments = {"on_empty_batch": "ignore", "fixed_batch_size": 1, "on_empty_stream": action}
        MainLoop(Doubler(), Lists(train=stream), epochs_count=1, **arguments).run_training()

    with pytest.raises(ValueError, match="the stream 'train' of Lists has no batches"):
        train("error")
    train("ignore")
    assert not caplog.records
    train("warn")
    assert "the stream 'train' of Lists has no batches" in caplog.text


def test_unused_sources_are_told_once_or_ignored_or_an_error(caplog):
    def train(action):
        dataset = Lists(train=[{"x": [1], "more": [1], "ids": [2]}] * 3)
        MainLoop(Doubler(), dataset, on_unused_sources=action, epochs_count=2).run_training()

    train("ignore")
    assert not caplog.records
    train("warn")
    assert [record.getMessage() for record in caplog.records] == [
        "the model does not use the sources ids, more of the stream 'train'"
    ]
    with pytest.raises(ValueError, match="does not use the sources ids, more"):
        train("error")


def test_unused_sources_reach_the_hooks():
    seen = []
    hook = AbstractHook()
    hook.after_batch = lambda stream_name, batch_data: seen.append(dict(batch_data))
    MainLoop(Doubler(), Lists(train=[{"x": [1], "ids": [7]}]), [hook], epochs_count=0).run_training()
    assert seen == [{"x": [1], "ids": [7], "y": [2]}]


@pytest.mark.parametrize("batch", [{"X": [1]}, {"ids": [1]}])
@pytest.mark.parametrize("before", [[], [{"x": [1]}]])
def test_a_missing_source_is_an_error_wherever_it_happens(batch, before):
    with pytest.raises(
        ValueError, match="the model needs the source 'x', which a batch of the stream 'train' does not have"
    ):
        MainLoop(Doubler(), Lists(train=[*before, batch]), on_unused_sources="ignore").run_training()


def test_a_batch_of_unequal_lengths_is_an_error():
    with pytest.raises(ValueError, match="unequal length: x 2, ids 3"):
        MainLoop(Doubler(), Lists(train=[{"x": [1, 2], "ids": [1, 2, 3]}]), on_empty_batch="ignore").run_training()
    with pytest.raises(ValueError, match="unequal length: x 2, ids 0"):
        MainLoop(Doubler(), Lists(train=[{"x": [1, 2], "ids": []}]), on_empty_batch="ignore").run_training()


@pytest.mark.parametrize(
    ("batch", "what"),
    [
        (([1], [2]), "gave a tuple instead of a batch"),
        (None, "gave a NoneType instead of a batch"),
        ({"x": 3}, "the source 'x' of a batch of the stream 'train' is a single int"),
        ({"x": np.array(3)}, "the source 'x' of a batch of the stream 'train' is a single ndarray"),
    ],
)
def test_what_is_no_batch_is_told(batch, what):
    with pytest.raises(ValueError, match=what):
        MainLoop(Doubler(), Lists(train=[batch])).run_training()


def test_an_error_inside_a_lazy_batch_is_the_users_own():
    class Lazy(dict):
        def values(self):
            raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        MainLoop(Doubler(), Lists(train=[Lazy(x=[1])])).run_training()


def test_a_stream_that_is_nothing_to_iterate_over_is_told():
    with pytest.raises(ValueError, match="the stream 'train' is a NoneType, which cannot be iterated over"):
        MainLoop(Doubler(), Lists(train=None)).run_training()


def test_outputs_must_be_a_mapping_and_have_names_of_their_own():
    class Bad(Doubler):
        def __init__(self, outputs):
            super().__init__()
            self.outputs = outputs

        def run(self, batch, train, stream):
            return self.outputs

    with pytest.raises(AssertionError, match=r"Bad.run returned outputs with names of sources: x"):
        make_loop(model=Bad({"x": [1], "z": [1]})).run_training()
    with pytest.raises(ValueError, match=r"Bad.run returned a NoneType instead of a mapping"):
        make_loop(model=Bad(None)).run_training()


def test_batches_of_another_size_are_skipped():
    model, diary = Doubler(), Diary()
    make_loop([diary], model=model, train=((1, 2), (3,), (4, 5)), valid=((6, 7),), fixed_batch_size=2).run_training()
    assert [values for _, _, values in model.calls][3:] == [[1, 2], [4, 5], [6, 7]]
    assert diary.lines[-2][-1] == profile(train=2, valid=1)


# --- models ---


class Core:
    """A Model of the core: targets apart, `train` by keyword."""

    input_names, target_names, output_names = ["x"], ["t"], ["y"]

    def __init__(self):
        self.trained = []

    def run(self, batch, *, train):
        self.trained.append(train)
        return {"y": batch["x"]}


def test_a_model_of_the_core_is_trained_and_needs_no_targets_to_be_evaluated(caplog):
    model, dataset = Core(), Lists(train=[{"x": [1], "t": [2]}], valid=[{"x": [1]}])
    MainLoop(model, dataset, extra_streams=["valid"], epochs_count=1).run_training()
    assert model.trained == [False, False, True, False]
    assert not caplog.records
    with pytest.raises(ValueError, match="needs the source 't'"):
        MainLoop(model, Lists(train=[{"x": [1]}]), skip_zeroth_epoch=True).run_training()


def test_a_model_may_leave_out_the_stream():
    class Short(Doubler):
        def run(self, batch, train):
            return {"y": batch["x"], "train": [train]}

    diary = Diary()
    make_loop([diary], model=Short()).run_training()
    assert ("after_batch", "train", [3], [3]) in diary.lines


def test_the_model_gets_the_stream_it_is_fed_from():
    seen = []

    class Asking(Doubler):
        def run(self, batch, train, stream):
            with stream.allow_buffering:
                seen.append(stream)
            return {"y": batch["x"]}

    loop = make_loop(model=Asking())
    loop.run_evaluation("valid")
    assert seen == [loop.get_stream("valid")]
    assert isinstance(seen[0], StreamWrapper)


# --- streams of an epoch ---


def test_an_epoch_takes_names_wrappers_and_plain_iterables():
    diary, model = Diary(), Doubler()
    loop = make_loop([diary], model=model)
    wrapper = StreamWrapper(lambda: batches((7,)), name="mine")
    with loop:
        loop.epoch([batches((5,)), "train"], [wrapper, (batch for batch in batches((6,)))])
    streams = ["unnamed_train_0", "train", "mine", "unnamed_eval_1"]
    assert [line[1] for line in diary.lines if line[0] == "after_batch"] == [
        "unnamed_train_0",
        "train",
        "train",
        "mine",
        "unnamed_eval_1",
    ]
    assert ("after_epoch", 1, streams) in diary.lines
    assert diary.lines[-2] == (
        "after_epoch_profile",
        1,
        streams,
        profile(unnamed_train_0=1, train=2, mine=1, unnamed_eval_1=1),
    )
    assert [train for _, train, _ in model.calls] == [True, True, True, False, False]


@pytest.mark.parametrize(("train", "evaluated"), [(["train", "train"], []), (["train"], ["train"])])
def test_two_streams_of_one_name_are_refused(train, evaluated):
    model = Doubler()
    loop = make_loop(model=model)
    with pytest.raises(ValueError, match="two streams of an epoch have the name 'train'"), loop:
        loop.epoch(train, evaluated)
    assert not model.calls
    with pytest.raises(ValueError, match="two streams of an epoch have the name 'valid'"):
        loop.prepare_streams(["valid", "valid"], "base")


def test_several_extra_streams_are_evaluated_in_their_order():
    dataset = Lists(train=batches((1,)), b=batches((2,)), a=batches((3,), (4,)))
    model = Doubler()
    MainLoop(model, dataset, extra_streams=("b", "a"), epochs_count=1, skip_zeroth_epoch=True).run_training()
    assert model.calls == [("train", True, [1]), ("b", False, [2]), ("a", False, [3]), ("a", False, [4])]


def test_another_stream_can_be_trained_on():
    model = Doubler()
    make_loop(model=model, train_stream_name="valid", extra_streams=[], skip_zeroth_epoch=True).run_training()
    assert model.calls == [("valid", True, [4])]


def test_a_missing_stream_is_told_with_the_nearest_name():
    class Dataset(Lists):
        def valid_stream(self):
            return []

    with pytest.raises(
        AttributeError, match="Dataset has no method `vaild_stream`\n  hint: did you mean 'valid'"
    ) as caught:
        MainLoop(Doubler(), Dataset()).get_stream("vaild")
    assert isinstance(caught.value, MlcoreError)


def test_a_fixed_epoch_goes_on_in_the_stream_and_begins_it_again():
    model = Doubler()
    arguments = {"fixed_epoch_size": 2, "epochs_count": 4, "skip_zeroth_epoch": True}
    make_loop(model=model, train=((1,), (2,), (3,)), **arguments).run_training()
    epochs, current = [], []
    for stream, _, values in model.calls:
        current += values
        if stream == "valid":
            epochs.append(current)
            current = []
    assert epochs == [[1, 2, 4], [3, 1, 4], [2, 3, 4], [1, 2, 4]]


@pytest.mark.parametrize("buffer", [1, 2, 50])
def test_reading_ahead_changes_nothing_that_the_model_sees(buffer):
    def calls(**arguments):
        model = Doubler()
        arguments = {"epochs_count": 3, "train": [(n,) for n in range(7)], **arguments}
        make_loop(model=model, **arguments).run_training()
        return model.calls

    assert calls(buffer=buffer) == calls()
    assert calls(buffer=buffer, fixed_epoch_size=3) == calls(fixed_epoch_size=3)
    assert threads() == []


# --- reading ahead ---


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name == "mlcore-read-ahead"]


@pytest.mark.parametrize("size", [-1, 5])
def test_an_error_of_the_dataset_arrives_with_its_own_traceback(size):
    def broken():
        yield from batches((1,), (2,))
        raise LookupError("my data is gone")

    class Dataset(Lists):
        def train_stream(self):
            return broken()

    model = Doubler()
    with pytest.raises(LookupError, match="my data is gone") as caught:
        MainLoop(model, Dataset(), buffer=4, fixed_epoch_size=size, skip_zeroth_epoch=True).run_training()
    assert "broken" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert [values for _, _, values in model.calls] == [[1], [2]], "batches before the error were lost"
    assert threads() == []


@pytest.mark.parametrize("stop", [TrainingTerminated(), ValueError("broken")])
def test_leaving_early_leaves_no_thread(stop):
    endless = ({"x": [n]} for n in iter(int, 1))
    hook = Diary("after_batch", 3, stop)
    loop = MainLoop(Doubler(), Lists(train=endless), [hook], buffer=2, skip_zeroth_epoch=True)
    if isinstance(stop, ValueError):
        with pytest.raises(ValueError, match="broken"):
            loop.run_training()
    else:
        loop.run_training()
    assert threads() == []


def test_an_empty_stream_of_a_fixed_size_ends_when_read_ahead():
    with pytest.raises(ValueError, match="has no batches"):
        MainLoop(Doubler(), Lists(train=[]), buffer=2, fixed_epoch_size=3, skip_zeroth_epoch=True).run_training()
    assert threads() == []


def test_the_stream_sees_the_run_also_when_read_ahead(tmp_path):
    from mlcore.runs import current_run

    class Dataset(Lists):
        def train_stream(self):
            yield {"x": [current_run().name]}

    model = Doubler()
    with start_run(store=str(tmp_path / "store"), name="mine"):
        MainLoop(model, Dataset(), buffer=1, epochs_count=0).run_training()
    assert model.calls == [("train", False, ["mine"])]


def test_it_works_outside_the_main_thread():
    model, failures = Doubler(), []

    def work():
        try:
            make_loop(model=model, buffer=2).run_training()
        except Exception as error:  # noqa: BLE001 - shown below
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failures
    assert len(model.calls) == 6


def test_without_a_run_no_store_is_touched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_loop([Diary()]).run_training()
    assert list(tmp_path.iterdir()) == []


# --- events on the bus ---


@pytest.fixture
def told(tmp_path):
    """A run, and what it says."""
    events = []
    with start_run(store=str(tmp_path / "store")) as run:
        for kind in (EpochStarted, StreamStarted, BatchFinished, EpochFinished):
            run.bus.on(kind, events.append)
        yield run, events


def short(event):
    match event:
        case EpochStarted(number):
            return ("epoch", number)
        case StreamStarted(stream, epoch, train, total):
            return ("stream", stream, epoch, train, total)
        case BatchFinished(number, stream, epoch, batch, train):
            return ("batch", number, stream, epoch, train, sorted(batch))
        case EpochFinished(number, metrics, _):
            return ("end", number, metrics)


def test_a_run_is_told_everything_with_the_right_numbers(told):
    _, events = told
    loop = make_loop(epochs_count=2)
    loop._dataset.num_batches = {"train": 2}
    loop.run_training()
    both = ["x", "y"]

    def epoch(number, first, valid):
        train = number > 0
        return [
            ("epoch", number),
            ("stream", "train", number, train, 2),
            ("batch", first, "train", number, train, both),
            ("batch", first + 1, "train", number, train, both),
            ("stream", "valid", number, False, None),
            ("batch", valid, "valid", number, False, both),
            ("end", number, {"train": {}, "valid": {}}),
        ]

    assert [short(event) for event in events] == epoch(0, 1, 1) + epoch(1, 3, 2) + epoch(2, 5, 3)


def test_numbers_do_not_depend_on_who_listens_when(told):
    run, _ = told
    loop, numbers = make_loop(), []
    with loop:
        loop.epoch(["train"], [])
        run.bus.on(BatchFinished, lambda event: numbers.append(event.number))
        loop.epoch(["train"], [])
    assert numbers == [3, 4]


def test_the_batch_on_which_a_hook_ends_the_training_is_told(told):
    _, events = told
    make_loop([Diary("after_batch", error=TrainingTerminated())]).run_training()
    assert [short(event)[0] for event in events] == ["epoch", "stream", "batch"]


def test_a_fixed_epoch_size_is_the_total(told):
    _, events = told
    make_loop(fixed_epoch_size=5, skip_zeroth_epoch=True).run_training()
    assert [event.total for event in events if isinstance(event, StreamStarted)] == [5, None]


def test_numbers_in_epoch_data_become_metrics(told):
    _, events = told

    class Write(AbstractHook):
        def after_epoch(self, epoch_id, epoch_data):
            epoch_data["train"].update(
                loss={"mean": np.float32(0.5), "std": 2}, plain=1, text="no", nested={"a": {"b": 1}}, array=np.zeros(3)
            )

    make_loop([Write()], epochs_count=0).run_training()
    assert events[-1].metrics == {"train": {"loss": 0.5, "loss_std": 2.0, "plain": 1.0}, "valid": {}}


def test_a_stop_ends_at_the_next_batch_and_begins_nothing(told):
    run, events = told
    model = Doubler()
    run.bus.on(BatchFinished, lambda event: run.stop("enough") if event.number == 3 else None)
    make_loop(model=model, epochs_count=5).run_training()
    assert len(model.calls) == 4
    assert short(events[-1])[0] == "batch"
    events.clear()
    make_loop(model=model).run_training()
    assert events == []


def test_a_stop_after_an_epoch_begins_no_other(told):
    run, events = told
    run.bus.on(EpochFinished, lambda event: run.stop("enough"))
    make_loop(epochs_count=5).run_training()
    assert short(events[-1]) == ("end", 0, {"train": {}, "valid": {}})


def test_an_interrupt_without_a_run_is_an_interrupt():
    diary = Diary("after_batch", error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        make_loop([diary]).run_training()
    assert diary.lines[-1] == ("after_training", False)


def test_an_abstract_model_must_be_whole():
    class Half(AbstractModel):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Half()
