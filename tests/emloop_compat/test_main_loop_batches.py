"""What the main loop says of batches and outputs that do not fit, and which models it takes."""

from __future__ import annotations

import numpy as np
import pytest
from tests.emloop_compat.conftest import Diary, Doubler, Lists, make_loop, profile

from mlcore_emloop_compat import AbstractHook, MainLoop, StreamWrapper

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


def test_sources_may_be_arrays_lists_or_both():
    model = Doubler()
    train = [{"x": np.array([1]), "n": np.array([1])}, {"x": np.array([2]), "n": [1]}, {"x": [3], "n": "a"}]
    dataset = Lists(train=[*train, {"x": np.array([4]), "n": (1,)}, train[0]])
    MainLoop(model, dataset, on_unused_sources="ignore", epochs_count=0).run_training()
    assert [values for _, _, values in model.calls] == [[1], [2], [3], [4], [1]]
    for ragged in ({"x": np.array([1]), "n": [1, 2]}, {"x": np.zeros((1, 2)), "n": np.zeros((2, 1))}):
        with pytest.raises(ValueError, match="unequal length: x 1, n 2"):
            MainLoop(model, Lists(train=[ragged]), on_unused_sources="ignore").run_training()


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
