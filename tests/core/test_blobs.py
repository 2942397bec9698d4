"""Contents by digest."""

from __future__ import annotations

import hashlib
import os
import time
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlcore.errors import CorruptError, KeyMissingError, StoreError
from mlcore.store import Blobs, Folder
from mlcore.store import blobs as module

CONTENT = b"content"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
KEY = f"sha256/{DIGEST[:2]}/{DIGEST[2:]}"


@pytest.fixture(params=["local", "memory"])
def blobs(request, tmp_path):
    return Blobs(Folder(tmp_path / "blobs" if request.param == "local" else f"memory://{uuid.uuid4().hex}"))


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


def keys(blobs):
    return [entry.key for entry in blobs.folder.list(recursive=True)]


@given(st.binary(max_size=2000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_what_is_added_is_read(blobs, tmp_path, data):
    path = tmp_path / "any"
    path.write_bytes(data)
    digest = blobs.add(path, sync=False)
    assert digest == blobs.add_bytes(data, sync=False) == hashlib.sha256(data).hexdigest()
    assert blobs.read(digest) == data
    with blobs.open(digest) as file:
        assert file.read() == data
    blobs.fetch(digest, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == data
    assert blobs.has(digest)
    assert blobs.verify(digest) == len(data)


def test_a_content_is_stored_once_by_its_digest(blobs, source):
    assert blobs.add(source) == blobs.add(source) == blobs.add_bytes(CONTENT) == DIGEST
    assert keys(blobs) == [KEY]
    (entry,) = blobs.list()
    assert (entry.key, entry.size, entry.is_folder) == (DIGEST, 7, False)


def test_adding_again_writes_nothing_but_makes_it_young(tmp_path, source):
    blobs = Blobs(Folder(tmp_path / "blobs"))
    stored = blobs.folder.local / KEY
    blobs.add(source)
    for add in (lambda: blobs.add(source), lambda: blobs.add_bytes(CONTENT)):
        inode = stored.stat().st_ino
        os.utime(stored, (1, 1))
        add()
        assert stored.stat().st_ino == inode
        assert stored.stat().st_mtime > time.time() - 60


def test_a_blob_is_no_link_to_the_source(tmp_path, source):
    blobs = Blobs(Folder(tmp_path / "blobs"))
    blobs.add(source)
    source.write_bytes(b"changed in place")
    assert blobs.read(DIGEST) == CONTENT


def test_a_blob_of_another_user_is_replaced(tmp_path, source, monkeypatch):
    """A shared store: their file cannot be touched, ours can take its place."""
    blobs = Blobs(Folder(tmp_path / "blobs"))
    blobs.add(source)
    inode = (blobs.folder.local / KEY).stat().st_ino

    def refuse(*_):
        raise PermissionError(1, "not yours")

    monkeypatch.setattr(os, "utime", refuse)
    assert blobs.add(source) == DIGEST
    assert (blobs.folder.local / KEY).stat().st_ino != inode
    assert blobs.add_bytes(CONTENT) == DIGEST


READS = {
    "read": lambda blobs, path: blobs.read(DIGEST),
    "open": lambda blobs, path: blobs.open(DIGEST),
    "verify": lambda blobs, path: blobs.verify(DIGEST),
    "fetch": lambda blobs, path: blobs.fetch(DIGEST, path),
}


@pytest.mark.parametrize("read", READS)
def test_a_rotten_blob_is_told_moved_aside_and_mended_by_the_next_save(blobs, tmp_path, source, read):
    for number, rot in enumerate([b"contens", b"cont", b"content and more"], 1):
        blobs.add(source)
        blobs.folder.put_bytes(KEY, rot)
        with pytest.raises(CorruptError, match=f"blob {DIGEST} has rotted") as caught:
            READS[read](blobs, tmp_path / "target")
        kept = f"quarantine/{DIGEST}-{number}"
        assert kept in caught.value.hint
        assert "save that content again" in caught.value.hint
        assert blobs.folder.read_bytes(kept) == rot
        assert not blobs.has(DIGEST)
        assert not (tmp_path / "target").exists()
    assert blobs.add(source) == DIGEST
    assert blobs.read(DIGEST) == CONTENT
    assert [entry.key for entry in blobs.list()] == [DIGEST]


@pytest.mark.parametrize("add", [lambda blobs, source: blobs.add(source), lambda blobs, _: blobs.add_bytes(CONTENT)])
def test_a_save_mends_a_blob_of_the_wrong_size(blobs, source, add):
    blobs.add(source)
    blobs.folder.put_bytes(KEY, b"cut")
    add(blobs, source)
    assert blobs.read(DIGEST) == CONTENT
    assert blobs.folder.read_bytes(f"quarantine/{DIGEST}-1") == b"cut"


def test_rot_is_told_even_where_it_cannot_be_moved(tmp_path, source, monkeypatch):
    blobs = Blobs(Folder(tmp_path / "blobs"))
    blobs.add(source)
    blobs.folder.put_bytes(KEY, b"contens")

    def refuse(*_):
        raise StoreError("the filesystem is read-only")

    monkeypatch.setattr(blobs.folder, "move", refuse)
    with pytest.raises(CorruptError, match=r"could not be moved aside \(the filesystem is read-only\)"):
        blobs.read(DIGEST)


def test_missing_blobs(blobs, tmp_path):
    for read in READS.values():
        with pytest.raises(KeyMissingError):
            read(blobs, tmp_path / "target")
    with pytest.raises(KeyMissingError):
        blobs.remove(DIGEST)
    assert not blobs.has(DIGEST)
    assert blobs.list() == []
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("text", ["", "abc", DIGEST.upper(), f"sha256:{DIGEST}", "../" * 22, f"{DIGEST}\n"])
def test_what_is_no_digest_is_refused(blobs, text):
    with pytest.raises(StoreError, match="is not a digest"):
        blobs.read(text)


def test_removal(blobs, source):
    blobs.add(source)
    blobs.remove(DIGEST)
    assert not blobs.has(DIGEST)


def test_large_blobs_open_from_anywhere(blobs, monkeypatch):
    monkeypatch.setattr(module, "_IN_MEMORY", 100)
    data = bytes(range(256)) * 100
    digest = blobs.add_bytes(data)
    with blobs.open(digest) as file:
        assert file.read(10) == data[:10]
        file.seek(-5, os.SEEK_END)
        assert file.read() == data[-5:]


def test_a_source_that_is_no_file(blobs, tmp_path):
    with pytest.raises(StoreError, match="there is no such file"):
        blobs.add(tmp_path)
    with pytest.raises(StoreError, match="there is no such file"):
        blobs.add(tmp_path / "nothing")
    assert keys(blobs) == []


def test_other_files_are_no_blobs(blobs):
    blobs.folder.put_bytes("sha256/README", b"")
    assert blobs.list() == []
