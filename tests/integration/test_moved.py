"""A run goes on from its folder alone, wherever that is."""

from __future__ import annotations

import shutil

import pytest
from tests.integration.conftest import GATED, Desk, epochs, small

import mlcore


@pytest.fixture
def stopped(quick):
    """A run that was killed in its third epoch, and what it would have come to."""
    argv = ["run", quick.write(GATED), "--store"]
    quick.zygote.run([*argv, quick.path / "calm"], quick.path).ok()
    calm = Desk(quick.path, quick.zygote)
    calm.store = quick.path / "calm"
    facts = calm.facts(calm.runs()[0])
    assert quick.zygote.run([*argv, quick.store], quick.path, deadly=55).code == -9
    [run] = quick.runs()
    return quick, run, facts


def test_a_store_that_was_moved_goes_on_by_the_path_of_the_run(stopped, tmp_path):
    desk, run, facts = stopped
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    shutil.move(desk.store, elsewhere / "moved")
    moved = elsewhere / "moved" / run.relative_to(desk.store)
    done = desk.zygote.run(["resume", moved, "--json"], elsewhere).ok()
    assert done.json["path"] == str(moved)
    assert f"store {elsewhere / 'moved'} (" in done.err, "it says which store it used"
    assert not (elsewhere / ".mlcore").exists()
    assert not desk.store.exists()
    there = Desk(elsewhere, desk.zygote)
    there.store = elsewhere / "moved"
    assert there.facts(moved) == facts
    model = mlcore.load_model("model:gated@latest", store=mlcore.Store(there.store))
    assert model.output_names == ("prediction", "loss", "accuracy")


def test_a_relative_path_from_inside_the_store_means_the_run(stopped):
    desk, run, facts = stopped
    desk.zygote.run(["resume", "."], run).ok()
    assert desk.facts(run) == facts
    assert not (run / ".mlcore").exists()


def test_a_run_whose_source_is_gone_says_so(stopped, tmp_path):
    desk, run, facts = stopped
    moved = tmp_path / "source"
    moved.mkdir()
    kept = tmp_path / "store"
    shutil.move(desk.store, kept)
    run = kept / run.relative_to(desk.store)
    for name in GATED:
        shutil.move(desk.path / name, moved)
    shutil.rmtree(desk.path)
    before = sorted(kept.rglob("*"))
    done = desk.zygote.run(["resume", run], tmp_path)
    assert done.code == 2
    assert "there is no module 'gated'" in done.err
    assert f"the run was started from {desk.path}, which is gone" in done.err
    assert "Traceback" not in done.err
    assert sorted(kept.rglob("*")) == before, "nothing was written"
    # From a folder with its modules it goes on.
    desk.zygote.run(["resume", run], moved).ok()
    there = Desk(tmp_path / "there", desk.zygote)
    there.store = kept
    assert there.facts(run) == facts


def test_a_copy_of_a_run_is_a_run(stopped, tmp_path):
    desk, run, facts = stopped
    copy = shutil.copytree(desk.store, tmp_path / "copy")
    desk.mlcore("resume", run).ok()
    there = Desk(tmp_path / "there", desk.zygote)
    there.store = copy
    there.mlcore("resume", run.name).ok()
    assert there.facts(run.name) == desk.facts(run.name) == facts


def test_a_path_that_is_no_run_is_an_error(quick):
    quick.mlcore("run", *small(1), epochs(1)).ok()
    done = quick.mlcore("show", quick.store)
    assert done.code == 2
    assert f"there is no run '{quick.store}'" in done.err


def test_configs_of_two_folders_have_modules_of_one_name(tmp_path, monkeypatch):
    """In one process: each run gets the module beside its config."""
    monkeypatch.chdir(tmp_path)
    for name, size in (("first", 50), ("second", 100)):
        folder = tmp_path / name
        folder.mkdir()
        for file, text in GATED.items():
            (folder / file).write_text(text.replace("size=50", f"size={size}").replace("epochs: 4", "epochs: 1"))
    seen = []
    for name in ("first", "second", "first"):
        view = mlcore.run(tmp_path / name / "train.yaml", store=str(tmp_path / "store"), name=name)
        seen.append(view.models[0]["digest"])
    assert seen[0] == seen[2] != seen[1]
