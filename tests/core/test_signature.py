"""What the arrays of a model look like: seen, kept, and checked when it is loaded."""

from __future__ import annotations

import copy
import inspect

import numpy as np
import pytest

from mlcore.errors import ModelError
from mlcore.hookspecs import hookimpl
from mlcore.model import as_model, restore_model, save_model
from mlcore.plugins import PluginHost
from mlcore.signature import Field, Signature, check_batch, remember, watch
from mlcore.store import Store
from mlcore.testing.functions import function_backend
from mlcore.versions import Models, load_model


class Sums:
    """A model that takes part."""

    input_names, target_names, output_names = ("x", "names"), ("y",), ("sum",)
    signature = None

    def __init__(self):
        self.ran = 0

    def run(self, batch, *, train):
        self.ran += 1
        return {"sum": np.asarray(batch["x"]).reshape(len(batch["x"]), -1).sum(axis=1)}


def field(*shape, dtype="float64"):
    return Field(dtype, shape)


def make_backend():
    return function_backend(lambda state, batch: state, lambda state, batch: {"prediction": np.asarray(batch["x"]) * 2})


@pytest.fixture
def host():
    host = PluginHost(allow=()).load()
    import types

    module = types.ModuleType("made_here")
    module.make = make_backend

    @hookimpl
    def mlcore_register_backends(register):
        register("functions", "made_here:make")

    import sys

    sys.modules["made_here"] = module
    plugin = types.ModuleType("plugin")
    plugin.mlcore_register_backends = mlcore_register_backends
    host = PluginHost(allow=("made_here",)).load()
    host.add("made_here", plugin)
    yield host
    del sys.modules["made_here"]


# --- what is seen ---


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.zeros((5, 8, 8), np.float32), field(8, 8, dtype="float32")),
        (np.zeros(5, np.int64), field(dtype="int64")),
        ([1.5, 2.5], field()),
        ([[1, 2], [3, 4]], field(2, dtype="int64")),
        (["a", "bcd"], field(dtype="str")),
        (np.array([b"a"]), field(dtype="bytes")),
        (np.array([True]), field(dtype="bool")),
        (np.array([None, 1]), field(dtype="object")),
        (np.zeros((0, 3)), field(3)),
    ],
)
def test_an_array_is_described(value, expected):
    model = Sums()
    assert remember(model, {"x": value}, {"sum": value})
    assert model.signature == Signature({"x": expected}, {"sum": expected})


def test_rows_of_different_lengths_are_left_out():
    model = Sums()
    remember(model, {"x": [[1], [1, 2]], "names": ["a", "b"]}, {})
    assert list(model.signature.inputs) == ["names"]


def test_an_axis_that_varies_may_have_any_size():
    model = Sums()
    for length in (3, 3, 5):
        remember(model, {"x": np.zeros((2, length, 4))}, {"sum": np.zeros(2)})
    assert model.signature.inputs == {"x": field(None, 4)}
    assert model.signature.batches == 3


def test_after_eight_batches_nothing_more_is_looked_at():
    model = Sums()
    more = [remember(model, {"x": np.zeros((2, 3))}, {}) for _ in range(8)]
    assert more == [True] * 7 + [False]
    remember(model, {"x": np.zeros((2, 9))}, {})
    assert (model.signature.inputs, model.signature.batches) == ({"x": field(3)}, 8)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (field(3), field(3), field(3)),
        (field(3), field(4), field(None)),
        (field(3), field(3, 1), Field("float64", None)),
        (field(dtype="int64"), field(dtype="float32"), field(dtype="float32")),
        (field(dtype="float32"), field(dtype="int64"), field(dtype="float32")),
        (field(dtype="str"), field(dtype="float32"), field(dtype="object")),
    ],
)
def test_what_takes_both(one, other, both):
    assert one.joined(other) == both
    assert both.takes(one)
    assert both.takes(other)


def test_a_signature_is_kept_as_json():
    import json

    signature = Signature({"x": field(None, 3), "z": Field("object", None)}, {"y": field()}, 5)
    assert Signature.read(json.loads(json.dumps(signature.record()))) == signature
    assert Signature.read(None) is None


# --- what is refused ---


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        (field(8, 8), np.zeros((2, 8, 8))),
        (field(8, 8), np.zeros((2, 8, 8), np.float16)),
        (field(8, 8), np.zeros((2, 8, 8), np.uint8)),
        (field(None, 8), np.zeros((2, 5, 8))),
        (Field("float64", None), np.zeros((2, 5))),
        (field(dtype="str"), ["longer than before"]),
        (field(8, dtype="object"), np.zeros((2, 8))),
        (field(8), [[1.0], [1.0, 2.0]]),
    ],
)
def test_a_batch_that_fits(expected, value):
    check_batch(Signature({"x": expected}, {}), {"x": value})


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (np.zeros((2, 7, 7)), r"float64 of shape \(7, 7\)"),
        (np.zeros((2, 64)), r"float64 of shape \(64\)"),
        (np.zeros((2, 8, 8), complex), r"complex128 of shape \(8, 8\)"),
        (np.full((2, 8, 8), "a"), r"str of shape \(8, 8\)"),
    ],
)
def test_a_batch_that_does_not_fit_names_source_found_and_expected(value, found):
    with pytest.raises(ModelError, match=rf"'x' of this batch is {found} an example, but .* float32 of shape \(8, 8\)"):
        check_batch(Signature({"x": field(8, 8, dtype="float32")}, {}), {"x": value})


def test_a_missing_source_is_left_to_the_model():
    check_batch(Signature({"x": field(8)}, {}), {})


# --- models ---


def test_a_watched_model_is_itself_again_after_its_first_batches():
    model = Sums()
    watch(model)
    assert list(inspect.signature(model.run).parameters) == ["batch", "train"]
    kept = model.run
    for _ in range(8):
        model.run({"x": [[1.0, 2.0]]}, train=False)
    assert "run" not in vars(model)
    assert kept({"x": [[1.0, 2.0, 3.0]]}, train=False)["sum"] == [6.0]  # as a loop does that fetched it before
    assert model.ran == 9
    assert model.signature == Signature({"x": field(2)}, {"sum": field()}, 8)


def test_a_copy_watches_itself():
    model = Sums()
    watch(model)
    other = copy.deepcopy(model)
    other.run({"x": [1.0]}, train=False)
    assert (model.ran, model.signature) == (0, None)
    assert (other.ran, other.signature.batches) == (1, 1)


def test_what_a_model_raises_is_not_remembered():
    model = Sums()
    watch(model)
    with pytest.raises(KeyError):
        model.run({}, train=False)
    assert model.signature is None


def test_a_model_that_does_not_take_part_is_left_alone():
    class Plain:
        pass

    model = Plain()
    watch(model)
    assert vars(model) == {}


def test_a_signature_is_saved_with_a_model_and_checked_when_it_is_loaded(host, tmp_path):
    model = as_model({"w": np.zeros(1)}, host=host)
    model.run({"x": np.zeros((4, 3))}, train=True)
    manifest = save_model(model, tmp_path / "saved", host=host)
    assert manifest.meta["signature"] == {
        "inputs": {"x": {"dtype": "float64", "shape": [3]}},
        "outputs": {"prediction": {"dtype": "float64", "shape": [3]}},
        "batches": 1,
    }
    loaded = load_model(tmp_path / "saved", host=host)
    with pytest.raises(ModelError, match=r"'x' of this batch is float64 of shape \(2\)"):
        loaded.run({"x": np.zeros((4, 2))}, train=False)
    loaded.run({"x": np.zeros((4, 3))}, train=False)
    loaded.run({"x": np.zeros((4, 2))}, train=False)  # only the first one is checked


def test_the_check_can_be_switched_off(host, tmp_path):
    model = as_model({"w": np.zeros(1)}, host=host)
    model.run({"x": np.zeros((4, 3))}, train=True)
    save_model(model, tmp_path / "saved", host=host)
    loaded = load_model(tmp_path / "saved", host=host)
    loaded.signature = None
    loaded.run({"x": np.zeros((4, 2))}, train=False)


def test_a_model_that_saw_no_batch_has_none(host, tmp_path):
    manifest = save_model(as_model({"w": np.zeros(1)}, host=host), tmp_path / "saved", host=host)
    assert manifest.meta["signature"] is None
    load_model(tmp_path / "saved", host=host).run({"x": [1]}, train=False)


def test_a_model_of_an_earlier_mlcore_has_none(host, tmp_path):
    import json

    save_model(as_model({"w": np.zeros(1)}, host=host), tmp_path / "saved", host=host)
    manifest = tmp_path / "saved" / "manifest.json"
    content = json.loads(manifest.read_text())
    del content["meta"]["signature"]
    manifest.write_text(json.dumps(content))
    load_model(tmp_path / "saved", host=host).run({"x": [1]}, train=False)


def test_what_a_checkpoint_restores_is_not_checked_and_goes_on_looking(host, tmp_path):
    model = as_model({"w": np.zeros(1)}, host=host)
    for _ in range(3):
        model.run({"x": np.zeros((4, 3))}, train=True)
    save_model(model, tmp_path / "saved", host=host)
    from mlcore.bundle import Bundle

    restored = as_model(restore_model(Bundle(tmp_path / "saved"), host=host), host=host)
    restored.run({"x": np.zeros((4, 2))}, train=True)
    assert restored.signature.inputs == {"x": field(None)}
    assert restored.signature.batches == 4


def test_the_same_contents_are_one_version_however_many_batches_were_seen(host, tmp_path):
    models = Models(Store(str(tmp_path)))
    model = as_model({"w": np.zeros(1)}, host=host)
    numbers = []
    for _ in range(2):
        model.run({"x": [1.0]}, train=False)
        numbers.append(models.save(model, "net", made={"step": 1}, host=host).number)
    assert numbers == [1, 1]
