"""What happens to a store when processes race or die, the disk is full, or nothing may be written."""

from __future__ import annotations

import errno
import importlib.util
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlcore.bundle import Bundle
from mlcore.errors import KeyMissingError, StoreError
from mlcore.store import Folder, Store

PROGRAM = Path(__file__).with_name("store_processes.py")


def run(what, folder, number):
    subprocess.run([sys.executable, PROGRAM, what, str(folder.local), str(number)], check=True, timeout=120)


def content():
    spec = importlib.util.spec_from_file_location("store_processes", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CONTENT


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "folder")


def test_of_two_processes_exactly_one_creates_each_key(folder):
    run("race", folder, 1000)
    won = {name: set(folder.read_bytes(name).decode().split()) for name in ("one", "two")}
    assert won["one"] | won["two"] == {str(number) for number in range(1000)}
    assert not won["one"] & won["two"]
    for name, numbers in won.items():
        assert all(folder.read_bytes(f"keys/{number}") == name.encode() for number in numbers)
    assert all(won.values()), "one process always won: this was no race"


def test_a_killed_writer_leaves_every_key_whole_or_absent(folder):
    run("kill", folder, 60)
    expected, entries = content(), folder.list(recursive=True)
    assert entries, "every writer died before its first key"
    assert all(folder.read_bytes(entry.key) == expected for entry in entries)
    left = list(folder.local.rglob(".tmp-*"))
    assert left, "no writer was killed while it wrote"
    assert folder.sweep(older_than=-1) == len(left)
    assert folder.list(recursive=True) == entries


def refuse(number):
    def fail(*_args, **_kw):
        raise OSError(number, os.strerror(number))

    return fail


WRITES = {
    "put": lambda folder: folder.put_bytes("key", b"new"),
    "create": lambda folder: folder.create("key2", b"new"),
    "stream": lambda folder: folder.put_stream("key", io.BytesIO(b"new")),
}


# Permissions do not bind the superuser, whom tests often run as: the system call is replaced.
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    ("number", "what", "hint"),
    [
        (errno.EROFS, "the filesystem is read-only", "choose another store with --store"),
        (errno.EACCES, "permission denied", "check who may write there, or choose another store with --store"),
        (
            errno.EPERM,
            "the operation is not permitted",
            "check who may write there, or choose another store with --store",
        ),
    ],
)
def test_a_place_that_may_not_be_written(folder, write, number, what, hint, monkeypatch):
    folder.put_bytes("key", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse(number))
        with pytest.raises(StoreError) as caught:
            WRITES[write](folder)
    assert (caught.value.what, caught.value.hint) == (what, hint)
    assert caught.value.where.startswith(str(folder.local))
    assert [entry.key for entry in folder.list()] == ["key"]
    assert folder.read_bytes("key") == b"old"


def test_reading_what_may_not_be_read_is_not_a_missing_key(folder, monkeypatch):
    folder.put_bytes("key", b"old")
    monkeypatch.setattr(Path, "stat", refuse(errno.EACCES))
    with pytest.raises(StoreError, match="permission denied") as caught:
        folder.exists("key")
    assert not isinstance(caught.value, KeyMissingError)


@pytest.mark.parametrize("step", ["write", "fsync", "replace", "close"])
def test_a_disk_that_fills_up_at_any_step_leaves_the_old_file(folder, step, monkeypatch):
    folder.put_bytes("key", b"old")
    real = getattr(os, step)

    def fail(*args):
        if step == "close":
            real(*args)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(StoreError, match="the disk is full") as caught:
            folder.put_bytes("key", b"new")
    assert caught.value.where == f"{folder.url}/key"
    assert "free space" in caught.value.hint
    assert folder.read_bytes("key") == b"old"
    assert [path.name for path in folder.local.iterdir()] == ["key"]


FULL = """
import resource, signal, sys
from mlcore.errors import StoreError
from mlcore.store import Folder, Store
from mlcore.bundle import Bundle
folder = Folder(sys.argv[1])
folder.put_bytes("key", b"old")
# A process that may not write long files gets EFBIG for them, which serves as a disk that fills up in mid-file.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
open(sys.argv[2], "rb").close()
for write in (
    lambda: folder.put_bytes("key", bytes(200_000)),
    lambda: folder.create("new", bytes(200_000)),
    lambda: folder.put_file("key", sys.argv[2]),
    lambda: Store(folder).blobs.add(sys.argv[2]),
    lambda: Bundle(folder / "bundle").write(sys.argv[3], kind="test"),
):
    try:
        write()
    except StoreError as error:
        assert error.what.startswith("the file is larger than"), error
        assert "free space" in error.hint, error
    else:
        raise SystemExit("no error")
"""


def test_a_write_that_stops_in_mid_file_leaves_nothing(folder, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "large").write_bytes(bytes(200_000))
    subprocess.run([sys.executable, "-c", FULL, folder.url, source / "large", source], check=True)
    assert folder.read_bytes("key") == b"old"
    assert [path.name for path in folder.local.rglob("*") if path.is_file()] == ["key"]
    assert Bundle(folder / "bundle").manifest() is None


@pytest.fixture
def tiny(tmp_path):
    """A folder on a filesystem of 256 KB, where this may be mounted."""
    place = tmp_path / "tiny"
    place.mkdir()
    mount = shutil.which("mount")
    if os.name != "posix" or os.geteuid() != 0 or not mount:
        pytest.skip("only the superuser mounts filesystems")
    command = [mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", place]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("filesystems cannot be mounted here")
    yield Folder(place)
    subprocess.run(["umount", place], check=True)


def test_a_full_disk(tiny, tmp_path):
    tiny.put_bytes("key", b"old")
    large = tmp_path / "large"
    large.write_bytes(os.urandom(1_000_000))
    for write in (
        lambda: tiny.put_bytes("key", large.read_bytes()),
        lambda: tiny.create("new", large.read_bytes()),
        lambda: tiny.put_file("key", large),
        lambda: Store(tiny).blobs.add(large),
    ):
        with pytest.raises(StoreError, match="the disk is full") as caught:
            write()
        assert "choose another store with --store" in caught.value.hint
        assert tiny.read_bytes("key") == b"old"
    assert [path.name for path in tiny.local.rglob("*") if path.is_file()] == ["key"]
    tiny.put_bytes("key", b"there is room again")


def test_a_read_only_mount(tiny):
    tiny.put_bytes("key", b"old")
    subprocess.run(["mount", "-o", "remount,ro", tiny.local], check=True)
    for write in (*WRITES.values(), lambda folder: folder.remove("key"), lambda folder: Store(folder).prepare()):
        with pytest.raises(StoreError, match="the filesystem is read-only"):
            write(tiny)
    assert tiny.read_bytes("key") == b"old"
    Store(tiny).open()


def test_a_mount_point_is_emptied_in_place(tiny):
    tiny.put_bytes("a/key", b"old")
    with pytest.raises(StoreError):  # the mount point itself cannot be removed
        tiny.remove_tree("")
    assert tiny.list() == []


def test_a_file_where_a_folder_should_be(folder):
    folder.put_bytes("a", b"a file")
    for write in (lambda: folder.put_bytes("a/b", b""), lambda: folder.create("a/b/c", b"")):
        with pytest.raises(StoreError, match="a file is where a folder should be") as caught:
            write()
        assert "move it away" in caught.value.hint
    assert not folder.exists("a/b")
    assert folder.list("a/b") == folder.list("a") == []
    folder.remove_tree("a/b")
    assert folder.read_bytes("a") == b"a file"


def test_a_folder_where_a_file_should_be(folder):
    folder.put_bytes("a/b", b"")
    with pytest.raises(StoreError, match="a folder is where a file should be"):
        folder.put_bytes("a", b"")
    assert [entry.key for entry in folder.list(recursive=True)] == ["a/b"]


def test_a_path_that_is_too_long(tmp_path):
    folder = Folder(tmp_path)
    for _ in range(20):
        folder = folder / ("x" * 250)
    with pytest.raises(StoreError, match="the name is too long") as caught:
        folder.put_bytes("key", b"")
    assert "shorter" in caught.value.hint
    with pytest.raises(StoreError, match="the name is too long"):
        folder.exists("key")


def test_a_folder_removed_under_a_writer(folder):
    """The source of the put removes the folder that the draft is in."""

    class Removing(io.BytesIO):
        def read(self, size=-1):
            shutil.rmtree(folder.local, ignore_errors=True)
            return super().read(size)

    with pytest.raises(StoreError, match="the folder was removed while it was used"):
        folder.put_stream("a/key", Removing(b"content"))
    assert not folder.exists("a/key")


def test_interrupting_a_put_leaves_nothing(folder):
    class Interrupting(io.BytesIO):
        def read(self, size=-1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.put_stream("key", Interrupting())
    assert list(folder.local.iterdir()) == []
