"""The published suite passes on our stores, and catches each wrong implementation."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from mlcore.errors import KeyExistsError, KeyMissingError
from mlcore.store import Entry, Folder
from mlcore.testing.stores import StoreConformance, check_store


class TestLocal(StoreConformance):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path):
        self.root = tmp_path

    def make_folder(self):
        return Folder(self.root / uuid.uuid4().hex)


class TestMemory(StoreConformance):
    def make_folder(self):
        return Folder(f"memory://{uuid.uuid4().hex}")


class Shelf(LocalFileSystem):
    """A stranger's filesystem with real folders, where a put is whole at once."""

    protocol = ("shelf",)
    root = ""

    @classmethod
    def _strip_protocol(cls, path):
        path = str(path).removeprefix("shelf://").strip("/")
        path = path.removeprefix(cls.root.strip("/")).strip("/")
        return f"{cls.root}/{path}".rstrip("/")

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        path = Path(self._strip_protocol(path))
        draft = path.with_name(f".tmp-{uuid.uuid4().hex}")
        draft.write_bytes(value)
        draft.replace(path)


class TestStrangersFilesystem(StoreConformance):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path, monkeypatch):
        monkeypatch.setattr(Shelf, "root", str(tmp_path))
        fsspec.register_implementation("shelf", Shelf, clobber=True)

    def make_folder(self):
        folder = Folder(f"shelf://{uuid.uuid4().hex}")
        assert folder.local is None
        assert folder.exclusive == "single-writer"
        return folder


class CheckThenWrite(Folder):
    """Looks whether the key is free, and writes a moment later."""

    def create(self, key, data, *, sync=True):
        if self.exists(key):
            raise KeyExistsError("taken", where=key)
        time.sleep(0.005)
        self.put_bytes(key, data, sync=sync)


class InPlace(Folder):
    """Writes where readers look."""

    def put_bytes(self, key, data, *, sync=True):
        self.exists(key)
        path = self.local / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
            file.flush()
            time.sleep(0.001)
            file.write(data[len(data) // 2 :])


class InPlaceStream(Folder):
    """Copies to where readers look."""

    def put_stream(self, name, reader, *, sync=True):
        if not isinstance(name, str):
            return super().put_stream(name, reader, sync=sync)
        path = self.local / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            while chunk := reader.read(1000):
                file.write(chunk)
        return None


class ListsEverything(Folder):
    """Lists what is in the folder, unfinished or not."""

    def list(self, prefix="", *, recursive=False):
        extra = [
            Entry(Path(folder, name).relative_to(self.local).as_posix(), 0, None, is_folder=False)
            for folder, _, names in os.walk(self.local)
            for name in names
            if name.startswith(".tmp-")
        ]
        return sorted([*super().list(prefix, recursive=recursive), *extra], key=lambda entry: entry.key)


class MissingIsEmpty(Folder):
    """Reads nothing where there is nothing."""

    def read_bytes(self, key):
        try:
            return super().read_bytes(key)
        except KeyMissingError:
            return b""


class RemovesSilently(Folder):
    """Removes what is not there, as object stores do."""

    def remove(self, key):
        if self.exists(key):
            super().remove(key)


class PutsOverCreated(Folder):
    """Takes creation for a put."""

    def create(self, key, data, *, sync=True):
        self.put_bytes(key, data, sync=sync)


class TakesAnyKey(Folder):
    """Lets keys lead out of the folder."""

    def exists(self, key):
        return (self.local / key.replace("\0", "")).is_file()


class Unsorted(Folder):
    """Lists backwards."""

    def list(self, prefix="", *, recursive=False):
        return super().list(prefix, recursive=recursive)[::-1]


class ForgetsFolders(Folder):
    """Removes files only."""

    def remove_tree(self, prefix):
        for entry in self.list(prefix):
            if not entry.is_folder:
                self.remove(entry.key)


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        (CheckThenWrite, "test_create_has_one_winner"),
        (InPlace, "test_readers_see_whole_files"),
        (InPlaceStream, "test_a_failed_put_changes_nothing"),
        (ListsEverything, "test_unfinished_files_are_not_listed"),
        (MissingIsEmpty, "test_missing_keys"),
        (RemovesSilently, "test_missing_keys"),
        (PutsOverCreated, "test_create_makes_a_key_once"),
        (TakesAnyKey, "test_invalid_names"),
        (Unsorted, "test_listing"),
        (ForgetsFolders, "test_removal"),
    ],
)
def test_a_wrong_implementation_is_caught(wrong, check, tmp_path):
    with pytest.raises(AssertionError, match=check):
        check_store(lambda: wrong(tmp_path / uuid.uuid4().hex))


def test_the_program_form_passes(tmp_path):
    check_store(lambda: Folder(tmp_path / uuid.uuid4().hex))


def test_the_suite_needs_no_pytest(tmp_path):
    import subprocess
    import sys

    program = (
        "import sys, uuid\n"
        "from mlcore.store import Folder\n"
        "from mlcore.testing.stores import check_store\n"
        "check_store(lambda: Folder(f'{sys.argv[1]}/{uuid.uuid4().hex}'))\n"
        "assert 'pytest' not in sys.modules and 'fsspec' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
