"""Folders: keys, local syscalls, links, exclusivity, foreign filesystems."""

from __future__ import annotations

import errno
import os
import pickle
import time
import uuid
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlcore.errors import KeyExistsError, KeyMissingError, StoreError
from mlcore.store import Folder, Hashing, as_folder, check_key, mounts, remote, safe_name


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "folder")


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "empty part"),
        ("/etc/passwd", "empty part"),
        ("a/../../b", r"'\.\.'"),
        ("a\\b", "backslash"),
        ("a\x1b[0m", "control character"),
        ("\ud800", "surrogate"),
        ("a/.tmp-1", "reserved"),
        ("é" * 128, "255 bytes"),
    ],
)
def test_an_invalid_key_is_shown_with_its_fault(folder, key, reason):
    with pytest.raises(StoreError, match=reason) as caught:
        folder.put_bytes(key, b"")
    assert repr(key) in caught.value.what
    assert "relative paths such as" in str(caught.value)
    assert not folder.local.exists()


@given(st.text(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
def test_a_key_is_refused_or_stays_inside(tmp_path, key):
    root = tmp_path / "root"
    try:
        check_key(key)
    except StoreError:
        return
    path = Path(os.path.normpath(root / key))
    assert path.is_relative_to(root)
    assert path != root
    assert path.relative_to(root).as_posix() == key


@pytest.mark.parametrize("name", ["digits", "my model 2", "日本", "a.b", "x" * 200])
def test_a_safe_name_stays_as_it_is(name):
    assert safe_name(name) == name
    check_key(f"{name}.json")


@pytest.mark.parametrize("name", ["", " ", "a/b", "..", ".hidden", " a", "a\n", "a\\b", "x" * 201, ".tmp-x"])
def test_an_unsafe_name_is_refused_with_a_hint(name):
    with pytest.raises(StoreError, match="cannot be a name") as caught:
        safe_name(name)
    assert "use letters" in caught.value.hint


@given(st.text(max_size=80))
def test_safe_names_are_single_parts(name):
    try:
        safe_name(name)
    except StoreError:
        return
    assert "/" not in check_key(name)


def test_urls_of_local_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Folder("a").local == tmp_path / "a"
    assert Folder("a/../b").url == str(tmp_path / "b")
    assert Folder(f"file://{tmp_path}/c").local == tmp_path / "c"
    assert Folder(tmp_path).url == str(tmp_path)
    assert repr(Folder(tmp_path)) == f"Folder({str(tmp_path)!r})"
    with pytest.raises(StoreError, match="empty path"):
        Folder("")


def test_urls_of_remote_folders():
    assert Folder("memory://a/b/").url == "memory://a/b"
    assert (Folder("memory://") / "a").url == "memory://a"
    assert Folder("memory://a").local is None


def test_as_folder_keeps_a_folder(folder, tmp_path):
    assert as_folder(folder) is folder
    assert as_folder(str(tmp_path)).local == tmp_path


def test_a_folder_travels_to_other_processes(folder):
    folder.put_bytes("a", b"1")
    assert pickle.loads(pickle.dumps(folder)).read_bytes("a") == b"1"


def test_a_folder_below_keeps_its_class(tmp_path):
    class Own(Folder):
        pass

    assert type(Own(tmp_path) / "below") is Own


def test_constructing_and_reading_make_nothing(folder):
    assert folder.list() == []
    assert not folder.exists("a")
    assert folder.sweep() == 0
    folder.remove_tree("a")
    folder.remove_tree("")
    assert folder.exclusive in {"atomic", "single-writer"}
    assert not folder.local.exists()


def test_a_small_put_costs_open_write_close_rename(folder, monkeypatch):
    folder.put_bytes("a/b", b"first")
    calls = []
    for name in ("open", "write", "close", "replace", "mkdir", "stat", "fsync", "unlink", "link"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *args, _name=name, _real=real, **kw: (calls.append(_name), _real(*args, **kw))[1]
        )
    folder.put_bytes("a/b", b"second", sync=False)
    assert calls == ["open", "write", "close", "replace"]
    calls.clear()
    folder.put_bytes("a/b", b"third", sync=True)
    assert calls == ["open", "write", "fsync", "close", "replace", "open", "fsync", "close"]


def test_new_folders_are_synced_into_their_parents(folder, monkeypatch):
    synced = []
    monkeypatch.setattr("mlcore.store.draft.sync_folder", synced.append)
    folder.create("a/b/key", b"", sync=True)
    root = folder.local
    assert synced == [root.parent, root, root / "a", root / "a" / "b"]
    folder.put_bytes("c/key", b"", sync=False)
    assert len(synced) == 4


def test_a_put_copies_and_never_links(folder, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3_000_000)
    folder.put_file("copy", source)
    source.write_bytes(b"y")
    assert folder.size("copy") == 3_000_000
    assert (folder.local / "copy").stat().st_nlink == 1


def test_a_file_without_a_size_is_copied_whole(folder):
    folder.put_file("version", Path("/proc/version"))  # its size is 0 until it is read
    assert folder.read_bytes("version") == Path("/proc/version").read_bytes()


def test_a_fetch_replaces_what_is_there(folder, tmp_path):
    folder.put_bytes("key", b"new")
    target = tmp_path / "target"
    target.write_bytes(b"old and longer")
    folder.fetch_file("key", target)
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("place", ["local", "memory"])
def test_a_name_given_when_all_is_read(place, tmp_path):
    folder = Folder(tmp_path / "f" if place == "local" else f"memory://{uuid.uuid4().hex}")
    for data, kept in {b"keep": True, b"drop": False}.items():
        read = Hashing(fsspec.implementations.memory.BytesIO(data))
        folder.put_stream(lambda read=read, kept=kept: f"by/{read.digest}" if kept else None, read)
    assert [entry.key for entry in folder.list(recursive=True)] == [f"by/{digest(b'keep')}"]


def digest(data):
    import hashlib

    return hashlib.sha256(data).hexdigest()


def test_missing_sources_are_named(folder, tmp_path):
    with pytest.raises(StoreError, match="there is no such file") as caught:
        folder.put_file("key", tmp_path / "nothing")
    assert caught.value.where == str(tmp_path / "nothing")
    with pytest.raises(StoreError, match="there is no such file"):
        folder.put_file("key", tmp_path)
    with pytest.raises(StoreError, match="there is no such folder"):
        folder.put_tree("key", tmp_path / "nothing")
    assert folder.list() == []


def tree(tmp_path):
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "file").write_bytes(b"1")
    return root


def test_links_inside_a_tree_are_followed(folder, tmp_path):
    root = tree(tmp_path)
    (root / "link").symlink_to("sub/file")
    (root / "folder").symlink_to("sub")
    folder.put_tree("t", root)
    assert [entry.key for entry in folder.list("t", recursive=True)] == ["t/folder/file", "t/link", "t/sub/file"]
    assert folder.read_bytes("t/link") == b"1"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("../outside", "points out of"),
        ("/etc/hostname", "points out of"),
        ("nothing", "neither a file"),
        (".", "neither a file"),
    ],
)
def test_other_links_are_refused_before_anything_is_stored(folder, tmp_path, target, reason):
    root = tree(tmp_path)
    (tmp_path / "outside").write_bytes(b"secret")
    (root / "zlink").symlink_to(target)
    with pytest.raises(StoreError, match=reason) as caught:
        folder.put_tree("t", root)
    assert caught.value.where == str(root / "zlink")
    assert folder.list(recursive=True) == []


def test_other_kinds_of_files_are_refused(folder, tmp_path):
    root = tree(tmp_path)
    os.mkfifo(root / "pipe")
    with pytest.raises(StoreError, match="neither a file nor a folder"):
        folder.put_tree("t", root)


def test_fetching_a_tree_from_a_hostile_place_stays_inside(tmp_path):
    place = fsspec.filesystem("memory")
    name = uuid.uuid4().hex
    place.store[f"/{name}/../../evil"] = fsspec.implementations.memory.MemoryFile(place, f"/{name}/../../evil", b"x")
    try:
        with pytest.raises(StoreError, match="not a valid key"):
            Folder(f"memory://{name}").fetch_tree("", tmp_path / "out")
    finally:
        del place.store[f"/{name}/../../evil"]
    assert not (tmp_path / "evil").exists()


def test_sweep_removes_old_temporaries_only(folder):
    folder.put_bytes("a/key", b"1")
    old, young, half = folder.local / "a" / ".tmp-old", folder.local / ".tmp-young", folder.local / ".tmp-half"
    half.mkdir()
    (half / "rest").write_bytes(b"")
    old.write_bytes(b"")
    young.write_bytes(b"")
    ancient = time.time() - 7200
    os.utime(old, (ancient, ancient))
    os.utime(half, (ancient, ancient))
    assert folder.sweep(older_than=3600) == 2
    assert not old.exists()
    assert not half.exists()
    assert young.exists()
    assert folder.read_bytes("a/key") == b"1"
    assert folder.sweep(older_than=-1) == 1


def test_a_folder_disappears_at_once(folder, monkeypatch):
    """Killed in the middle of a removal, no reader sees half a folder."""
    for name in ("a", "b"):
        folder.put_bytes(f"sub/{name}", b"")
    monkeypatch.setattr("shutil.rmtree", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        folder.remove_tree("sub")
    assert folder.list() == []
    monkeypatch.undo()
    assert folder.sweep(older_than=-1) == 1
    assert list(folder.local.iterdir()) == []


def test_a_folder_that_cannot_be_renamed_is_removed_in_place(folder, monkeypatch):
    folder.put_bytes("sub/a", b"")
    monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(OSError(errno.EBUSY, "a mount point")))
    folder.remove_tree("sub")
    assert not (folder.local / "sub").exists()


MOUNTS = """\
/dev/a / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/b /home/local xfs rw 0 0
host /mnt/with\\040space fuse.sshfs rw 0 0
share /srv cifs rw 0 0
stick /media/stick vfat rw 0 0
disk /media/ntfs fuseblk rw 0 0
old /over ext4 rw 0 0
new /over 9p rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "exclusive"),
    [
        ("/data/store", "atomic"),
        ("/home/user/store", "single-writer"),
        ("/homeless", "atomic"),
        ("/home/local/store", "atomic"),
        ("/mnt/with space/store", "single-writer"),
        ("/srv", "single-writer"),
        ("/media/stick/x", "single-writer"),
        ("/media/ntfs/x", "atomic"),
        ("/over/x", "single-writer"),
    ],
)
def test_exclusivity_depends_on_the_filesystem(path, exclusive, monkeypatch):
    lines = [line.split() for line in MOUNTS.splitlines()]
    monkeypatch.setattr(mounts, "_mounts", lambda: [(mounts._unescaped(line[1]), line[2]) for line in lines])
    assert Folder(path).exclusive == exclusive


def test_this_machines_mounts_are_understood():
    assert any(mount == "/" for mount, _ in mounts._mounts())


def test_where_links_are_refused_creation_checks_first(folder, monkeypatch):
    monkeypatch.setattr(mounts, "_refused", set())
    assert folder.exclusive == "atomic"
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "no links here")))
    folder.create("key", b"1")
    assert folder.exclusive == "single-writer"
    with pytest.raises(KeyExistsError, match="exists already"):
        folder.create("key", b"2")
    assert folder.read_bytes("key") == b"1"
    assert [path.name for path in folder.local.iterdir()] == ["key"]


def test_long_contents_reach_a_remote_place_whole(monkeypatch):
    monkeypatch.setattr(remote, "_ONE_PUT", 10)
    monkeypatch.setattr(remote, "_CHUNK", 3)
    folder = Folder(f"memory://{uuid.uuid4().hex}")
    for size in (0, 9, 10, 11, 12, 1000):
        read = Hashing(fsspec.implementations.memory.BytesIO(b"x" * size))
        folder.put_stream("key", read)
        assert (read.size, folder.read_bytes("key")) == (size, b"x" * size)
        folder.put_stream(lambda: None, Hashing(fsspec.implementations.memory.BytesIO(b"y" * size)))
    assert [entry.key for entry in folder.list()] == ["key"]


class Broken(MemoryFileSystem):
    """A service whose every answer is an error of its own kind."""

    protocol = "broken"

    def _fail(self, *_, **__):
        raise RuntimeError("503 Slow Down")

    pipe_file = cat_file = info = ls = exists = _open = open = _fail


@pytest.mark.parametrize(
    "action",
    [
        lambda folder: folder.put_bytes("key", b""),
        lambda folder: folder.create("key", b""),
        lambda folder: folder.read_bytes("key"),
        lambda folder: folder.exists("key"),
        lambda folder: folder.list("key"),
        lambda folder: folder.remove("key"),
        lambda folder: folder.remove_tree("key"),
    ],
)
def test_foreign_errors_name_the_store(action):
    fsspec.register_implementation("broken", Broken, clobber=True)
    with pytest.raises(StoreError, match="RuntimeError: 503 Slow Down") as caught:
        action(Folder("broken://bucket"))
    assert caught.value.where == "broken://bucket/key"
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_an_unknown_kind_of_url_says_what_to_do():
    with pytest.raises(StoreError, match="nope") as caught:
        Folder("nope://bucket").put_bytes("key", b"")
    assert "install the package" in caught.value.hint


def test_memory_readers_do_not_share_a_position():
    folder = Folder(f"memory://{uuid.uuid4().hex}")
    folder.put_bytes("key", b"0123456789")
    with folder.open("key") as one, folder.open("key") as two:
        assert one.read(5) == b"01234"
        assert two.read(5) == b"01234"
        assert one.read() == b"56789"


def test_moving(folder):
    for place in (folder, Folder(f"memory://{uuid.uuid4().hex}")):
        place.put_bytes("a", b"1")
        place.move("a", "b/c")
        assert place.read_bytes("b/c") == b"1"
        assert not place.exists("a")
        with pytest.raises(KeyMissingError):
            place.move("a", "d")
