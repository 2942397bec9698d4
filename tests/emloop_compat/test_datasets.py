"""Datasets and streams: permutations, positions, epochs, reading ahead."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcore.errors import MlcoreError
from mlcore_emloop_compat import AbstractDataset, ArrayStream, BaseDataset, StreamWrapper
from mlcore_emloop_compat.datasets.buffering import read_ahead

X = np.arange(10)


def taken(stream, count=None):
    return [batch["x"].tolist() for batch in itertools.islice(iter(stream), count)]


# --- ArrayStream ---


def test_arrays_are_cut_in_order_and_the_last_batch_may_be_short():
    stream = ArrayStream({"x": X, "name": [f"n{i}" for i in X]}, 4)
    assert len(stream) == 3
    assert taken(stream) == taken(stream) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [batch["name"].tolist() for batch in stream][-1] == ["n8", "n9"]


def test_the_permutation_depends_on_seed_and_epoch_only():
    stream = ArrayStream({"x": X}, 4, shuffle=True, seed=3)
    for epoch in (1, 2, 3):
        expected = np.random.default_rng([3, epoch]).permutation(10)
        np.random.seed(epoch)  # nobody asks the global generator
        assert [value for batch in taken(stream) for value in batch] == expected.tolist()
    assert taken(ArrayStream({"x": X}, 4, shuffle=True, seed=4)) != taken(
        ArrayStream({"x": X}, 4, shuffle=True, seed=3)
    )


def test_all_sources_are_permuted_alike():
    stream = ArrayStream({"x": X, "y": X * 2}, 3, shuffle=True)
    for batch in stream:
        assert (batch["y"] == batch["x"] * 2).all()


@given(epochs=st.integers(0, 3), position=st.integers(0, 3), shuffle=st.booleans())
def test_a_loaded_state_goes_on_where_it_was_taken(epochs, position, shuffle):
    def make():
        return ArrayStream({"x": X}, 4, shuffle=shuffle, seed=1)

    first = make()
    for _ in range(epochs):
        taken(first)
    running = iter(first)
    for _ in range(position):
        next(running)
    state = first.state_dict()
    second = make()
    second.load_state_dict(state)
    rest = [batch["x"].tolist() for batch in running]
    if rest and position:
        assert taken(second) == rest
    if position == 0:  # nothing of the epoch was handed out: it is begun anew
        second.load_state_dict({**state, "epoch": state["epoch"] - 1})
        assert taken(second) == rest
    assert taken(second) == taken(first)


def test_a_state_is_json():
    stream = ArrayStream({"x": X}, 4)
    taken(stream, 2)
    assert stream.state_dict() == {"epoch": 1, "position": 2}


@pytest.mark.parametrize(
    ("arrays", "size", "what"),
    [
        ({"x": [1], "y": [1, 2]}, 1, "equally long, but they have {'x': 1, 'y': 2}"),
        ({}, 1, "they have no sources"),
        ({"x": [1]}, 0, "batch_size is 0; a batch has at least one example"),
        ({"x": 3}, 1, "the source 'x' is a single int"),
    ],
)
def test_arrays_that_cannot_be_cut_are_refused(arrays, size, what):
    with pytest.raises(MlcoreError, match=what):
        ArrayStream(arrays, size)


# --- StreamWrapper ---


def test_a_wrapper_is_an_iterator_that_begins_anew():
    calls = []
    wrapper = StreamWrapper(lambda: calls.append(1) or iter("ab"), name="letters")
    assert wrapper.name == "letters"
    assert wrapper.empty()
    assert list(wrapper) == ["a", "b"]
    assert wrapper.empty()
    assert next(wrapper) == "a"
    assert not wrapper.empty()
    assert len(calls) == 2


@pytest.mark.parametrize("buffer", [0, 1, 3])
def test_epochs_of_a_fixed_size_go_on_in_the_stream(buffer):
    with StreamWrapper(lambda: "abcde", buffer, epoch_size=3) as wrapper:
        assert ["".join(wrapper) for _ in range(5)] == ["abc", "dea", "bcd", "eab", "cde"]


@pytest.mark.parametrize("buffer", [0, 2])
def test_a_closed_wrapper_begins_at_the_beginning(buffer):
    wrapper = StreamWrapper(lambda: "abcde", buffer, epoch_size=2)
    with wrapper:
        assert "".join(wrapper) == "ab"
    assert "".join(wrapper) == "ab"


@pytest.mark.parametrize("buffer", [0, 2])
def test_an_empty_stream_has_empty_epochs(buffer):
    assert list(StreamWrapper(list, buffer, epoch_size=3)) == []
    assert list(StreamWrapper(list, buffer)) == []


def test_streams_whose_iterators_look_false_are_read():
    class Odd:
        def __init__(self):
            self.left = 2

        def __len__(self):
            return 0

        def __iter__(self):
            return self

        def __next__(self):
            self.left -= 1
            if self.left < 0:
                raise StopIteration
            return self.left

    assert list(StreamWrapper(Odd)) == [1, 0]
    assert list(StreamWrapper(Odd, epoch_size=3)) == [1, 0, 1]


@pytest.mark.parametrize("buffer", [0, 1, 4])
@pytest.mark.parametrize("remake", [True, False])
def test_the_state_of_a_fixed_epoch_is_where_the_model_stands(buffer, remake):
    def make():
        kept = ArrayStream({"x": X}, 3, shuffle=True, seed=2)
        source = (lambda: ArrayStream({"x": X}, 3, shuffle=True, seed=2)) if remake else (lambda: kept)
        return StreamWrapper(source, buffer, epoch_size=3)

    undisturbed = make()
    epochs = [taken(undisturbed) for _ in range(4)]
    stopped = make()
    assert [taken(stopped) for _ in range(2)] == epochs[:2]
    state = stopped.state_dict()
    stopped.close()
    resumed = make()
    resumed.load_state_dict(state)
    assert [taken(resumed) for _ in range(2)] == epochs[2:]


def test_a_stream_without_state_declares_none():
    wrapper = StreamWrapper(lambda: iter("ab"))
    assert wrapper.state_dict() is None
    list(wrapper)
    assert wrapper.state_dict() is None


# --- reading ahead ---


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "mlcore-read-ahead"]


@given(count=st.integers(0, 30), size=st.integers(1, 8))
def test_order_and_completeness(count, size):
    assert list(read_ahead(range(count), size)) == list(range(count))


def test_no_more_is_read_ahead_than_asked_for():
    read = []
    items = read_ahead((read.append(n) or n for n in range(100)), 3)
    assert next(items) == 0
    for _ in range(100):
        time.sleep(0.001)
    assert len(read) <= 1 + 3 + 1  # one given out, three waiting, one in the hand of the reader
    items.close()
    assert not threads()


def test_nothing_is_read_before_the_first_item_is_asked_for():
    read = []
    items = read_ahead(map(read.append, range(3)), 2)
    assert not threads()
    items.close()
    assert not read


def test_an_exception_keeps_its_place_cause_and_traceback():
    def broken():
        yield 1
        try:
            raise KeyError("cause")
        except KeyError as error:
            raise LookupError("mine") from error

    items = read_ahead(broken(), 5)
    assert next(items) == 1
    with pytest.raises(LookupError, match="mine") as caught:
        next(items)
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.traceback[-1].name == "broken"
    assert not threads()


def test_a_reader_that_waits_for_room_is_ended():
    items = read_ahead(itertools.count(), 1)
    next(items)
    items.close()
    assert not threads()


def test_a_dropped_iterator_ends_its_thread():
    items = read_ahead(itertools.count(), 1)
    next(items)
    del items
    assert not threads()


# --- datasets ---


def test_a_base_dataset_is_configured_by_keywords():
    class Dataset(BaseDataset):
        def _configure_dataset(self, output_dir, size, names=()):
            self.got = output_dir, size, names

    assert Dataset("{output_dir: /x, size: 3, names: [a, b]}").got == ("/x", 3, ["a", "b"])
    assert Dataset("output_dir: null\nsize: 1e-3\n").got == (None, 0.001, ())
    with pytest.raises(TypeError, match="abstract"):
        BaseDataset("{}")
    with pytest.raises(TypeError, match="abstract"):
        AbstractDataset("{}")


@pytest.mark.parametrize("text", ["!!python/object/apply:os.getcwd []", "{a: !!python/name:os.system ''}"])
def test_a_config_string_constructs_nothing_but_plain_values(text):
    class Dataset(BaseDataset):
        def _configure_dataset(self, output_dir=None, **kwargs):
            raise AssertionError("it was configured")

    with pytest.raises(Exception, match="python"):
        Dataset(text)


@pytest.mark.parametrize("text", ["", "[1, 2]", "word"])
def test_a_config_string_must_be_a_mapping(text):
    class Dataset(BaseDataset):
        def _configure_dataset(self, output_dir=None, **kwargs):
            self.got = output_dir, kwargs

    if not text:
        assert Dataset(text).got == (None, {})
        return
    with pytest.raises(MlcoreError, match="a dataset's config is a mapping, not a"):
        Dataset(text)


def test_beginning_anew_ends_the_epoch_that_was_left():
    wrapper = StreamWrapper(itertools.count, buffer_size=2)
    epochs = []
    for _ in range(3):
        epochs.append(wrapper.begin())
        assert next(epochs[-1]) == 0
        assert len(threads()) == 1
    wrapper.close()
    assert not threads()
