"""SaveBest and SaveLatest: when they save, as what, and what they say when they cannot."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.emloop_compat.conftest import Doubler, Line, after_epoch, revived

from mlcore.bundle import Bundle
from mlcore.model import restore_model
from mlcore.runs import start_run
from mlcore.store import as_folder
from mlcore.versions import Models
from mlcore_emloop_compat.hooks import (
    SaveBest,
    SaveLatest,
)


@pytest.fixture
def saves(monkeypatch):
    found = []
    monkeypatch.setattr(
        "mlcore_emloop_compat.hooks.save.save", lambda model, name, epoch, *rest: found.append((name, epoch))
    )
    return found


def judge(hook, values):
    for number, value in enumerate(values):
        after_epoch(hook, number, valid={"loss": {"mean": value, "max": -value}, "plain": value})


@pytest.mark.parametrize(
    ("arguments", "epochs"),
    [
        ({}, [0, 2, 5]),
        ({"condition": "max"}, [0, 1]),
        ({"aggregation": "max"}, [0, 1]),
        ({"variable": "plain"}, [0, 2, 5]),
        ({"variable": "plain", "condition": "max", "model_name": "top"}, [0, 1]),
    ],
)
def test_only_what_is_strictly_better_is_saved(saves, arguments, epochs):
    judge(SaveBest(model=None, **arguments), [3, 4, 2, 2, math.nan, 1])
    assert saves == [(arguments.get("model_name", "best"), epoch) for epoch in epochs]


def test_nan_is_never_the_best_and_anything_is_better_than_it(saves):
    judge(SaveBest(model=None), [math.nan, math.inf, 5])
    assert [epoch for _, epoch in saves] == [1, 2]


def test_the_best_survives_a_checkpoint(saves, tmp_path):
    hook = SaveBest(model=None)
    judge(hook, [2])
    fresh = revived(hook, SaveBest(model=None), tmp_path)
    saves.clear()
    judge(fresh, [3, 2, 1])
    assert saves == [("best", 2)]


@pytest.mark.parametrize(
    ("data", "kind", "what"),
    [
        ({}, KeyError, "no stream 'valid'"),
        ({"vaild": {}}, KeyError, "did you mean 'vaild'"),
        ({"valid": {"los": 1}}, KeyError, "no variable 'loss' .*\n.*did you mean 'los'"),
        ({"valid": {"loss": {"std": 1}}}, KeyError, "no aggregation 'mean'"),
        ({"valid": {"loss": "low"}}, ValueError, "needs a number, but valid loss is a str"),
        ({"valid": {"loss": np.zeros(2)}}, ValueError, "needs a number, but valid loss is a ndarray"),
    ],
)
def test_a_value_to_judge_by_that_is_not_there_is_told(saves, data, kind, what):
    with pytest.raises(kind, match=what):
        after_epoch(SaveBest(model=None), **data)
    assert not saves


def test_a_stream_that_is_no_mapping_is_told():
    with pytest.raises(TypeError, match="looks for the variable 'loss' in a list"):
        SaveBest(model=None).after_epoch(1, {"valid": [1]})


def test_wrong_arguments_of_saving_are_refused():
    with pytest.raises(ValueError, match="SaveBest's condition is 'low'; it is one of min, max"):
        SaveBest(model=None, condition="low")
    for kind in (SaveBest, SaveLatest):
        with pytest.raises(
            ValueError, match=f"{kind.__name__}'s on_save_failure is 'cry'; it is one of error, warn, ignore"
        ):
            kind(model=None, on_save_failure="cry")


def test_without_a_run_an_emloop_model_saves_itself(tmp_path):
    model = Line(None, str(tmp_path))
    SaveLatest(model=model).after_epoch(1, {})
    judge(SaveBest(model=model), [1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["line_best", "line_latest"]


def test_without_a_run_another_model_becomes_a_bundle(tmp_path):
    model = Native(3.0)
    SaveLatest(model=model, output_dir=str(tmp_path)).after_epoch(1, {})
    SaveLatest(model=model, output_dir=str(tmp_path)).after_epoch(2, {})
    assert restore_model(Bundle(as_folder(tmp_path / "model_latest"))).factor == 3.0


class Native:
    """A Model of the core by itself."""

    input_names, target_names, output_names = ("x",), (), ("y",)

    def __init__(self, factor):
        self.factor = factor

    def run(self, batch, *, train):
        return {"y": np.asarray(batch["x"]) * self.factor}

    def save(self, directory, *, training=False):
        (directory / "factor").write_text(repr(self.factor))

    @classmethod
    def load(cls, directory):
        return cls(float((directory / "factor").read_text()))


def test_in_a_run_a_model_becomes_a_version_with_the_alias(tmp_path):
    model = Line(None, str(tmp_path))
    with start_run(store=str(tmp_path / "store"), name="mine") as run:
        SaveLatest(model=model).after_epoch(1, {})
        model.run({"x": np.ones((1, 2)), "y": np.ones(1)}, True, None)
        judge(SaveBest(model=model), [1])
    stored = Models(run.store)
    assert stored.resolve("model:mine@latest").number == 1
    assert stored.resolve("model:mine@best").number == 2
    assert (tmp_path / "line_latest").exists()
    assert not (tmp_path / "line_mlcore").exists(), "the copy made for the version was left behind"


class Failing(Doubler):
    def save(self, name_suffix):
        raise OSError("the disk is full")


def test_a_failure_to_save_is_an_error_told_or_ignored(caplog):
    def save(action):
        SaveLatest(model=Failing(), on_save_failure=action).after_epoch(1, {})

    with pytest.raises(OSError, match="the disk is full"):
        save("error")
    save("ignore")
    assert not caplog.records
    save("warn")
    assert "the model was not saved: the disk is full" in caplog.text
