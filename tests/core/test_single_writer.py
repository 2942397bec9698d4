"""A stranger's filesystem, known to fsspec only: one process writes at a time, until it has passed the race test."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import textwrap

import fsspec
import pytest
from typer.testing import CliRunner

import mlcore
from mlcore.cli.app import app
from mlcore.errors import StoreError
from mlcore.runs import list_runs, resume_run
from mlcore.store import Folder, Store
from mlcore.store.race import RECORD, run_race
from mlcore.store.writer import KEY
from mlcore.versions import Models

# As somebody would publish it: not a word of mlcore. `attic` looks and then writes; `vault` lets the system decide.
STRANGER = """
import os, time, uuid
from fsspec.implementations.local import LocalFileSystem

class Attic(LocalFileSystem):
    protocol = "attic"

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(str(path).removeprefix(f"{cls.protocol}://"))

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        path = self._strip_protocol(path)
        draft = os.path.join(os.path.dirname(path), f".tmp-{uuid.uuid4().hex}")
        with open(draft, "wb") as file:
            file.write(value)
        self.name(draft, path, mode == "create")

    def name(self, draft, path, create):
        if create and os.path.exists(path):
            raise FileExistsError(path)
        if create:
            time.sleep(0.002)
        os.replace(draft, path)

class Vault(Attic):
    protocol = "vault"

    def name(self, draft, path, create):
        os.link(draft, path) if create else os.replace(draft, path)
        if create:
            os.unlink(draft)
"""
HOLD = """
import sys
import fsspec, stranger
fsspec.register_implementation("attic", stranger.Attic)
import mlcore
with mlcore.start_run(store=sys.argv[1], name="first") as run:
    run.log(1, loss=0.5)
    run.checkpoint({"step": 1})
    print("writing", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def stranger(tmp_path, monkeypatch):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "stranger.py").write_text(textwrap.dedent(STRANGER))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.delitem(sys.modules, "stranger", raising=False)
    module = importlib.import_module("stranger")
    for kind in (module.Attic, module.Vault):
        fsspec.register_implementation(kind.protocol, kind, clobber=True)


@pytest.fixture
def attic(tmp_path):
    return f"attic://{tmp_path}/store"


@pytest.fixture
def first(attic, tmp_path):
    """Another process that writes to the store."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, attic], env={**os.environ, "PYTHONPATH": str(tmp_path / "modules")},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "writing\n"
    yield process
    process.kill()
    process.communicate()


def test_one_process_uses_it_as_any_other(attic):
    with mlcore.start_run(store=attic, name="fit") as run:
        run.log(1, loss=0.5)
        run.append("table.csv").write("line\n")
        run.checkpoint({"step": 1})
        assert Store(attic).folder.exists(KEY)
    [view] = list_runs(Store(attic))
    assert (view.status, view.metrics[0].last) == ("finished", 0.5)
    assert view.folder.read_bytes("files/table.csv") == b"line\n"
    assert not Store(attic).folder.exists(KEY), "the right to write was not given back"


def test_a_second_writer_is_refused_and_told_why(attic, first):
    for call in (
        lambda: mlcore.start_run(store=attic),
        lambda: Models(Store(attic)).create("model"),
        lambda: Models(Store(attic)).edit("x", lambda record: record),
    ):
        with pytest.raises(StoreError, match=f"another process writes to this store: pid {first.pid} on ") as caught:
            call()
        assert caught.value.where == attic
        assert "wait for that process, or use another store" in caught.value.hint
        assert "mlcore doctor --store URL" in caught.value.hint
    assert [view.name for view in list_runs(Store(attic))] == ["first"], "reading is free"
    first.communicate("\n")
    with mlcore.start_run(store=attic):
        pass


def test_a_dead_writer_is_no_writer(attic, first):
    first.kill()
    first.wait()
    [view] = list_runs(Store(attic))
    assert view.status == "lost"
    with resume_run(view) as run:
        assert run.restore().state == {"step": 1}
    [view] = list_runs(Store(attic))
    assert view.status == "finished"
    assert view.journal.warnings == []


def test_a_writer_of_another_machine_may_be_alive(attic):
    record = {"host": "elsewhere", "boot": "x", "pid": 7, "started": "1"}
    Folder(attic).put_bytes(KEY, json.dumps(record).encode())
    with pytest.raises(StoreError, match="pid 7 on elsewhere") as caught:
        mlcore.start_run(store=attic)
    assert f"remove {KEY}" in caught.value.hint


def test_of_two_that_were_let_in_together_the_first_stops(attic):
    """The second wrote its name after the first had looked."""
    with mlcore.start_run(store=attic) as run:
        Folder(attic).put_bytes(KEY, b'{"host": "elsewhere", "boot": "x", "pid": 7, "started": "1"}')
        with pytest.raises(StoreError, match="pid 7 on elsewhere"):
            run.checkpoint({"step": 1})
        Folder(attic).remove(KEY)


@pytest.mark.parametrize("half", [b"", b'{"host"', b"[]", b'{"host": 1}'])
def test_half_a_claim_is_none(attic, half):
    Folder(attic).put_bytes(KEY, half)
    with mlcore.start_run(store=attic):
        pass


def test_the_race_test_tells_one_that_looks_and_then_writes(attic):
    found = run_race(Folder(attic))
    assert "racers created the same key" in found.fault or "holds the content of" in found.fault
    assert Folder(attic).list() == [], "something is left of the race"
    assert Folder(attic).exclusive == "single-writer"


def test_who_passes_the_race_test_is_trusted_from_then_on(tmp_path):
    vault = Folder(f"vault://{tmp_path}/store")
    assert vault.exclusive == "single-writer"
    found = run_race(vault)
    assert found.fault is None
    assert found.rounds >= 30
    assert json.loads(vault.read_bytes(RECORD))["filesystem"] == "stranger:Vault"
    again = Store(f"vault://{tmp_path}/store")
    assert (again.exclusive, (again / "runs").exclusive) == ("atomic", "atomic")
    with mlcore.start_run(store=again):
        assert not again.folder.exists(KEY)
    assert Folder(f"attic://{tmp_path}/store").exclusive == "single-writer", "the record of another filesystem"


@pytest.mark.parametrize("record", [b"", b"{}", b'{"passed": false, "filesystem": "stranger:Attic"}', b"[1]"])
def test_no_record_is_no_proof(attic, record):
    Folder(attic).put_bytes(RECORD, record)
    assert Folder(attic).exclusive == "single-writer"


def test_the_doctor_races_in_a_store_that_it_was_asked_about(tmp_path):
    done = CliRunner().invoke(app, ["doctor", "--store", f"vault://{tmp_path}/store"])
    assert "atomic from now on: 2 threads in each of 2 processes raced for" in done.output
    done = CliRunner().invoke(app, ["doctor", "--store", f"vault://{tmp_path}/store"])
    assert "atomic: any number of processes" in done.output
    done = CliRunner().invoke(app, ["doctor", "--store", f"attic://{tmp_path}/other"])
    assert "single-writer: 2 threads in each of 2 processes raced for" in done.output
    assert "a second is refused" in done.output
