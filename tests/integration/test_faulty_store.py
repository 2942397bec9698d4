"""On a store that fails on purpose the main job ends right, or with an error that names the store."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

import fsspec
import pytest

import mlcore
from mlcore.checkpoint import Checkpoints
from mlcore.errors import CorruptError, StoreError
from mlcore.events import CheckpointSaved, ModelSaved
from mlcore.plugins import PluginHost
from mlcore.runs import execute_job, list_runs, resume_job
from mlcore.store import Store, retries
from mlcore.testing.faulty import faulty_url
from mlcore.versions import Models

JOB = Path(__file__).parent / "shaky" / "train.yaml"
# 200 in CI, and 2,000 once before a release.
SEEDS = int(os.environ.get("MLCORE_TEST_SEEDS", "30"))
RATES = {"errors": 0.1, "lost": 0.03, "torn": 0.03, "delays": 0.02, "pause": 0.001}
# So many errors that few runs come to their end at once.
STORM = {"errors": 0.35, "lost": 0.1, "torn": 0.1}


class Acknowledged:
    """A plugin that writes down what the run was told to be stored."""

    def __init__(self):
        self.versions, self.checkpoints = {}, []

    @mlcore.hookimpl
    def mlcore_subscribe(self, run):
        run.bus.on(ModelSaved, lambda event: self.versions.__setitem__((event.name, event.version), event.digest))
        run.bus.on(CheckpointSaved, lambda event: self.checkpoints.append(event.step))


def host(plugin):
    found = PluginHost()
    found.load()
    found.add("watching", plugin)
    return found


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch, empty_memory):
    monkeypatch.setattr(retries, "_sleep", lambda seconds: None)


def facts(view):
    """All that must not depend on what the store did."""
    assert view.journal.warnings == []
    series = {name: (points.steps, list(points.values)) for name, points in view.journal.series().items()}
    models = [(model["name"], model["version"], model["digest"], model["aliases"]) for model in view.models]
    epochs = [(epoch["epoch"], epoch["metrics"]) for epoch in view.epochs]
    table = view.folder.read_bytes("files/table.csv")
    return view.status, series, models, epochs, [(c["step"], c["best"]) for c in view.checkpoints], table


def check_contents(store, told):
    """Whatever can be read is what was written; what was acknowledged can be read."""
    models = Models(store)
    for (name, number), digest in told.versions.items():
        version = models.version(models.find(name), number)
        assert version.digest == digest
        version.bundle.verify(store.blobs)
    for view in list_runs(store):
        with suppress(CorruptError):
            view.details()
        checkpoints = Checkpoints(view.folder / "checkpoints")
        newest, _ = checkpoints.newest()
        kept = [step for step in told.checkpoints if step in checkpoints.steps()]
        assert not kept or (newest and newest.step >= max(kept)), "an acknowledged checkpoint is lost"
    for entry in store.blobs.list():
        try:
            store.blobs.verify(entry.key)
        except CorruptError:
            assert entry.key not in told.versions.values()


@pytest.fixture
def undisturbed(empty_memory):
    return facts(mlcore.run(JOB, store="memory://undisturbed"))


def trial(seed, rates, undisturbed, outcomes):
    url, told = faulty_url(f"shaky-{seed}", seed=seed, **rates), Acknowledged()
    calm = Store(f"memory://shaky-{seed}")
    fs = fsspec.core.url_to_fs(url)[0]
    try:
        mlcore.run(JOB, store=url, host=host(told))
        outcomes["ended"] += 1
    except StoreError as error:
        outcomes["failed"] += 1
        where = str(error.where)
        assert where.startswith(url), f"the error does not name the store: {error}"  # noqa: PT017
    outcomes.update(fs.happened)
    check_contents(calm, told)
    fs.calm = True
    views = list(list_runs(Store(url)))
    if views and views[0].status != "finished":
        job, run = resume_job(views[0], takeover=True)  # the process that failed is this one, which lives on
        execute_job(job, run)
        outcomes["resumed"] += 1
    for view in list_runs(calm):
        assert facts(view) == undisturbed
    check_contents(calm, told)


def test_with_some_faults_the_job_ends_right_or_says_that_the_store_failed(undisturbed):
    outcomes = Counter()
    for seed in range(SEEDS):
        try:
            trial(seed, RATES, undisturbed, outcomes)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    assert outcomes["ended"] >= SEEDS * 0.9
    assert min(outcomes[kind] for kind in ("errors", "lost", "torn", "delays")) > 0, outcomes


def test_in_a_storm_of_faults_nothing_acknowledged_is_lost(undisturbed):
    outcomes = Counter()
    for seed in range(max(SEEDS // 3, 5)):
        try:
            trial(seed, STORM, undisturbed, outcomes)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    assert outcomes["failed"] > 0, "the storm was a breeze"
