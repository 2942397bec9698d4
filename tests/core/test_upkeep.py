"""Trash, garbage collection, export and comparison of runs."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mlcore
from mlcore.cli.app import app
from mlcore.errors import CorruptError, RunBusyError, RunError
from mlcore.model import restore_model
from mlcore.runs import RunView, find_run, list_runs
from mlcore.runs.collect import collect
from mlcore.runs.compare import compare, flatten
from mlcore.runs.export import export_run
from mlcore.runs.trash import discard, discarded, restore
from mlcore.store import Store
from mlcore.versions import Models

# How long writers and the collector race; a minute where that is asked for.
RACE = float(os.environ.get("MLCORE_TEST_RACE", "3"))


class Text:
    """A model that is a text."""

    input_names = ("x",)
    target_names = ()
    output_names = ("y",)

    def __init__(self, text):
        self.text = text

    def run(self, batch, *, train):
        return {"y": [self.text for _ in batch["x"]]}

    def save(self, directory, *, training=False):
        (directory / "text").write_text(self.text)

    @classmethod
    def load(cls, directory):
        return cls((directory / "text").read_text())


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def finished(store, name="fit", text="weights", **config):
    with mlcore.start_run({"model": config}, store=store, name=name) as run:
        run.log(1, **{"valid.loss": 0.5})
        run.save_model(Text(text), aliases=("best",))
    view = RunView(run.store, run.folder)
    assert view.status == "finished"
    return view


def test_a_discarded_run_is_gone_from_the_list_and_comes_back(store):
    view = finished(store)
    discard(view)
    assert list(list_runs(store)) == []
    assert [item.run_id for item in discarded(store)] == [view.id]
    assert restore(store, view.id).metrics[0].last == 0.5
    assert [run.id for run in list_runs(store)] == [view.id]
    assert list(discarded(store)) == []


def test_a_memory_store_has_a_trash_too(empty_memory):
    store = Store("memory://trash-test")
    view = finished(store)
    discard(view)
    assert list(list_runs(store)) == []
    assert restore(store, view.id).status == "finished"


def test_a_running_run_cannot_be_discarded(store):
    with mlcore.start_run(store=store) as run, pytest.raises(RunBusyError, match="running"):
        discard(RunView(store, run.folder))


def test_a_copy_outside_of_a_store_cannot_be_discarded(store, tmp_path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(finished(store).folder.local, copy)
    with pytest.raises(RunError, match="outside of a store"):
        discard(find_run(store, str(copy)))
    assert copy.exists()


def test_what_is_not_in_the_trash_cannot_come_back(store):
    discard(finished(store))
    with pytest.raises(RunError, match="no run 'nothing' in the trash"):
        restore(store, "nothing")


def test_collection_empties_old_trash_and_spares_young(store):
    view = finished(store)
    discard(view)
    assert collect(store).runs == ()
    assert collect(store, grace=0, dry_run=True).runs == (view.id,)
    assert list(discarded(store))
    assert collect(store, grace=0).runs == (view.id,)
    assert list(discarded(store)) == []


def test_collection_removes_only_what_nothing_refers_to(store):
    finished(store)
    orphan = store.blobs.add_bytes(b"nobody wants me")
    assert collect(store).blobs == ()
    found = collect(store, grace=0, dry_run=True)
    assert (found.blobs, found.size) == ((orphan,), len(b"nobody wants me"))
    assert store.blobs.has(orphan)
    assert collect(store, grace=0).blobs == (orphan,)
    assert not store.blobs.has(orphan)
    assert mlcore.load_model("model:fit@best", store=store).text == "weights"


def test_what_a_discarded_run_refers_to_stays(store):
    view = finished(store)
    discard(view)
    collect(store, grace=0)
    assert mlcore.load_model("model:fit@best", store=store).text == "weights"


def test_a_killed_collector_leaves_nothing_lost(store):
    finished(store)
    digest = next(iter(Models(store).resolve("model:fit").manifest.files.values())).sha256
    assert store.blobs.set_aside(digest)
    assert not store.blobs.has(digest)
    collect(store)
    assert mlcore.load_model("model:fit", store=store).text == "weights"


def test_an_unreadable_manifest_stops_the_collection_and_puts_everything_back(store, tmp_path):
    finished(store)
    orphan = store.blobs.add_bytes(b"orphan")
    store.blobs.set_aside(orphan)
    manifest = next(Path(store.local, "models").glob("*/v1/manifest.json"))
    manifest.write_text("{")
    with pytest.raises(CorruptError, match=r"manifest\.json"):
        collect(store, grace=0)
    assert store.blobs.has(orphan)


def test_nothing_acknowledged_is_lost_while_collecting(store):
    models, stop, saved, errors = Models(store), threading.Event(), [], []
    store.prepare()

    def write(writer):
        try:
            for number in range(10**6):
                if stop.is_set():
                    return
                text = f"{number % 3}"  # the same contents again and again, from all writers
                saved.append((models.save(Text(text), f"model-{writer}", made={"n": number}), text))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test must see it
            errors.append(error)

    writers = [threading.Thread(target=write, args=(name,)) for name in range(3)]
    for thread in writers:
        thread.start()
    end, rounds = time.monotonic() + RACE, 0
    while time.monotonic() < end and not errors:
        collect(store, grace=0)
        rounds += 1
    stop.set()
    for thread in writers:
        thread.join()
    assert not errors
    assert rounds > 1
    assert len(saved) > 3
    collect(store, grace=0)
    for version, text in saved:
        assert restore_model(version.bundle, blobs=store.blobs).text == text


def test_an_exported_run_brings_its_models(store, tmp_path):
    finished(store, text="first")
    view = finished(store, text="second")
    exported = export_run(view, Store(tmp_path / "other"))
    assert exported.metrics == view.metrics
    other = exported.store
    assert mlcore.load_model("model:fit@best", store=other).text == "second"
    assert mlcore.load_model(f"model:fit@v{view.models[0]['version']}", store=other).text == "second"
    assert find_run(other, view.id).status == "finished"


def test_exporting_again_brings_what_is_new(store, tmp_path):
    target = Store(tmp_path / "other")
    first, second = finished(store, text="first"), finished(store, text="second")
    for view in (first, second, first):
        export_run(view, target)
    assert {run.id for run in list_runs(target)} == {first.id, second.id}
    assert mlcore.load_model("model:fit@v1", store=target).text == "first"
    assert mlcore.load_model("model:fit@v2", store=target).text == "second"


def test_export_refuses_a_name_that_another_model_has(store, tmp_path):
    other = Store(tmp_path / "other")
    finished(other)
    with pytest.raises(RunError, match="another model of the name 'fit'"):
        export_run(finished(store), other)
    with pytest.raises(RunError, match="its own store"):
        export_run(finished(store), store)


def test_a_copied_run_folder_can_be_read_alone(store, tmp_path):
    view = finished(store)
    copy = tmp_path / "elsewhere"
    shutil.copytree(view.folder.local, copy)
    assert find_run(store, str(copy)).metrics == view.metrics


def test_comparison_shows_what_differs(store):
    runs = [finished(store, name="a", alpha=0.1, depth=2), finished(store, name="b", alpha=0.2, depth=2)]
    found = compare(runs)
    assert [(row.key, row.values) for row in found.config] == [("model.alpha", (0.1, 0.2))]
    assert [(row.key, row.values) for row in found.metrics] == [("valid.loss", (0.5, 0.5))]


def test_leaves_have_dotted_keys():
    tree = {"a": {"b": 1, "c": [1, 2]}, "hooks": ["X", {"Y": {"z": None}}], "empty": {}}
    assert flatten(tree) == {"a.b": 1, "a.c": [1, 2], "hooks.0": "X", "hooks.1.Y.z": None, "empty": {}}


def command(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.stderr


def test_the_commands(store, tmp_path):
    first, second = finished(store, name="a", alpha=1), finished(store, name="b", alpha=2)
    at = ("--store", store.url)
    code, out, _ = command("runs", "compare", "a", "b", "--json", *at)
    assert (code, json.loads(out)["config"]) == (0, [{"key": "model.alpha", "values": [1, 2]}])
    code, out, _ = command("runs", "compare", "a", "b", *at)
    assert out.splitlines()[1].split() == ["model.alpha", "1", "2"]
    assert command("runs", "export", "b", "--to", tmp_path / "out", *at)[0] == 0
    assert mlcore.load_model("model:b@best", store=Store(tmp_path / "out")).text == "weights"
    code, out, _ = command("runs", "rm", "a", *at)
    assert code == 0
    assert f"mlcore runs restore {first.id}" in out
    code, _, err = command("runs", "rm", "a", *at)
    assert (code, "there is no run 'a'" in err) == (2, True)
    code, out, _ = command("runs", "gc", "--days", 0, "--json", *at)
    assert json.loads(out)["runs"] == [first.id]
    code, _, err = command("runs", "restore", first.id, *at)
    assert (code, "in the trash" in err) == (2, True)
    assert [run.id for run in list_runs(store)] == [second.id]
