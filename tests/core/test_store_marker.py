"""The store itself: its format marker, and what opening and preparing it write."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlcore.errors import CorruptError, StoreError
from mlcore.store import Folder, Store


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    return Store(tmp_path / "store" if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def test_opening_writes_nothing(store):
    assert store.open() is store
    assert not store.exists()
    assert store.folder.list() == []
    assert store.local is None or not store.local.exists()


def test_preparing_writes_the_marker_once(store):
    store.prepare()
    assert store.exists()
    assert json.loads(store.folder.read_bytes("mlcore.json")) == {"format": 1}
    before = store.folder.list()
    store.prepare().open()
    assert store.folder.list() == before


def test_a_local_store_keeps_itself_out_of_git(tmp_path):
    Store(tmp_path / ".mlcore").prepare()
    assert (tmp_path / ".mlcore" / ".gitignore").read_text() == "*\n"


def test_a_store_among_other_files_leaves_git_alone(tmp_path):
    (tmp_path / "code.py").write_text("")
    store = Store(tmp_path)
    assert store.open().exists() is False
    store.prepare()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["code.py", "mlcore.json"]


def test_several_may_prepare_at_once(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            place = tmp_path / uuid.uuid4().hex
            list(pool.map(lambda place: Store(place).prepare(), [place] * 8))
            assert sorted(path.name for path in place.iterdir()) == [".gitignore", "mlcore.json"]


@pytest.mark.parametrize("action", [Store.open, Store.prepare])
def test_a_newer_format_is_refused(store, action):
    store.folder.put_bytes("mlcore.json", b'{"format": 7, "more": []}')
    with pytest.raises(StoreError, match="the store has format 7; this mlcore knows formats up to 1") as caught:
        action(store)
    assert caught.value.where == store.url
    assert "pip install --upgrade mlcore-core" in caught.value.hint


@pytest.mark.parametrize(
    "marker", [b"", b"{", b"[]", b"7", b"{}", b'{"format": "1"}', b'{"format": true}', b'{"format": 0}', b"\xff"]
)
def test_an_unreadable_marker(store, marker):
    store.folder.put_bytes("mlcore.json", marker)
    with pytest.raises(CorruptError, match=r"mlcore\.json does not say the format") as caught:
        store.open()
    assert store.url in str(caught.value)


def test_a_file_is_no_store(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="the store is a file"):
        Store(tmp_path / "file").open()
    with pytest.raises(StoreError, match="a file is where a folder should be"):
        Store(tmp_path / "file").prepare()


def test_a_store_is_made_of_folders(tmp_path):
    store = Store(Folder(tmp_path))
    (store / "runs").put_bytes("x", b"")
    assert (tmp_path / "runs" / "x").exists()
    assert (store.local, store.url) == (tmp_path, str(tmp_path))
    assert repr(store) == f"Store({str(tmp_path)!r})"
    assert store.exclusive == Folder(tmp_path).exclusive
    assert store.blobs.folder.local == tmp_path / "blobs"


def rename_notes(folder):
    """Format 2, as this test has it, calls notes pages; safe to run twice."""
    for entry in folder.list():
        if entry.key.startswith("note-"):
            folder.move(entry.key, entry.key.replace("note-", "page-"))


def test_an_older_store_is_upgraded_step_by_step(store, monkeypatch):
    store.prepare()
    store.folder.put_bytes("note-1", b"kept")
    seen = []
    monkeypatch.setattr("mlcore.store.store.FORMAT", 3)
    monkeypatch.setattr("mlcore.store.upgrades.UPGRADES", {1: rename_notes, 2: seen.append})
    store.open()
    assert store.folder.read_bytes("page-1") == b"kept"
    assert json.loads(store.folder.read_bytes("mlcore.json")) == {"format": 3}
    assert seen == [store.folder]
    store.open()
    assert seen == [store.folder]


def test_an_upgrade_that_was_cut_short_is_begun_again(store, monkeypatch):
    store.prepare()
    store.folder.put_bytes("note-1", b"kept")

    def breaks(folder):
        raise StoreError("cut short")

    monkeypatch.setattr("mlcore.store.store.FORMAT", 3)
    monkeypatch.setattr("mlcore.store.upgrades.UPGRADES", {1: rename_notes, 2: breaks})
    with pytest.raises(StoreError, match="cut short"):
        store.open()
    assert json.loads(store.folder.read_bytes("mlcore.json")) == {"format": 2}
    monkeypatch.setattr("mlcore.store.upgrades.UPGRADES", {1: rename_notes, 2: rename_notes})
    store.open()
    assert json.loads(store.folder.read_bytes("mlcore.json")) == {"format": 3}
    assert store.folder.read_bytes("page-1") == b"kept"
