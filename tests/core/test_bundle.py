"""Folders that are complete exactly when their manifest matches."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlcore.bundle import MANIFEST, Bundle, FileEntry, Manifest, pack
from mlcore.errors import CorruptError, KeyMissingError, StoreError
from mlcore.store import Folder, Store
from mlcore.testing.faults import failing

TREE = {"weights": b"0123", "sub/config.json": b"{}", "empty": b""}


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    return Folder(tmp_path / "bundle" if request.param == "local" else f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def blobs(tmp_path):
    return Store(tmp_path / "store").blobs


@pytest.fixture
def source(tmp_path):
    return fill(tmp_path / "source", TREE)


def fill(root, tree):
    for name, data in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def content(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in Path(root).rglob("*") if path.is_file()}


def sha(data):
    return hashlib.sha256(data).hexdigest()


def test_the_manifest_says_what_is_there(folder, source):
    manifest = Bundle(folder).write(source, kind="model", meta={"b": [1, None], "a": "ü"})
    assert manifest.kind == "model"
    assert manifest.meta == {"a": "ü", "b": [1, None]}
    assert manifest.files == {name: FileEntry(len(data), sha(data)) for name, data in TREE.items()}
    assert manifest == Bundle(folder).manifest() == Bundle(folder).verify()
    assert {entry.key for entry in folder.list(recursive=True)} == {*TREE, "manifest.json"}


def test_the_manifest_is_written_for_people_and_the_same_each_time(folder, source):
    Bundle(folder).write(source, kind="model", meta={"name": "ü"})
    text = folder.read_bytes("manifest.json").decode()
    assert text.startswith('{\n "files": {\n  "empty": {\n   "sha256": ')
    assert text.endswith("}\n")
    assert '"name": "ü"' in text
    assert '"blob"' not in text
    assert json.loads(text)["format"] == 1
    Bundle(folder).write(source, kind="model", meta={"name": "ü"})
    assert folder.read_bytes("manifest.json").decode() == text


@given(
    tree=st.dictionaries(
        st.from_regex(r"[a-zé ]{1,8}(\.[a-z]{1,3})?(/f)?", fullmatch=True), st.binary(max_size=200), max_size=4
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_any_tree_comes_back(tmp_path, tree):
    tree = {name: data for name, data in tree.items() if name.endswith("/f") or f"{name}/f" not in tree}
    root = tmp_path / uuid.uuid4().hex
    (root / "in").mkdir(parents=True)
    bundle = Bundle(root / "bundle")
    manifest = bundle.write(fill(root / "in", tree), kind="any", sync=False)
    assert bundle.fetch(root / "out") == manifest
    assert content(root / "out") == tree


def test_the_digest_is_of_names_and_contents_only(folder, source, blobs, tmp_path):
    one = Bundle(folder).write(source, kind="model", meta={"time": 1}).digest
    two = pack(source, kind="other", meta={}, blobs=blobs).digest
    assert one == two
    expected = json.dumps({name: sha(data) for name, data in sorted(TREE.items())}, separators=(",", ":"))
    assert one == sha(expected.encode())
    (source / "empty").rename(source / "renamed")
    assert Bundle(folder).write(source, kind="model").digest != one


def packed(folder, source, blobs):
    """A bundle whose contents are blobs, made by the exclusive creation of its manifest."""
    manifest = pack(source, kind="model", meta={"shape": (1, 2)}, blobs=blobs)
    folder.create(MANIFEST, manifest.encode())
    return manifest


def test_contents_may_be_blobs(folder, source, blobs, tmp_path):
    bundle = Bundle(folder)
    manifest = packed(folder, source, blobs)
    assert [entry.key for entry in folder.list(recursive=True)] == ["manifest.json"]
    assert all(entry.blob for entry in manifest.files.values())
    assert {entry.key for entry in blobs.list()} == {sha(data) for data in TREE.values()}
    assert bundle.verify(blobs) == bundle.fetch(tmp_path / "out", blobs) == manifest
    assert content(tmp_path / "out") == TREE


def test_blobs_are_asked_for(folder, source, blobs, tmp_path):
    packed(folder, source, blobs)
    for action in (Bundle(folder).verify, lambda: Bundle(folder).fetch(tmp_path / "out")):
        with pytest.raises(StoreError, match="in a store's blobs") as caught:
            action()
        assert caught.value.hint == "pass blobs=store.blobs"


def test_a_missing_or_rotten_blob_is_named_by_its_file(folder, source, blobs, tmp_path):
    bundle = Bundle(folder)
    packed(folder, source, blobs)
    digest = sha(TREE["weights"])
    blobs.folder.put_bytes(f"sha256/{digest[:2]}/{digest[2:]}", b"0124")
    with pytest.raises(CorruptError, match=f"weights: blob {digest} has rotted"):
        bundle.verify(blobs)
    with pytest.raises(CorruptError, match="weights is missing"):
        bundle.fetch(tmp_path / "out", blobs)
    blobs.add_bytes(TREE["weights"])
    bundle.verify(blobs)


def test_no_bundle_is_not_complete(folder, tmp_path):
    assert Bundle(folder).manifest() is None
    for action in (Bundle(folder).verify, lambda: Bundle(folder).fetch(tmp_path / "out")):
        with pytest.raises(CorruptError, match=r"not complete: it has no manifest\.json") as caught:
            action()
        assert caught.value.where == folder.url


def damage(data):
    return bytes([data[0] ^ 1]) + data[1:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: folder.put_bytes("weights", damage(b"0123")), "weights: its content has the digest"),
        (lambda folder: folder.put_bytes("weights", b"012"), "weights: it has 3 bytes instead of 4"),
        (lambda folder: folder.put_bytes("empty", b"x"), "empty: it has 1 bytes instead of 0"),
        (lambda folder: folder.remove("sub/config.json"), r"sub/config\.json is missing"),
    ],
)
def test_damage_is_named_and_not_copied(folder, source, tmp_path, change, message):
    bundle = Bundle(folder)
    bundle.write(source, kind="model")
    change(folder)
    for action in (bundle.verify, lambda: bundle.fetch(tmp_path / "out")):
        with pytest.raises(CorruptError, match=message) as caught:
            action()
        assert caught.value.where == folder.url
        assert caught.value.hint
    assert bundle.manifest() is not None
    fetched = content(tmp_path / "out") if (tmp_path / "out").exists() else {}
    assert fetched.items() <= TREE.items()


def test_a_flipped_bit_in_any_byte_is_found(tmp_path, source):
    bundle = Bundle(tmp_path / "bundle")
    manifest = bundle.write(source, kind="model", meta={"a": 1})
    for name, data in content(tmp_path / "bundle").items():
        for position in range(len(data)):
            flipped = bytearray(data)
            flipped[position] ^= 1 << position % 8
            (tmp_path / "bundle" / name).write_bytes(flipped)
            try:
                found = bundle.verify()
            except (CorruptError, StoreError):
                continue
            # A flip in `kind` or `meta` makes another manifest of the same contents.
            assert name == "manifest.json"
            assert found.digest == manifest.digest
        (tmp_path / "bundle" / name).write_bytes(data)
    assert bundle.verify() == manifest


def test_files_that_are_not_listed_are_left_alone(folder, source):
    Bundle(folder).write(source, kind="model")
    folder.put_bytes("notes", b"")
    Bundle(folder).verify()
    (source / "weights").unlink()
    assert "weights" not in Bundle(folder).write(source, kind="model").files
    Bundle(folder).verify()


def test_torn_at_any_step_it_is_not_complete_and_can_be_written_again(folder, source, tmp_path):
    other = fill(tmp_path / "other", {"weights": b"4567", "sub/config.json": b"[]", "empty": b""})
    bundle = Bundle(folder)
    for step in range(5):  # the old manifest's removal, three files, the new manifest
        old = bundle.write(source, kind="model")
        with pytest.raises(StoreError, match="the disk is full"):
            Bundle(failing(folder, after=step)).write(other, kind="model")
        assert bundle.manifest() == (old if step == 0 else None)
    new = Bundle(failing(folder, after=5)).write(other, kind="model")
    assert bundle.verify() == new != old


def test_the_guard_runs_last_and_may_refuse(folder, source):
    bundle, seen = Bundle(folder), []

    def guard():
        seen.extend(entry.key for entry in folder.list(recursive=True))
        raise RuntimeError("superseded")

    with pytest.raises(RuntimeError, match="superseded"):
        bundle.write(source, kind="checkpoint", before_commit=guard)
    assert seen == sorted(TREE)
    assert bundle.manifest() is None
    bundle.write(source, kind="checkpoint", before_commit=lambda: None)
    bundle.verify()


def test_bundles_within_bundles(folder, tmp_path, source):
    outer = tmp_path / "outer"
    Bundle(outer / "model").write(source, kind="model")
    (outer / "state.json").write_bytes(b"{}")
    written = []
    watched = copy.copy(folder)
    watched._files = Watching(folder._files, written)
    manifest = Bundle(watched).write(outer, kind="checkpoint")
    assert {"model/manifest.json", "model/weights", "state.json"} <= manifest.files.keys()
    assert written[-2:] == ["model/manifest.json", "manifest.json"]
    assert Bundle(folder / "model").verify().kind == "model"
    folder.put_bytes("model/weights", b"0124")
    with pytest.raises(CorruptError, match="model/weights: its content"):
        Bundle(folder).verify()
    with pytest.raises(CorruptError, match="weights: its content"):
        Bundle(folder / "model").verify()


class Watching:
    """Writes down what is put."""

    def __init__(self, files, written):
        self._files, self._written = files, written

    def put(self, name, source, *, sync):
        self._written.append(name)
        self._files.put(name, source, sync=sync)

    def __getattr__(self, name):
        return getattr(self._files, name)


def test_a_bundle_is_not_made_of_a_bundle(folder, tmp_path, source):
    Bundle(tmp_path / "other").write(source, kind="model")
    with pytest.raises(StoreError, match=r"holds a manifest\.json"):
        Bundle(folder).write(tmp_path / "other", kind="model")


def test_packing_refuses_before_anything_is_stored(source, blobs, tmp_path):
    with pytest.raises(StoreError, match="meta is no JSON"):
        pack(source, kind="model", meta={"a": math.inf}, blobs=blobs)
    (source / "link").symlink_to(tmp_path)
    with pytest.raises(StoreError, match="points out of"):
        pack(source, kind="model", meta={}, blobs=blobs)
    assert blobs.list() == []


@pytest.mark.parametrize("meta", [{"a": object()}, {"a": math.nan}, {"a": {1, 2}}, {1: 2, "a": 3}])
def test_meta_that_is_no_json_is_refused_before_anything_is_touched(folder, source, meta):
    old = Bundle(folder).write(source, kind="model")
    with pytest.raises(StoreError, match="meta is no JSON"):
        Bundle(folder).write(source, kind="model", meta=meta)
    assert Bundle(folder).verify() == old


def test_a_bad_source_is_refused_before_anything_is_touched(folder, source, tmp_path):
    old = Bundle(folder).write(source, kind="model")
    (source / "link").symlink_to(tmp_path)
    with pytest.raises(StoreError, match="points out of"):
        Bundle(folder).write(source, kind="model")
    with pytest.raises(StoreError, match="no such folder"):
        Bundle(folder).write(tmp_path / "nothing", kind="model")
    assert Bundle(folder).verify() == old


def test_meta_is_returned_as_it_will_be_read(folder, source):
    manifest = Bundle(folder).write(source, kind="model", meta={"shape": (1, 2)})
    assert manifest == Bundle(folder).manifest()
    assert manifest.meta == {"shape": [1, 2]}


GOOD = {"format": 1, "kind": "model", "meta": {}, "files": {"a": {"size": 1, "sha256": "0" * 64}}}


def changed(**changes):
    return {**GOOD, **changes}


def one_file(name="a", **changes):
    return changed(files={name: {"size": 1, "sha256": "0" * 64, **changes}})


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ([], "format"),
        ({}, "format"),
        (changed(format="1"), "format"),
        (changed(format=True), "format"),
        (changed(kind=None), "'kind'"),
        (changed(meta=[]), "'meta'"),
        (changed(files=[]), "'files'"),
        (one_file("../a"), r"'\.\./a' is not a valid key"),
        (one_file("/etc/passwd"), "not a valid key"),
        (one_file("manifest.json"), "lists itself"),
        (one_file(size=-1), "'a' is not understood"),
        (one_file(size=True), "'a' is not understood"),
        (one_file(size="1"), "'a' is not understood"),
        (one_file(sha256="0" * 63), "'a' is not understood"),
        (one_file(sha256=None), "'a' is not understood"),
        (one_file(blob="yes"), "'a' is not understood"),
        (one_file(link="b"), "'a' is not understood"),
        (changed(files={"a": None}), "'a' is not understood"),
    ],
)
def test_a_manifest_of_the_wrong_shape(folder, tmp_path, value, fault):
    folder.put_bytes("manifest.json", json.dumps(value).encode())
    for action in (Bundle(folder).manifest, Bundle(folder).verify, lambda: Bundle(folder).fetch(tmp_path / "out")):
        with pytest.raises(CorruptError, match=rf"manifest\.json is unreadable: .*{fault}") as caught:
            action()
        assert caught.value.where == folder.url


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"\x00" * 10])
def test_a_manifest_that_is_no_json(folder, data):
    folder.put_bytes("manifest.json", data)
    with pytest.raises(CorruptError, match=r"manifest\.json is unreadable"):
        Bundle(folder).manifest()


def test_a_newer_manifest_is_told_from_a_broken_one(folder):
    folder.put_bytes("manifest.json", json.dumps({"format": 2}).encode())
    with pytest.raises(StoreError, match="the bundle has format 2; this mlcore knows formats up to 1") as caught:
        Bundle(folder).manifest()
    assert not isinstance(caught.value, CorruptError)
    assert "pip install --upgrade mlcore-core" in caught.value.hint


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["format", "kind", "meta", "files", "size", "sha256", "a"]), inner, max_size=5
            )
        ),
        max_leaves=12,
    )
)
def test_no_manifest_gives_a_traceback(value):
    with suppress(StoreError):
        Manifest.decode(json.dumps(value).encode(), "here")


def test_a_copied_folder_is_the_same_bundle(tmp_path, source):
    manifest = Bundle(tmp_path / "bundle").write(source, kind="model")
    shutil.copytree(tmp_path / "bundle", tmp_path / "copy")
    assert Bundle(tmp_path / "copy").verify() == manifest
    assert repr(Bundle(tmp_path / "copy")) == f"Bundle({str(tmp_path / 'copy')!r})"


def test_an_absent_file_is_a_missing_key_below_the_corrupt_bundle(folder, source):
    Bundle(folder).write(source, kind="model")
    folder.remove("weights")
    with pytest.raises(CorruptError) as caught:
        Bundle(folder).verify()
    assert isinstance(caught.value.__cause__, KeyMissingError)
