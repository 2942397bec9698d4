"""Programs and configs that were written for emloop run unchanged."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import mlcore
from mlcore.bundle import Bundle
from mlcore.plugins import current_host
from mlcore.standins import standing_in
from mlcore.store import Store
from mlcore.versions import Models

EXAMPLE = Path(__file__).parents[2] / "examples" / "compat" / "line.py"


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


def test_the_example_has_nothing_of_mlcore_in_it():
    code = EXAMPLE.read_text().split('"""', 2)[2]
    assert "mlcore" not in code


def test_the_example_runs(store, capfd):
    view = mlcore.run(EXAMPLE, arguments=["--epochs", "2"], compat=["emloop"], store=store)
    assert view.status == "finished"
    assert "after 2 epochs" in view.folder.read_bytes("files/console.log").decode()
    assert [epoch["epoch"] for epoch in view.epochs] == [0, 1, 2]
    assert "emloop" not in sys.modules


def test_a_config_whose_modules_import_emloop_trains(store, tmp_path, capfd):
    (tmp_path / "fit.py").write_text(EXAMPLE.read_text())
    (tmp_path / "train.yaml").write_text(
        "compat: [emloop]\ndataset: {class: fit.Points}\nmodel: {class: fit.Line}\n"
        "hooks: [{ComputeStats: {variables: {loss: [mean]}}}, fit.StopWhenGood]\nmain_loop: {extra_streams: [valid]}\n"
    )
    view = mlcore.run(tmp_path / "train.yaml", store=store)
    assert view.status == "finished"
    assert view.epochs[-1]["metrics"]["valid"]["loss"] < 0.0002


@pytest.mark.parametrize(
    "module", ["constants", "datasets.base_dataset", "hooks.abstract_hook", "main_loop", "models", "types", "utils"]
)
def test_modules_of_emloop_are_found(module):
    import importlib

    with standing_in(["emloop"], current_host()):
        found = importlib.import_module(f"emloop.{module}")
    assert found.__name__ == f"mlcore_emloop_compat.{module}"


def test_a_model_of_emloop_keeps_its_signature(store, tmp_path, capfd):
    (tmp_path / "fit.py").write_text(EXAMPLE.read_text())
    (tmp_path / "train.yaml").write_text(
        "compat: [emloop]\ndataset: {class: fit.Points}\nmodel: {class: fit.Line}\nhooks: [SaveLatest]\n"
        "main_loop: {epochs_count: 1}\n"
    )
    view = mlcore.run(tmp_path / "train.yaml", store=store)
    signature = Models(store).resolve("model:train").manifest.meta["signature"]
    assert signature["inputs"] == {name: {"dtype": "float64", "shape": []} for name in "xy"}
    assert sorted(signature["outputs"]) == ["loss", "prediction"]
    kept = Bundle(view.folder / "checkpoints" / "1" / "model").manifest().meta["signature"]
    assert kept == signature
