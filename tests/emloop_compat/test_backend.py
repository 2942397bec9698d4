"""Models that derive from AbstractModel, as the rest of the house sees them."""

from __future__ import annotations

import datetime
import json
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest
from tests.emloop_compat.conftest import Doubler, Line

from mlcore.bundle import Bundle
from mlcore.errors import ModelError
from mlcore.model import Model, as_model, restore_model, save_model
from mlcore.store import as_folder
from mlcore.testing.backends import BackendConformance
from mlcore.versions import load_model
from mlcore_emloop_compat import AbstractModel
from mlcore_emloop_compat.backend import EmloopBackend, EmloopModel

X = np.random.default_rng(0).normal(size=(8, 2))
BATCH = {"x": X, "y": X @ [1.0, 2.0]}


class Steady(AbstractModel):
    """Predicts without targets, and asks no random generator: what the conformance suite wants."""

    input_names, output_names = ["x", "y"], ["guess", "loss"]

    def __init__(self, dataset, log_dir, restore_from=None):
        self._log_dir, self.weights = log_dir, np.zeros(2)
        if restore_from:
            self.weights = np.array(json.loads(Path(restore_from).read_text()))

    def run(self, batch, train, stream):
        guess = batch["x"] @ self.weights
        if "y" not in batch:
            return {"guess": guess}
        if train:
            self.weights = self.weights - 0.1 * (guess - batch["y"]) @ batch["x"] / len(guess)
        return {"guess": guess, "loss": (guess - batch["y"]) ** 2}

    def save(self, name_suffix):
        path = Path(self._log_dir) / f"steady_{name_suffix}.json"
        path.write_text(json.dumps(self.weights.tolist()))
        return str(path)


def make_steady():
    return Steady(None, tempfile.mkdtemp())


class TestConformance(BackendConformance):
    backend = "mlcore_emloop_compat.backend:EmloopBackend"
    make_object = f"{__name__}:make_steady"
    batch = BATCH
    options = {"target_names": ["y"], "labels": {"low": 0, "high": 1}}


@pytest.mark.parametrize("form", ["file", "folder", "prefix"])
def test_a_model_comes_back_from_what_it_saves(tmp_path, host, form):
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "line_mlcor").write_text("of somebody else")
    model = Line(None, str(logs), form=form)
    model.el_config = {"form": form}
    model.run(BATCH, True, None)
    save_model(model, tmp_path / "first")
    assert [path.name for path in logs.iterdir()] == ["line_mlcor"], (
        "what was saved was left in log_dir, or more was taken"
    )
    restored = load_model(str(tmp_path / "first"))
    assert np.array_equal(restored.subject.weights, model.weights)
    assert np.array_equal(restored.subject.momentum, model.momentum)
    restored.run(BATCH, train=True)
    save_model(restored, tmp_path / "second")
    again = load_model(str(tmp_path / "second")).subject
    assert np.array_equal(again.weights, restored.subject.weights)
    assert again._form == form


def test_names_that_are_patterns_are_taken_as_they_are(tmp_path, host):
    class Patterned(Line):
        def save(self, name_suffix):
            (tmp_path / f"m[1]_{name_suffix}.a").write_text("a")
            (tmp_path / "m1_mlcore.b").write_text("not mine")
            return str(tmp_path / f"m[1]_{name_suffix}")

    save_model(Patterned(None, str(tmp_path)), tmp_path / "saved")
    assert [path.name for path in (tmp_path / "saved" / "saved").iterdir()] == ["m[1]_mlcore.a"]


def test_targets_are_told_apart_by_who_wraps_it(host):
    model = as_model(Doubler(), host=host)
    assert isinstance(model, Model)
    assert (model.input_names, model.target_names, model.output_names) == (("x",), (), ("y",))
    model = as_model(Line(None, None), target_names=["y"], labels=["a", "b"], host=host)
    assert (model.input_names, model.target_names) == (("x",), ("y",))
    assert model.labels == {"a": "a", "b": "b"}
    assert as_model(model, host=host) is model


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ({"input_names": ["a"]}, "Line is a model of its own: input_names are x, y, not a"),
        ({"output_names": ["a"]}, "output_names are loss, not a"),
        ({"target_names": ["z"]}, "Line has no input 'z' to be a target"),
        ({"colour": "red"}, "take no option 'colour'"),
    ],
)
def test_its_names_cannot_be_set_from_outside(host, names, what):
    with pytest.raises(ModelError, match=what):
        as_model(Line(None, None), host=host, **names)


def test_names_that_are_its_own_may_be_repeated(host):
    as_model(Line(None, None), input_names=["x", "y"], output_names=["loss"], host=host)
    as_model(Line(None, None), input_names=["x"], target_names=["y"], host=host)


def test_a_save_that_gives_no_path_or_nothing_is_told(tmp_path, host):
    class Silent(Doubler):
        path = None

        def save(self, name_suffix):
            return self.path

    with pytest.raises(ModelError, match=r"Silent.save returned no path"):
        save_model(Silent(), tmp_path / "a")
    for missing in (tmp_path / "nowhere" / "model", tmp_path / "model"):
        Silent.path = str(missing)
        with pytest.raises(ModelError, match=f"said it was saved to {missing}, but there is nothing"):
            save_model(Silent(), tmp_path / "b")


def test_an_argument_that_cannot_be_stored_is_told(tmp_path, host):
    model = Line(None, str(tmp_path))
    model.el_config = {"since": datetime.date(2020, 1, 1)}
    with pytest.raises(ModelError, match=r"an argument of Line cannot be stored: .*date"):
        save_model(model, tmp_path / "saved")


class Needy(Line):
    def __init__(self, dataset, log_dir, size, restore_from=None):
        super().__init__(dataset, log_dir, restore_from)


def test_an_argument_that_was_not_stored_is_told(tmp_path, host):
    save_model(Needy(None, str(tmp_path), 3), tmp_path / "saved")
    with pytest.raises(ModelError, match=r"Needy needs the argument 'size' to be restored.*\n.*el_config"):
        load_model(str(tmp_path / "saved"))


GONE = """
from tests.emloop_compat.conftest import Line

class Special(Line):
    @classmethod
    def restore_fallback(cls):
        return {fallback}
"""


@pytest.mark.parametrize("fallback", ["Line", "None"])
def test_a_model_whose_class_is_gone_comes_back_by_its_fallback(tmp_path, host, monkeypatch, fallback):
    (tmp_path / "soon_gone.py").write_text(textwrap.dedent(GONE.format(fallback=fallback)))
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        import soon_gone

        model = soon_gone.Special(None, str(tmp_path))
        model.run(BATCH, True, None)
        save_model(model, tmp_path / "saved")
    del sys.modules["soon_gone"]
    if fallback == "None":
        with pytest.raises(ModelError, match="there is no module 'soon_gone'"):
            load_model(str(tmp_path / "saved"))
        return
    restored = restore_model(Bundle(as_folder(tmp_path / "saved")), host=host).subject
    assert type(restored) is Line
    assert np.array_equal(restored.weights, model.weights)


def test_the_backend_has_no_generators():
    assert EmloopBackend().rng_state() is None
    EmloopBackend().set_rng_state({})
    assert not EmloopBackend().recognises(object())
    assert EmloopBackend().recognises(EmloopModel(Doubler()))
