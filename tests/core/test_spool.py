"""Journals of stores that cannot append: what a killed process leaves on its machine gets to the store, once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlcore.cli.app import app
from mlcore.errors import KeyExistsError, StoreError, SupersededError
from mlcore.journal import JournalWriter, read_journal, ship_spools, sink, writer
from mlcore.store import Folder, retries
from mlcore.testing import faulty

# Writes records, and dies with some of them in the spool: nothing but `sync` is shipped so soon.
KILLED = """
import os, signal, sys
import mlcore.testing.faulty
from mlcore.journal import JournalWriter, sink
from mlcore.store import Folder
sink.SEGMENT_SECONDS = 1e9
journal = JournalWriter(Folder(sys.argv[1]), 1)
for number in range(6):
    journal.write("a", number=number, sync=number == 2)
if sys.argv[2] == "torn":
    os.write(journal._sink._open._fd, b'{"seq":7,"ti')
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def spool(tmp_path, monkeypatch):
    monkeypatch.setenv("MLCORE_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setattr(retries, "_sleep", lambda seconds: None)
    return tmp_path / "spool"


@pytest.fixture
def place(tmp_path):
    """A run's folder that is not local, and that other processes reach."""
    return faulty.faulty_url(f"{tmp_path}/store/runs/one", "file")


def killed(place, how="clean"):
    done = subprocess.run([sys.executable, "-c", KILLED, place, how], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL


def numbers(place):
    read = read_journal(Folder(place))
    assert read.warnings == []
    return [record.fields["number"] for record in read.records("a")]


@pytest.mark.parametrize("how", ["clean", "torn"])
def test_what_a_killed_process_left_is_shipped(place, spool, how):
    killed(place, how)
    assert numbers(place) == [0, 1, 2], "what `write` waited for, and what came before it, is in the store"
    [shipment] = ship_spools()
    assert (shipment.run, shipment.writer, shipment.state, shipment.segments) == (place, "1-main", "shipped", 1)
    assert numbers(place) == [0, 1, 2, 3, 4, 5]
    assert list(spool.iterdir()) == []
    assert list(ship_spools()) == []


def test_shipping_that_breaks_off_goes_on_where_it_was(place, spool, monkeypatch):
    killed(place)
    [about] = spool.glob("*/about.json")
    (about.parent / "4.jsonl").write_text('{"seq":7,"time":1.0,"type":"a","number":6}\n')
    real, calls = Folder.put_bytes, []

    def lossy(self, key, data, *, sync=True):
        real(self, key, data, sync=sync)
        calls.append(key)
        if len(calls) == 2:  # it is there, and nobody hears of it
            raise StoreError("the network is away", where=key)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "put_bytes", lossy)
        with pytest.raises(StoreError, match="the network is away"):
            list(ship_spools(place))
    assert [shipment.segments for shipment in ship_spools(place)] == [1]
    assert numbers(place) == [0, 1, 2, 3, 4, 5, 6]


def test_only_what_was_asked_for_is_shipped(place, tmp_path):
    killed(place)
    assert list(ship_spools(faulty.faulty_url(f"{tmp_path}/store/runs/on", "file"))) == []
    assert list(ship_spools(place + "/more")) == []
    assert [shipment.state for shipment in ship_spools(place.removesuffix("/runs/one"))] == ["shipped"]


def test_a_spool_in_use_is_left_alone(place, spool):
    program = KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "print(1, flush=True); sys.stdin.read()")
    process = subprocess.Popen(
        [sys.executable, "-c", program, place, ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "1\n"
    assert [shipment.state for shipment in ship_spools()] == ["alive"]
    assert numbers(place) == [0, 1, 2]
    process.kill()
    process.communicate()
    assert [shipment.state for shipment in ship_spools()] == ["shipped"]


def test_a_spool_of_this_process_is_in_use_too(place, spool):
    with JournalWriter(Folder(place), 1) as journal:
        journal.write("a", number=0)
        assert [shipment.state for shipment in ship_spools()] == ["alive"]
        journal.write("a", number=1, sync=True)
    assert numbers(place) == [0, 1]
    assert list(spool.iterdir()) == []


def test_a_run_that_was_removed_does_not_come_back(place, spool):
    killed(place)
    Folder(place).remove_tree("")
    [shipment] = ship_spools()
    assert (shipment.state, shipment.segments) == ("gone", 0)
    assert Folder(place).list(recursive=True) == []
    assert shipment.path.is_dir()


def test_a_spool_that_says_nothing_of_its_run(spool):
    (spool / "x").mkdir(parents=True)
    (spool / "x" / "about.json").write_text("{")
    with pytest.raises(StoreError, match="does not say which run it belongs to") as caught:
        list(ship_spools())
    assert caught.value.where == str(spool / "x" / "about.json")


def test_a_spool_that_cannot_be_made(place, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLCORE_SPOOL", str(tmp_path / "file" / "spool"))
    with pytest.raises(StoreError, match="the spool of the journal cannot be written") as caught:
        JournalWriter(Folder(place), 1)
    assert "MLCORE_SPOOL" in caught.value.hint


def test_an_outage_stops_nobody_who_does_not_wait_for_the_store(place, monkeypatch):
    monkeypatch.setattr(sink, "SEGMENT_SECONDS", 0.0)
    monkeypatch.setattr(writer, "FLUSH_SECONDS", 0.01)
    tried = []

    def broken(self, key, data, *, sync=True):
        tried.append(key)
        raise StoreError("the network is away", where=key)

    with JournalWriter(Folder(place), 1) as journal:
        with monkeypatch.context() as patch:
            patch.setattr(Folder, "put_bytes", broken)
            number = 0
            while len(tried) < 5:
                journal.write("a", number=number)
                journal.log(number, {"loss": 1.0})
                number += 1
            with pytest.raises(StoreError, match="the network is away"):
                journal.flush()
        journal.flush()
    assert numbers(place) == [*range(number)]


def test_a_journal_that_ends_in_an_outage_leaves_its_rest_to_sync(place, spool, monkeypatch):
    def broken(self, key, data, *, sync=True):
        raise StoreError("the network is away", where=key)

    journal = JournalWriter(Folder(place), 1)
    journal.write("a", number=0)
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "put_bytes", broken)
        with pytest.raises(StoreError, match="the network is away"):
            journal.close()
    journal.close()
    assert len(list(spool.glob("*/*.jsonl"))) == 1
    assert [shipment.segments for shipment in ship_spools()] == [1]
    assert numbers(place) == [0]


def test_an_attempt_that_was_taken_over_puts_nothing_into_the_store(place):
    def superseded():
        raise SupersededError("attempt 1 was taken over")

    journal = JournalWriter(Folder(place), 1, guard=superseded)
    with pytest.raises(SupersededError):
        journal.write("a", number=0, sync=True)
    with pytest.raises(SupersededError):
        journal.close()
    assert numbers(place) == []


def test_a_name_is_claimed_once(place):
    with JournalWriter(Folder(place), 1), pytest.raises(KeyExistsError, match="named 'main' already"):
        JournalWriter(Folder(place), 1)


def test_the_command(place, spool):
    killed(place)
    run = CliRunner().invoke
    assert "nothing waits on this machine" in run(app, ["runs", "sync", "--store", "s3://other/store"]).output
    done = run(app, ["runs", "sync", "--json"])
    [told] = json.loads(done.stdout)
    path = Path(told.pop("path"))
    assert told == {"run": place, "writer": "1-main", "state": "shipped", "segments": 1}
    assert path.parent == spool
    killed_again = place + "-2"
    killed(killed_again)
    done = run(app, ["runs", "sync", "--store", killed_again.removesuffix("/runs/one-2")])
    assert done.stdout == f"{killed_again} attempt 1-main: shipped 1 segment\n"


def test_a_home_that_is_not_there(place, tmp_path):
    """The default place is made when it is needed."""
    environment = {name: value for name, value in os.environ.items() if name != "MLCORE_SPOOL"}
    environment |= {"HOME": str(tmp_path / "home"), "XDG_STATE_HOME": ""}
    program = "from mlcore.journal.spool import spool_root; print(spool_root())"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).is_relative_to(tmp_path / "home")
    assert not (tmp_path / "home").exists()
