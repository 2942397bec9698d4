"""The streams of an epoch: several, plain iterables, fixed sizes, read ahead or not."""

from __future__ import annotations

import threading
import traceback

import pytest
from tests.emloop_compat.conftest import Diary, Doubler, Lists, batches, make_loop, profile

from mlcore.errors import MlcoreError
from mlcore.runs import start_run
from mlcore_emloop_compat import MainLoop, StreamWrapper
from mlcore_emloop_compat.hooks import TrainingTerminated

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


def test_leaving_a_plain_iterable_early_leaves_no_thread():
    endless = ({"x": [n]} for n in iter(int, 1))
    loop = make_loop([Diary("after_batch", 3, ValueError("broken"))], buffer=2)
    with pytest.raises(ValueError, match="broken") as caught, loop:
        loop.epoch([endless], [])
    assert threads() == []
    assert caught.value.__traceback__ is not None, "which still holds the frames of the pass"


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
