"""The job that all is about: the digits example, by the command line and from Python, beside scikit-learn by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from tests.integration.conftest import DIGITS, Desk, epochs

import mlcore
from mlcore.config import Config
from mlcore.versions import Models


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The example as it stands, run once by the command line."""
    desk = Desk(tmp_path_factory.mktemp("digits"))
    return desk, desk.mlcore("run", str(DIGITS))


@pytest.fixture(scope="module")
def by_hand():
    """The same training with scikit-learn alone: only the settings are read from the example."""
    config = Config.read(DIGITS).resolve()
    given, seed, size = config["model"], config["seed"], config["dataset"]["batch_size"]
    names = ("hidden_layer_sizes", "learning_rate_init", "alpha", "random_state")
    model = MLPClassifier(**{name: given[name] for name in names})
    images, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(1797)
    images, digits = images[order] / 16, digits[order]
    [length] = [hook["StopAfter"]["epochs"] for hook in config["hooks"] if "StopAfter" in hook]
    scores = []
    for epoch in range(1, length + 1):
        permuted = np.random.default_rng([seed, epoch]).permutation(1257)
        for start in range(0, 1257, size):
            batch = permuted[start : start + size]
            model.partial_fit(images[batch], digits[batch], classes=np.arange(10))
        scores.append(model.score(images[1527:], digits[1527:]))
    return model, images, digits, scores


def test_the_command_trains_prints_a_table_and_says_what_to_do_next(finished):
    desk, done = finished
    done.ok()
    [run] = desk.runs()
    lines = done.out.splitlines()
    assert lines[0].split() == ["stream", "metric", "last", "best"]
    rows = {tuple(line.split()[:2]): [float(value) for value in line.split()[2:]] for line in lines[1:7]}
    assert rows.keys() == {(stream, name) for stream in ("train", "valid", "test") for name in ("loss", "accuracy")}
    assert rows["test", "accuracy"][0] >= 0.95
    assert lines[-3].startswith("finished")
    assert lines[-1] == f"next: mlcore show {run.name}"
    assert sum(line.startswith("epoch ") for line in done.err.splitlines()) >= 10
    assert "\r" not in done.out + done.err, "no bars in a pipe"


def test_it_equals_scikit_learn_by_hand_bit_for_bit(finished, by_hand):
    desk, _ = finished
    model, images, _, scores = by_hand
    shown = desk.mlcore("show", desk.runs()[0], "--json").ok().json
    assert len(shown["epochs"]) == len(scores) >= 10
    np.testing.assert_allclose([epoch["metrics"]["test"]["accuracy"] for epoch in shown["epochs"]], scores, rtol=1e-12)
    stored = mlcore.load_model("model:digits@latest", store=mlcore.Store(desk.store))
    assert stored.estimator.t_ == model.t_
    for ours, theirs in zip(
        stored.estimator.coefs_ + stored.estimator.intercepts_, model.coefs_ + model.intercepts_, strict=True
    ):
        assert ours.dtype == theirs.dtype
        assert ours.tobytes() == theirs.tobytes()
    batch = {"images": images.reshape(-1, 8, 8)}
    np.testing.assert_array_equal(stored.run(batch, train=False)["prediction"], model.predict(images))


def test_the_same_seed_gives_the_same_models_from_python_too(finished, tmp_path, monkeypatch):
    desk, _ = finished
    monkeypatch.chdir(tmp_path)
    view = mlcore.run(DIGITS, store=str(tmp_path / "store"))
    assert view.status == "finished"
    by_command = desk.mlcore("show", desk.runs()[0], "--json").ok().json
    assert [(model["version"], model["digest"], model["aliases"]) for model in view.models] == [
        (model["version"], model["digest"], model["aliases"]) for model in by_command["models"]
    ]
    assert view.summary()["metrics"] == by_command["metrics"]


def test_another_seed_gives_another_model(finished, quick):
    desk, _ = finished
    quick.mlcore("run", DIGITS, "seed=8", epochs(1), "--json").ok()
    first = Models(mlcore.Store(desk.store)).resolve("model:digits@v1")
    other = Models(mlcore.Store(quick.store)).resolve("model:digits@v1")
    assert first.digest != other.digest


def test_a_stored_model_predicts_in_a_process_that_knows_nothing_of_the_run(finished, by_hand, tmp_path):
    desk, _ = finished
    _, images, digits, _ = by_hand
    np.save(tmp_path / "images.npy", images[1527:].reshape(-1, 8, 8))
    program = (
        "import json, mlcore, numpy; model = mlcore.load_model('model:digits@best'); "
        "print(json.dumps(model.run({'images': numpy.load('images.npy')}, train=False)['prediction'].tolist()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "MLCORE_STORE": str(desk.store)},
    )  # fmt: skip
    assert np.mean(np.array(json.loads(done.stdout)) == digits[1527:]) >= 0.95


def test_a_store_in_memory_does_as_well(finished, empty_memory):
    desk, _ = finished
    store = mlcore.Store("memory://shelf")
    view = mlcore.run(DIGITS, [epochs(2)], store=store)
    assert view.status == "finished"
    assert view.summary()["path"] == f"memory://shelf/runs/{view.id[:4]}-{view.id[4:6]}/{view.id}"
    assert [epoch["epoch"] for epoch in view.epochs] == [1, 2]
    model = mlcore.load_model("model:digits@v2", store=store)
    assert model.estimator.t_ == 2 * 1257
    [_, second] = view.models
    assert second["digest"] == Models(mlcore.Store(desk.store)).resolve("model:digits@v2").digest
