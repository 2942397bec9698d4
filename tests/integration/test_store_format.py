"""A store that the first version of format 1 wrote is still read, and its run still goes on."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

import mlcore
from mlcore.runs import RunView, execute_job, find_run, list_runs, resume_job
from mlcore.runs.collect import collect
from mlcore.store import Store

HERE = Path(__file__).parent
WRITTEN = HERE.parent / "data" / "store-format-1"
EXAMPLE = HERE.parents[1] / "examples" / "digits"
DIGESTS = [
    "b50d0b006e999e786b3b3f24995c10a4a00c31181259090ef719659dde0fa815",
    "3125a9a7cd49d808d707103a40c6bba31685607e326a7caa54590aac5b9b8f44",
]

# The fixture's estimator was saved with the scikit-learn of its day, which the backend says in a warning.
pytestmark = pytest.mark.filterwarnings("ignore:saved with scikit-learn")


@pytest.fixture
def store(tmp_path):
    shutil.copytree(WRITTEN, tmp_path / "store")
    return Store(tmp_path / "store").open()


def test_runs_are_read(store):
    (view,) = list_runs(store)
    assert (view.name, view.status, view.header.seed) == ("first", "finished", 7)
    assert [epoch["epoch"] for epoch in view.epochs] == [1, 2]
    assert view.epochs[1]["metrics"]["test"]["loss"] == pytest.approx(2.367, abs=1e-3)
    assert [model["digest"] for model in view.models] == DIGESTS
    assert [point["step"] for point in view.checkpoints] == [2]
    assert view.effective_config().get("model.name") == "digits"
    assert view.details()["warnings"] == []


def test_models_are_loaded(store):
    model = mlcore.load_model("model:digits@best", store=store)
    outputs = model.run({"images": np.zeros((3, 8, 8))}, train=False)
    assert outputs["prediction"].shape == (3,)


def test_nothing_of_it_counts_as_garbage(store):
    assert collect(store, grace=0).blobs == ()


def test_a_run_goes_on(store, monkeypatch):
    monkeypatch.chdir(EXAMPLE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        job, run = resume_job(find_run(store, "first"), ["hooks.5.StopAfter.epochs=3"])
        execute_job(job, run)
    view = RunView(store, run.folder)
    assert (view.status, len(view.epochs), len(view.attempts)) == ("finished", 3, 2)
