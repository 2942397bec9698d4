from __future__ import annotations

import json
import math
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from mlcore.errors import KeyExistsError, MlcoreError, StoreError, SupersededError
from mlcore.journal import JournalWriter, read_journal, sink, writer
from mlcore.store import Folder

FILE = "journal/1-main.1.jsonl"


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(str(tmp_path / "run"))


@pytest.fixture
def journal(folder):
    with JournalWriter(folder, 1) as opened:
        yield opened


@pytest.fixture
def patient(monkeypatch):
    """Let the background thread wait until it is asked."""
    monkeypatch.setattr(writer, "FLUSH_SECONDS", 3600)


def lines(folder: Folder, key: str = FILE) -> list[dict]:
    return [json.loads(line) for line in (folder.local / key).read_text().splitlines()]


def eventually(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


class TestFormat:
    def test_a_record_is_one_line_with_a_rising_seq(self, folder, journal):
        assert journal.write("status", status="running", tags=["a", None, True]) == 1
        assert journal.write("status", sync=True, status="finished") == 2
        first, second = lines(folder)
        assert list(first) == ["seq", "time", "type", "status", "tags"]
        assert (first["seq"], first["type"], first["tags"]) == (1, "status", ["a", None, True])
        assert (second["seq"], second["status"]) == (2, "finished")
        assert abs(first["time"] - time.time()) < 60

    def test_points_are_column_chunks_one_a_series(self, folder, patient, journal):
        journal.log(0, {"loss": 1.5, "acc": 0}, time=1700000000.1239)
        journal.log(0.5, {"loss": float("nan")}, time=5)
        journal.log(2, {"loss": -math.inf, "acc": math.inf}, time=6)
        journal.flush()
        loss, acc = lines(folder)
        assert loss.pop("time") == acc.pop("time")
        assert loss == {
            "seq": 1,
            "type": "points",
            "series": "loss",
            "steps": [0, 0.5, 2],
            "times": [1700000000.123, 5.0, 6.0],
            "values": [1.5, "NaN", "-Infinity"],
        }
        assert (acc["seq"], acc["steps"], acc["values"]) == (2, [0, 2], [0.0, "Infinity"])

    def test_a_series_named_like_nan_keeps_its_name(self, folder, journal):
        journal.log(1, {"NaN/Infinity \u2028 \ud800 ü": math.nan})
        journal.flush()
        assert lines(folder)[0]["series"] == "NaN/Infinity \u2028 \ud800 ü"
        assert (folder.local / FILE).read_bytes().isascii()

    def test_a_chunk_holds_a_bounded_number_of_points(self, folder, patient, journal):
        for step in range(10_000):
            journal._pending.append(("loss", step, 0.0, 0.5))
        journal.flush()
        assert [len(line["steps"]) for line in lines(folder)] == [4096, 4096, 1808]
        assert read_journal(folder).series()["loss"].steps == list(range(10_000))

    def test_points_come_before_the_record_written_after_them(self, folder, patient, journal):
        journal.log(1, {"loss": 1.0})
        journal.write("epoch", number=1)
        journal.log(2, {"loss": 0.5})
        journal.write("epoch", number=2)
        assert [line["type"] for line in lines(folder)] == ["points", "epoch", "points", "epoch"]
        assert [line["seq"] for line in lines(folder)] == [1, 2, 3, 4]

    def test_positions_flush_and_say_the_last_seq(self, folder, patient, journal):
        assert journal.positions() == {"1-main": 0}
        journal.log(1, {"loss": 1.0, "acc": 0.5})
        assert journal.positions() == {"1-main": 2}
        assert len(lines(folder)) == 2
        journal.write("status", status="running")
        assert journal.positions() == {"1-main": 3}


class TestValues:
    @pytest.mark.parametrize(
        "value", [True, 3, 2.5, np.float32(1.5), np.float64(1.5), np.int8(3), np.array(4.0), np.bool_(True), math.nan]
    )
    def test_what_is_a_real_number_is_taken(self, folder, journal, value):
        journal.log(1, {"loss": value})
        journal.flush()
        read = read_journal(folder).last("loss")
        assert read is not None
        assert read.value == float(value) or math.isnan(value)

    @pytest.mark.parametrize("value", ["0.5", b"1", None, 1j, [1.0], np.array([1.0, 2.0]), 10**400, {}])
    def test_what_is_none_is_refused_in_the_caller_and_named(self, folder, journal, value):
        with pytest.raises(MlcoreError, match=r"series 'valid.loss' got .* not a real number") as caught:
            journal.log(1, {"loss": 1.0, "valid.loss": value})
        assert type(value).__name__ in str(caught.value)
        journal.flush()
        assert lines(folder) == [], "all points of a call or none"

    def test_a_long_value_is_not_printed_whole(self, journal):
        with pytest.raises(MlcoreError) as caught:
            journal.log(1, {"loss": "x" * 10_000})
        assert len(str(caught.value)) < 300

    @pytest.mark.parametrize("step", [math.nan, math.inf, 2**63, -(2**63), 10**400, "1", None, 1j])
    def test_a_step_is_a_finite_number(self, journal, step):
        with pytest.raises(MlcoreError, match="is not a step"):
            journal.log(step, {"loss": 1.0})

    @pytest.mark.parametrize("step", [0, -3, 2.5, np.int64(7), np.float32(0.5), True, 2**63 - 1])
    def test_steps_are_ints_and_floats_of_any_kind(self, folder, journal, step):
        journal.log(step, {"loss": 1.0})
        journal.flush()
        assert read_journal(folder).series()["loss"].steps == [step]

    @pytest.mark.parametrize("moment", [math.nan, time.time() * 1000, "now"])
    def test_a_time_is_in_seconds(self, journal, moment):
        with pytest.raises(MlcoreError, match=r"is not a time\n  hint: a time is in seconds since the epoch"):
            journal.log(1, {"loss": 1.0}, time=moment)

    def test_values_come_by_name(self, journal):
        with pytest.raises(MlcoreError, match=r"log\(\) got float 0\.5 where values by series"):
            journal.log(1, 0.5)
        with pytest.raises(MlcoreError, match="int 0x7 is not the name of a series"):
            journal.log(1, {7: 0.5})

    @pytest.mark.parametrize("value", [object(), {1, 2}, math.nan, [math.inf], np.float32(1), b"x", Path()])
    def test_a_field_that_is_not_json_is_named(self, folder, journal, value):
        with pytest.raises(MlcoreError, match=r"field 'reason' of a 'status' record cannot be stored as JSON"):
            journal.write("status", status="ok", reason=value)
        assert lines(folder) == []

    def test_a_field_nested_without_end_is_named(self, journal):
        endless: list = []
        endless.append(endless)
        deep: list = []
        for _ in range(100_000):
            deep = [deep]
        for value in (endless, deep):
            with pytest.raises(MlcoreError, match="field 'x'"):
                journal.write("status", x=value)

    @pytest.mark.parametrize("name", ["seq", "time", "type"])
    def test_fields_of_every_record_are_taken(self, journal, name):
        with pytest.raises(MlcoreError, match=f"'{name}' is a field of every record"):
            journal.write("status", **{name: 1})

    @pytest.mark.parametrize(("kind", "hint"), [("", "a type is text"), ("points", r"written with log\(\)")])
    def test_types_that_cannot_be(self, journal, kind, hint):
        with pytest.raises(MlcoreError, match=hint):
            journal.write(kind)


class TestNames:
    @pytest.mark.parametrize("name", ["", "a-b", "a.b", "a/b", "..", "ä", "a b", "x" * 65, "a\n"])
    def test_a_writer_name_is_a_safe_part_of_a_key(self, folder, name):
        with pytest.raises(MlcoreError, match="is not a writer name"):
            JournalWriter(folder, 1, name)

    @pytest.mark.parametrize("attempt", [0, -1, 10**9])
    def test_attempts_count_from_one(self, folder, attempt):
        with pytest.raises(MlcoreError, match="is not an attempt number"):
            JournalWriter(folder, attempt)

    @pytest.mark.parametrize("remote", [False, True])
    def test_a_name_is_given_once_an_attempt(self, folder, tmp_path, remote):
        place = Folder(f"memory://{tmp_path}") if remote else folder
        told = pytest.raises(KeyExistsError, match="attempt 1 of this run has a journal writer named 'main' already")
        with JournalWriter(place, 1), JournalWriter(place, 2), JournalWriter(place, 1, "worker_1"), told:
            JournalWriter(place, 1)
        with pytest.raises(KeyExistsError, match="a writer name of its own"):
            JournalWriter(place, 2)

    def test_a_folder_that_cannot_be_written_is_told(self, tmp_path):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "journal").write_text("a file where the folder belongs")
        with pytest.raises(StoreError, match=r"1-main\.1\.jsonl: the journal cannot be written: File exists"):
            JournalWriter(Folder(str(tmp_path / "run")), 1)


class TestThread:
    def test_points_reach_the_disk_without_being_asked(self, folder, journal):
        journal.log(1, {"loss": 1.0})
        eventually(lambda: lines(folder))

    def test_64_kb_of_points_do_not_wait(self, folder, patient, journal):
        for step in range(writer.FLUSH_POINTS):
            journal.log(step, {"loss": 1.0})
        eventually(lambda: lines(folder))

    def test_a_backlog_makes_log_wait(self, folder, patient, journal, monkeypatch):
        monkeypatch.setattr(writer, "FLUSH_POINTS", 10)
        monkeypatch.setattr(writer, "FULL_POINTS", 10)
        for step in range(100):
            journal.log(step, {"loss": 1.0})
            assert len(journal._pending) < 10

    def test_a_beat_breaks_the_silence(self, folder, monkeypatch):
        monkeypatch.setattr(writer, "FLUSH_SECONDS", 0.01)
        with JournalWriter(folder, 1, beat_seconds=0.05):
            eventually(lambda: len(lines(folder)) >= 2)
        assert {line["type"] for line in lines(folder)} == {"beat"}
        assert [record.seq for record in read_journal(folder).records("beat")][:2] == [1, 2]

    def test_no_beat_when_there_is_news_or_none_is_wanted(self, folder, monkeypatch):
        monkeypatch.setattr(writer, "FLUSH_SECONDS", 0.01)
        with JournalWriter(folder, 1, beat_seconds=3600), JournalWriter(folder, 2, beat_seconds=None):
            time.sleep(0.1)
        assert lines(folder) == lines(folder, "journal/2-main.1.jsonl") == []

    def test_threads_may_share_a_writer(self, folder, journal):
        def work(number: int) -> None:
            for step in range(500):
                journal.log(step, {f"loss{number}": float(step)})
                if step % 50 == 0:
                    journal.write("mark", number=number, step=step)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        journal.flush()
        read = read_journal(folder)
        assert not read.warnings
        assert len(read.records("mark")) == 40
        assert all(read.series()[f"loss{number}"].steps == list(range(500)) for number in range(4))

    def test_few_writes_for_many_points_and_no_fsync_unless_asked(self, folder, patient, monkeypatch):
        calls = {"write": 0, "fsync": 0}

        def counted(name):
            real = getattr(os, name)

            def call(*args):
                calls[name] += 1
                return real(*args)

            monkeypatch.setattr(sink.os, name, call)

        with JournalWriter(folder, 1) as journal:
            counted("write")
            counted("fsync")
            for step in range(10_000):
                journal.log(step, {"loss": 1.0})
            journal.write("epoch", number=1)
            assert calls["fsync"] == 0
            assert 1 <= calls["write"] <= 10_000 // writer.FLUSH_POINTS + 1
            journal.write("status", sync=True, status="finished")
            assert calls["fsync"] == 3, "the file, and once the folders that hold its name"
            journal.write("status", sync=True, status="finished")
            assert calls["fsync"] == 4
        assert len(read_journal(folder).series()["loss"].values) == 10_000

    def test_a_signal_handler_may_write_while_the_program_writes(self, folder, journal):
        import signal

        def handler(*_):
            journal.write("signal")

        before = signal.signal(signal.SIGUSR1, handler)
        try:
            for number in range(200):
                if number % 10 == 0:
                    threading.Timer(0, os.kill, (os.getpid(), signal.SIGUSR1)).start()
                journal.write("step", number=number)
            eventually(lambda: len(read_journal(folder).records("signal")) >= 1)
        finally:
            signal.signal(signal.SIGUSR1, before)
        read = read_journal(folder)
        assert [record.fields["number"] for record in read.records("step")] == list(range(200))
        assert not read.warnings


class TestTrouble:
    @pytest.fixture
    def disk(self, monkeypatch):
        """A disk that can be full: it then takes the first half of what is written."""

        class Disk:
            full = False

        real = os.write

        def write(fd, data):
            if Disk.full and len(data) > 1:
                return real(fd, bytes(data)[: len(data) // 2])
            if Disk.full:
                raise OSError(28, "No space left on device")
            return real(fd, data)

        monkeypatch.setattr(sink.os, "write", write)
        return Disk

    def test_an_error_in_the_background_is_raised_to_the_caller_and_nothing_is_lost(self, folder, disk):
        journal = JournalWriter(folder, 1)
        journal.write("status", status="running")
        disk.full = True
        journal.log(1, {"loss": 1.0})
        eventually(lambda: journal._trouble is not None)
        with pytest.raises(StoreError, match="No space left on device") as caught:
            journal.log(2, {"loss": 2.0})
        assert "1-main.1.jsonl" in str(caught.value)
        assert "hint: free space" in str(caught.value)
        for call in (journal.flush, journal.positions, journal.close, lambda: journal.write("status", status="failed")):
            with pytest.raises(StoreError, match="the journal cannot be written: No space left"):
                call()
        disk.full = False
        eventually(lambda: journal._trouble is None)
        journal.log(3, {"loss": 3.0})
        journal.write("status", status="finished")
        journal.close()
        read = read_journal(folder)
        assert read.warnings == read.notes == [], "no torn line stays behind"
        assert [record.seq for record in read.records()] == [1, 2, 3, 4]
        assert read.series()["loss"].steps == [1, 3]
        assert [record.fields["status"] for record in read.records("status")] == ["running", "finished"]

    def test_a_failed_fsync_takes_the_record_back(self, folder, patient, journal, monkeypatch):
        def broken(fd):
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(sink.os, "fsync", broken)
            with pytest.raises(StoreError, match="Input/output error"):
                journal.write("status", sync=True, status="finished")
        assert lines(folder) == [], "at once, so that a reader never meets it"
        journal.write("status", sync=True, status="failed")
        assert [(line["seq"], line["status"]) for line in lines(folder)] == [(1, "failed")]

    def test_what_cannot_be_taken_back_is_taken_back_later(self, folder, journal, disk, monkeypatch):
        def broken(fd, size):
            raise OSError(5, "Input/output error")

        disk.full = True
        with monkeypatch.context() as patch:
            patch.setattr(sink.os, "ftruncate", broken)
            with pytest.raises(StoreError, match="No space left"):
                journal.write("a", text="x" * 100)
            with pytest.raises(StoreError, match="Input/output error"):
                journal.write("b")
        disk.full = False
        journal.write("c")
        assert [(line["seq"], line["type"]) for line in lines(folder)] == [(1, "c")]

    def test_a_guard_is_asked_before_each_writing(self, folder):
        asked = []
        with JournalWriter(folder, 1, guard=lambda: asked.append(len(lines(folder)))) as journal:
            journal.write("a")
            journal.log(1, {"loss": 1.0})
            journal.write("b")
            journal.flush()
        assert asked == [0, 1] or asked == [0, 1, 2]

    def test_a_superseded_attempt_stops_writing_for_good(self, folder):
        superseded = threading.Event()

        def guard():
            if superseded.is_set():
                superseded.clear()
                raise SupersededError("attempt 2 has taken over")

        journal = JournalWriter(folder, 1, guard=guard)
        journal.write("a")
        superseded.set()
        journal.log(1, {"loss": 1.0})
        eventually(lambda: journal._trouble is not None)
        with pytest.raises(SupersededError, match="attempt 2 has taken over"):
            journal.log(2, {"loss": 1.0})
        for call in (journal.flush, journal.positions, lambda: journal.write("b")):
            with pytest.raises(SupersededError):
                call()
        with pytest.raises(SupersededError):
            journal.close()
        journal.close()
        assert [line["type"] for line in lines(folder)] == ["a"]

    def test_a_guard_that_fails_otherwise_is_asked_again(self, folder):
        answers = [OSError("the store is away"), None]

        def guard():
            if answers:
                answer = answers.pop(0)
                if answer:
                    raise answer

        with JournalWriter(folder, 1, guard=guard) as journal:
            with pytest.raises(OSError, match="the store is away"):
                journal.write("a")
            journal.write("b")
        assert [line["type"] for line in lines(folder)] == ["b"]


class TestEnd:
    def test_close_flushes_and_a_second_close_is_nothing(self, folder, patient):
        journal = JournalWriter(folder, 1)
        journal.log(1, {"loss": 1.0})
        journal.close()
        journal.close()
        assert len(lines(folder)) == 1

    def test_a_closed_writer_says_so(self, folder):
        journal = JournalWriter(folder, 1)
        journal.close()
        for call in (
            lambda: journal.log(1, {"loss": 1.0}),
            lambda: journal.write("a"),
            journal.flush,
            journal.positions,
        ):
            with pytest.raises(MlcoreError, match="the journal writer 1-main is closed"):
                call()

    def test_close_ends_the_thread(self, folder):
        with JournalWriter(folder, 1, "threaded"):
            assert "mlcore-journal-1-threaded" in {thread.name for thread in threading.enumerate()}
        eventually(lambda: "mlcore-journal-1-threaded" not in {thread.name for thread in threading.enumerate()})

    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_a_forked_child_is_told_to_open_its_own(self, folder, patient, journal):
        journal.log(1, {"loss": 1.0})
        receiver, sender = os.pipe()
        child = os.fork()
        if child == 0:
            said = []
            for call in (lambda: journal.log(2, {"loss": 2.0}), lambda: journal.write("a"), journal.flush):
                try:
                    call()
                except MlcoreError as error:
                    said.append(str(error))
            journal.close()
            os.write(sender, json.dumps(said).encode())
            os._exit(0)
        os.close(sender)
        os.waitpid(child, 0)
        with os.fdopen(receiver) as pipe:
            said = json.load(pipe)
        assert len(said) == 3
        assert all("belongs to process" in text and "hint: open a JournalWriter with another" in text for text in said)
        journal.log(3, {"loss": 3.0})
        journal.flush()
        assert read_journal(folder).series()["loss"].steps == [1, 3]


class TestSegments:
    @pytest.fixture
    def remote(self, request) -> Folder:
        return Folder(f"memory://journal-{request.node.name}/run")

    def keys(self, remote: Folder) -> list[str]:
        return [entry.key for entry in (remote / "journal").list()]

    def test_a_segment_is_put_on_sync_and_on_flush(self, remote, patient):
        with JournalWriter(remote, 1) as journal:
            assert self.keys(remote) == ["1-main.1.jsonl"]
            journal.write("a")
            assert self.keys(remote) == ["1-main.1.jsonl"], "it waits"
            journal.write("b", sync=True)
            assert self.keys(remote) == ["1-main.1.jsonl", "1-main.2.jsonl"]
            journal.write("c")
            assert journal.positions() == {"1-main": 3}
            assert len(self.keys(remote)) == 3
            journal.log(1, {"loss": 1.0})
        assert len(self.keys(remote)) == 4
        read = read_journal(remote)
        assert [(record.seq, record.type) for record in read.records()] == [(1, "a"), (2, "b"), (3, "c"), (4, "points")]
        assert not read.warnings

    def test_256_kb_are_a_segment(self, remote, patient):
        with JournalWriter(remote, 1) as journal:
            journal.write("a", text="x" * 270_000)
            eventually(lambda: len(self.keys(remote)) == 2)

    def test_a_segment_is_put_after_a_few_seconds(self, remote, monkeypatch):
        monkeypatch.setattr(sink, "SEGMENT_SECONDS", 0.0)
        monkeypatch.setattr(writer, "FLUSH_SECONDS", 0.01)
        with JournalWriter(remote, 1) as journal:
            journal.log(1, {"loss": 1.0})
            eventually(lambda: len(self.keys(remote)) == 2)

    def test_what_could_not_be_put_waits(self, remote, patient, monkeypatch):
        def broken(self, key, data, sync=True):
            raise StoreError("the network is away", where=key)

        with JournalWriter(remote, 1) as journal:
            journal.write("a")
            journal.log(1, {"loss": 1.0})
            with monkeypatch.context() as patch:
                patch.setattr(Folder, "put_bytes", broken)
                with pytest.raises(StoreError, match="the network is away"):
                    journal.write("b", sync=True)
                with pytest.raises(StoreError, match="the network is away"):
                    journal.flush()
            journal.write("c", sync=True)
        assert [record.type for record in read_journal(remote).records()] == ["a", "points", "b", "c"]
        assert [record.seq for record in read_journal(remote).records()] == [1, 2, 3, 4]

    def test_segments_are_read_by_number(self, remote, patient):
        with JournalWriter(remote, 1) as journal:
            for _ in range(12):
                journal.write("a", sync=True)
        assert [record.seq for record in read_journal(remote).records()] == list(range(1, 13))
