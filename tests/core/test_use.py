"""What runs used, told apart by contents."""

from __future__ import annotations

import json
import os

import pytest
from typer.testing import CliRunner

import mlcore
from mlcore.bundle import Bundle
from mlcore.cli.app import app
from mlcore.errors import StoreError, VersionError
from mlcore.runs.uses import look
from mlcore.store import Folder, Store


class Doubling:
    input_names, target_names, output_names = ("x",), (), ("y",)

    def run(self, batch, *, train):
        return {"y": [2 * value for value in batch["x"]]}

    def save(self, directory, *, training=False):
        (directory / "factor").write_text("2")

    @classmethod
    def load(cls, directory):
        return cls()


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


def seen(what, store, tmp_path):
    return look(what, store, lambda: tmp_path)[0]


def used(store, *whats):
    with mlcore.start_run(store=store, name="user") as run:
        found = [run.use(what) for what in whats]
    return mlcore.find_run(store, run.id).uses, found


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "a.csv").write_text("1,2\n")
    (tmp_path / "data" / "deep" / "b.csv").write_text("3\n")
    return tmp_path / "data"


def test_a_file_is_known_by_its_contents(store, folder, tmp_path):
    (tmp_path / "copy.csv").write_text("1,2\n")
    uses, found = used(store, folder / "a.csv", str(tmp_path / "copy.csv"))
    assert found == [folder / "a.csv", tmp_path / "copy.csv"]
    assert [(use["kind"], use["size"], use["url"]) for use in uses] == [("file", 4, str(path)) for path in found]
    assert uses[0]["digest"] == uses[1]["digest"]


def test_a_relative_path_begins_at_the_working_folder(store, folder, monkeypatch):
    monkeypatch.chdir(folder)
    uses, found = used(store, "a.csv")
    assert found == [folder / "a.csv"]
    assert uses[0]["url"] == str(folder / "a.csv")


@pytest.mark.parametrize("change", ["contents", "name", "new"])
def test_a_folder_is_known_by_names_and_contents(store, folder, tmp_path, change):
    before = seen(folder, store, tmp_path)
    assert (before.kind, before.size) == ("folder", 6)
    assert seen(folder, store, tmp_path) == before
    if change == "contents":
        (folder / "deep" / "b.csv").write_text("4\n")
    elif change == "name":
        (folder / "a.csv").rename(folder / "c.csv")
    else:
        (folder / "d.csv").write_text("")
    assert seen(folder, store, tmp_path).digest != before.digest


def test_links_are_followed_and_circles_are_not(store, folder, tmp_path):
    (tmp_path / "elsewhere.csv").write_text("5\n")
    plain = seen(folder, store, tmp_path)
    (folder / "round").symlink_to(folder)
    assert seen(folder, store, tmp_path) == plain
    (folder / "deep" / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
    assert seen(folder, store, tmp_path).size == plain.size + 2


def test_something_that_never_ends_is_not_read(store, folder, tmp_path):
    os.mkfifo(folder / "pipe")
    assert seen(folder, store, tmp_path).size == 6


def test_a_url_is_copied_for_the_run(store, empty_memory):
    Folder("memory://bucket").put_bytes("data/a.csv", b"1,2\n")
    Folder("memory://bucket").put_bytes("data/deep/b.csv", b"3\n")
    with mlcore.start_run(store=store) as run:
        file, folder = run.use("memory://bucket/data/a.csv"), run.use("memory://bucket/data/")
        assert file.read_text() == "1,2\n"
        assert (folder / "deep" / "b.csv").read_text() == "3\n"
    assert not file.exists()
    assert not folder.exists()
    assert [use["kind"] for use in mlcore.find_run(store, run.id).uses] == ["file", "folder"]


def test_a_folder_and_its_copy_elsewhere_have_one_digest(store, folder, tmp_path, empty_memory):
    Folder("memory://bucket/data").put_tree("", folder)
    remote = look("memory://bucket/data", store, lambda: tmp_path / "scratch")[0]
    assert remote.digest == seen(folder, store, tmp_path).digest


def test_credentials_are_not_recorded(store, tmp_path, monkeypatch):
    bundle = Bundle("memory://user:hunter2@bucket/x")
    (tmp_path / "files").mkdir()
    bundle.write(tmp_path / "files", "dataset")
    use, _ = look(bundle, store, lambda: tmp_path)
    assert "hunter2" not in json.dumps(vars(use))


def test_a_bundle_is_known_by_its_manifest(store, folder, tmp_path):
    bundle = Bundle(tmp_path / "bundle")
    manifest = bundle.write(folder, "dataset")
    uses, found = used(store, bundle, tmp_path / "bundle")
    assert [(use["kind"], use["digest"], use["size"]) for use in uses] == [("bundle", manifest.digest, 6)]
    assert found[0] is bundle
    assert found[1].folder.url == bundle.folder.url
    assert manifest.digest == seen(folder, store, tmp_path).digest


def test_an_incomplete_bundle_is_refused(store, tmp_path):
    with pytest.raises(StoreError, match="not complete"):
        used(store, Bundle(tmp_path / "nothing"))


def test_a_manifest_of_something_else_makes_no_bundle(store, folder, tmp_path):
    (folder / "manifest.json").write_text('{"name": "an app"}')
    assert seen(folder, store, tmp_path).kind == "folder"


def test_a_stored_model_is_known_by_its_version(store):
    with mlcore.start_run(store=store) as run:
        version = run.save_model(Doubling(), "net", aliases=("best",))
    uses, found = used(store, "model:net@best", version)
    assert [(use["kind"], use["name"], use["version"], use["digest"]) for use in uses] == [
        ("model", "net", 1, version.digest)
    ]
    assert [one.number for one in found] == [1, 1]


@pytest.mark.parametrize(
    ("what", "error", "words"),
    [
        ("model:nothing", VersionError, "there is no model 'nothing'"),
        ("memory://bucket/nothing", StoreError, "there is no such file or folder"),
        ("no-such-scheme://x/y", StoreError, "no-such-scheme"),
    ],
)
def test_what_is_not_there_is_told(store, what, error, words, empty_memory):
    store.prepare()
    with pytest.raises(error, match=words):
        used(store, what)


def test_a_misspelt_path_has_a_hint(store, folder):
    with pytest.raises(StoreError, match=r"no such file or folder\n  hint: did you mean 'a\.csv'"):
        used(store, folder / "a.csb")


def test_a_resumed_run_that_uses_the_same_again_has_used_it_once(store, folder):
    with mlcore.start_run(store=store) as run:
        run.use(folder)
        run.stop("enough")
    with mlcore.runs.resume_run(mlcore.find_run(store, run.id)) as run:
        run.use(folder)
    assert len(mlcore.find_run(store, run.id).uses) == 1


def test_show_lists_what_was_used(store, folder):
    used(store, folder)
    shown = CliRunner().invoke(app, ["show", "user", "--store", store.url])
    line = next(line for line in shown.stdout.splitlines() if line.startswith("folder "))
    assert line.split()[1] == "6"
    assert line.endswith(str(folder))
    details = json.loads(CliRunner().invoke(app, ["show", "user", "--store", store.url, "--json"]).stdout)
    assert [use["size"] for use in details["uses"]] == [6]
