"""Checkpoints: any state comes back as it was, and what cannot is told by its name."""

from __future__ import annotations

import enum
import tempfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from tests.commands.small_job import flip

from mlcore.checkpoint import Checkpoints, read_state, write_state
from mlcore.errors import MlcoreError, StoreError
from mlcore.model import NativeBackend
from mlcore.store import Folder

ARRAYS = nps.arrays(
    dtype=st.one_of(
        nps.boolean_dtypes(),
        nps.integer_dtypes(endianness="?"),
        nps.floating_dtypes(endianness="?"),
        nps.complex_number_dtypes(),
        nps.datetime64_dtypes(),
        nps.timedelta64_dtypes(),
        nps.unicode_string_dtypes(max_len=5),
        nps.byte_string_dtypes(max_len=5),
        nps.array_dtypes(max_size=3),
    ),
    shape=nps.array_shapes(min_dims=0, min_side=0, max_side=3),
)
SCALARS = ARRAYS.filter(lambda array: array.size and array.dtype.names is None).map(lambda array: array.reshape(-1)[0])
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers().map(lambda number: number << 20_000),
    st.floats(),
    st.text(),
    st.binary(),
    ARRAYS,
    SCALARS,
)
KEYS = st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.binary(), st.tuples(st.integers(), st.text()))
STATES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(), inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
        st.dictionaries(st.sampled_from(["$array", "$tuple", "$items", "$float", "a0"]), inner, max_size=2),
    ),
    max_leaves=12,
)


def there_and_back(state):
    with tempfile.TemporaryDirectory() as directory:
        write_state(state, Path(directory))
        return read_state(Folder(directory))


def same(one, other):
    """Equal in value and in type, NaN included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray | np.generic):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        pairs = zip(one.items(), other.items(), strict=True)
        return len(one) == len(other) and all(same(a, c) and same(b, d) for (a, b), (c, d) in pairs)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return one == other or (one != one and other != other)


@settings(max_examples=150)
@given(STATES)
def test_any_state_comes_back_as_it_was(state):
    assert same(there_and_back(state), state)


@pytest.mark.parametrize("number", [0.0, -0.0, float("inf"), -float("inf"), float("nan"), 5e-324])
def test_odd_numbers_come_back(number):
    assert repr(there_and_back(number)) == repr(number)


@pytest.mark.parametrize("digits", [300, 4300, 5000])
def test_large_integers_come_back(digits):
    assert there_and_back([10**digits, -(10**digits)]) == [10**digits, -(10**digits)]


def test_a_memory_map_comes_back_as_an_array(tmp_path):
    np.save(tmp_path / "array.npy", np.arange(5))
    assert there_and_back(np.load(tmp_path / "array.npy", mmap_mode="r")).tolist() == [0, 1, 2, 3, 4]


class Mode(enum.StrEnum):
    FAST = "fast"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (object(), "object"),
        ({1, 2}, "set"),
        (1j, "complex"),
        (bytearray(b"x"), "bytearray"),
        (Path("x"), "PosixPath"),
        (Mode.FAST, "Mode"),
        (print, "builtin_function_or_method"),
        (np.ma.array([1, 2], mask=[0, 1]), "MaskedArray"),
        (np.array([object()]), "array of object"),
        (np.array([(1, None)], dtype=[("a", "i4"), ("b", "O")]), "array of"),
    ],
)
def test_what_cannot_be_stored_is_told_by_its_place(value, kind):
    with pytest.raises(MlcoreError, match=r"state\.hooks\[1\]\.kept") as caught:
        there_and_back({"hooks": [{}, {"kept": value}]})
    assert kind in caught.value.what
    assert caught.value.hint


@pytest.mark.parametrize("key", [frozenset(), 1j, Mode.FAST])
def test_a_key_that_cannot_be_stored_is_told(key):
    with pytest.raises(MlcoreError, match=r"state\.best key is a"):
        there_and_back({"best": {key: 1}})


def test_a_state_that_holds_itself_is_told():
    state = []
    state.append(state)
    with pytest.raises(MlcoreError, match="holds itself, or is nested too deeply"):
        there_and_back(state)


def test_mappings_come_back_as_dicts_in_their_order():
    assert there_and_back(OrderedDict([("b", 1), ("a", 2)])) == {"b": 1, "a": 2}


# --- in a folder ---


class Constant:
    """A model as small as they get."""

    input_names, target_names, output_names = (), (), ()

    def __init__(self, value=0):
        self.value = value

    def run(self, batch, *, train):
        return {}

    def save(self, directory, *, training=False):
        (directory / "value").write_text(f"{self.value} {training}")

    @classmethod
    def load(cls, directory):
        return cls((directory / "value").read_text())


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(Folder(tmp_path / "checkpoints"))


def test_a_checkpoint_has_the_state_and_the_models_with_their_training_state(checkpoints):
    assert NativeBackend().recognises(Constant())
    checkpoints.save(3, {"epoch": 3}, {"first": Constant(1), "second": Constant(2)})
    newest, passed = checkpoints.newest()
    assert (newest.step, newest.state, passed) == (3, {"epoch": 3}, [])
    assert [newest.model(name).value for name in ("first", "second")] == ["1 True", "2 True"]


def test_the_last_two_and_the_newest_best_are_kept(checkpoints):
    for step in range(1, 8):
        checkpoints.save(step, step, best=step in (2, 4))
    assert checkpoints.steps() == [4, 6, 7]
    assert [manifest.meta["best"] for manifest in checkpoints.manifests().values()] == [True, False, False]
    checkpoints.save(8, 8, best=True)
    assert checkpoints.steps() == [7, 8]


def test_a_torn_one_counts_for_nothing_and_goes_when_a_newer_one_is_there(checkpoints, tmp_path):
    checkpoints.save(1, 1)
    checkpoints.save(2, 2)
    with pytest.raises(RuntimeError):
        checkpoints.save(3, 3, before_commit=lambda: (_ for _ in ()).throw(RuntimeError("killed")))
    assert checkpoints.steps() == [1, 2, 3]
    newest, passed = checkpoints.newest()
    assert newest.step == 2
    assert passed == ["checkpoint 3 was passed over: the bundle is not complete: it has no manifest.json"]
    checkpoints.save(4, 4)
    assert checkpoints.steps() == [2, 4]


def test_of_rotten_ones_the_newest_sound_one_is_taken(checkpoints, tmp_path):
    for step in (1, 2):
        checkpoints.save(step, {"step": step})
    flip(tmp_path / "checkpoints" / "2" / "state.json")
    newest, passed = checkpoints.newest()
    assert newest.state == {"step": 1}
    assert len(passed) == 1
    assert "state.json" in passed[0]
    flip(tmp_path / "checkpoints" / "1" / "arrays.npz")
    newest, passed = checkpoints.newest()
    assert newest is None
    assert len(passed) == 2


def test_without_any_there_is_none(checkpoints):
    assert checkpoints.newest() == (None, [])
    assert checkpoints.manifests() == {}


@pytest.mark.parametrize("step", [-1, 1.0, True, "1", None])
def test_a_step_that_could_not_be_found_again_is_refused(checkpoints, step):
    with pytest.raises(MlcoreError, match="is not the step of a checkpoint"):
        checkpoints.save(step, {})
    assert checkpoints.steps() == []


@pytest.mark.parametrize("name", ["state.json", "arrays.npz", "manifest.json", "../x", "a/b", ""])
def test_a_models_name_that_would_hide_a_file_is_refused(checkpoints, name, tmp_path):
    with pytest.raises((MlcoreError, StoreError)) as caught:
        checkpoints.save(1, {}, {name: Constant()})
    assert repr(name) in str(caught.value)
    assert not list(tmp_path.iterdir())
