from __future__ import annotations

import json
import math
import time
from array import array

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlcore.errors import StoreError
from mlcore.journal import Journal, JournalWriter, Point, number_from_json, number_to_json, read_file, read_journal
from mlcore.store import Folder

KEY = "journal/1-main.1.jsonl"


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(str(tmp_path / "run"))


def record(seq: int, kind: str = "mark", **fields) -> bytes:
    return json.dumps({"seq": seq, "time": 1.5, "type": kind, **fields}).encode() + b"\n"


def points(seq: int, steps=(1,), times=None, values=None, series="loss") -> bytes:
    columns = {"times": list(times or steps), "values": list(values or steps)}
    return record(seq, "points", series=series, steps=list(steps), **columns)


def put(folder: Folder, *lines: bytes, key: str = KEY) -> Folder:
    folder.put_bytes(key, b"".join(lines))
    return folder


def seqs(journal: Journal) -> list[int]:
    return [found.seq for found in journal.records()]


class TestReading:
    def test_a_run_without_a_journal_reads_as_empty(self, folder):
        journal = read_journal(folder)
        assert (journal.records(), journal.series(), journal.warnings, journal.notes) == ([], {}, [], [])
        assert journal.last("loss") is None
        assert journal.positions() == {}

    def test_a_record_keeps_where_it_came_from(self, folder):
        put(folder, record(1, "status", status="running", reason=None), key="journal/3-worker_2.1.jsonl")
        (found,) = read_journal(folder).records("status")
        assert (found.attempt, found.writer, found.seq, found.time, found.type) == (3, "worker_2", 1, 1.5, "status")
        assert found.fields == {"status": "running", "reason": None}
        assert read_journal(folder).records("other") == []

    def test_series_join_their_chunks_in_order_of_appearance(self, folder):
        put(folder, points(1, [1, 2], series="b"), points(2, [1], series="a"), points(3, [2.5], [9], ["NaN"], "b"))
        series = read_journal(folder).series()
        assert list(series) == ["b", "a"]
        assert series["b"].steps == [1, 2, 2.5]
        assert series["b"].times == array("d", [1, 2, 9])
        assert list(series["b"].values)[:2] == [1, 2]
        assert math.isnan(series["b"].values[2])

    def test_infinities_come_back(self, folder):
        put(folder, points(1, [1, 2, 3], values=["Infinity", "-Infinity", 0]))
        assert list(read_journal(folder).series()["loss"].values) == [math.inf, -math.inf, 0]

    def test_last_is_the_last_point(self, folder):
        put(folder, points(1, [5, 3], [7, 8], [0.5, 0.25]))
        journal = read_journal(folder)
        assert journal.last("loss") == Point(step=3, time=8, value=0.25)
        assert journal.last("acc") is None

    def test_order_is_attempt_writer_seq_and_never_the_clock(self, folder):
        for attempt, writer, time_ in [(10, "main", 1), (2, "worker_10", 2), (2, "main", 3), (1, "main", 4)]:
            for step in (1, 2):
                line = {"seq": step, "time": time_, "type": "points", "series": "loss"}
                line |= {"steps": [attempt * 10 + step], "times": [time_], "values": [0.5]}
                old = folder.read_bytes(f"journal/{attempt}-{writer}.1.jsonl") if step == 2 else b""
                put(folder, old, json.dumps(line).encode() + b"\n", key=f"journal/{attempt}-{writer}.1.jsonl")
        journal = read_journal(folder)
        assert [(r.attempt, r.writer, r.seq) for r in journal.records()] == [
            (1, "main", 1), (1, "main", 2), (2, "main", 1), (2, "main", 2),
            (2, "worker_10", 1), (2, "worker_10", 2), (10, "main", 1), (10, "main", 2),
        ]  # fmt: skip
        assert journal.series()["loss"].steps == [11, 12, 21, 22, 21, 22, 101, 102]
        assert journal.positions() == {"1-main": 2, "2-main": 2, "2-worker_10": 2, "10-main": 2}

    def test_segments_are_ordered_as_numbers(self, folder):
        for number in range(1, 12):
            put(folder, record(number), key=f"journal/1-main.{number}.jsonl")
        journal = read_journal(folder)
        assert seqs(journal) == list(range(1, 12))
        assert not journal.warnings


class TestCut:
    """What an earlier attempt wrote past the point from which the run was resumed does not count."""

    @pytest.fixture
    def chain(self, folder) -> Folder:
        for attempt, count in [(1, 57), (2, 30), (3, 10), (4, 5)]:
            put(folder, *(record(seq) for seq in range(1, count + 1)), key=f"journal/{attempt}-main.1.jsonl")
        put(folder, *(record(seq) for seq in range(1, 21)), key="journal/1-worker.1.jsonl")
        return folder

    def read(self, chain, keep, attempt) -> dict[str, int]:
        journal = read_journal(chain, keep=keep, attempt=attempt)
        assert journal.warnings == []
        counts: dict[str, int] = {}
        for found in journal.records():
            name = f"{found.attempt}-{found.writer}"
            counts[name] = counts.get(name, 0) + 1
            assert found.seq == counts[name]
        return counts

    def test_resumed_past_an_attempt_drops_all_of_it(self, chain):
        assert self.read(chain, {"1-main": 40}, 3) == {"1-main": 40, "3-main": 10}

    def test_a_chain_keeps_a_part_of_each(self, chain):
        keep = {"1-main": 40, "1-worker": 7, "2-main": 12, "3-main": 10}
        assert self.read(chain, keep, 4) == {**keep, "4-main": 5}

    def test_resumed_from_nothing_keeps_nothing(self, chain):
        assert self.read(chain, {}, 2) == self.read(chain, None, 2) == {"2-main": 30}
        assert self.read(chain, {"1-main": 0}, 2) == {"2-main": 30}

    def test_later_attempts_do_not_count(self, chain):
        assert self.read(chain, None, 1) == {"1-main": 57, "1-worker": 20}
        assert self.read(chain, {"1-main": 3, "2-main": 30, "4-main": 3}, 1) == {"1-main": 57, "1-worker": 20}

    def test_without_an_attempt_all_of_all_count(self, chain):
        every = {"1-main": 57, "1-worker": 20, "2-main": 30, "3-main": 10, "4-main": 5}
        assert self.read(chain, None, None) == self.read(chain, {"1-main": 3}, None) == every

    def test_what_was_kept_but_is_not_there_is_told(self, chain):
        journal = read_journal(chain, keep={"1-main": 60, "1-other": 4}, attempt=2)
        assert journal.warnings == [
            "journal/1-main: ends at record 57, but the run was resumed from record 60: the rest is missing",
            "journal/1-other: ends at record 0, but the run was resumed from record 4: the rest is missing",
        ]

    def test_points_are_cut_at_their_chunk(self, folder):
        put(folder, points(1, [1, 2]), record(2, "checkpoint"), points(3, [3, 4]))
        put(folder, points(1, [3]), key="journal/2-main.1.jsonl")
        assert read_journal(folder, keep={"1-main": 2}, attempt=2).series()["loss"].steps == [1, 2, 3]

    def test_a_resumed_run_reads_without_missing_or_repeated_steps(self, folder):
        with JournalWriter(folder, 1) as journal:
            journal.log(1, {"loss": 1.0})
            keep = journal.positions()
            journal.log(2, {"loss": 2.0})
        with JournalWriter(folder, 2) as journal:
            journal.log(2, {"loss": 2.5})
            keep |= journal.positions()
            journal.log(3, {"loss": 3.5})
        with JournalWriter(folder, 3) as journal:
            journal.log(3, {"loss": 3.0})
        series = read_journal(folder, keep=keep, attempt=3).series()["loss"]
        assert (series.steps, list(series.values)) == ([1, 2, 3], [1.0, 2.5, 3.0])


BAD = {
    b"": "not JSON: Expecting value at column 1",
    b"\x00\xff\xfe": "not UTF-8 at column 2",
    b"{": "not JSON: Expecting property name",
    b"[1]": "not a JSON object",
    b"{}": "seq is not a positive integer",
    b'{"seq":true,"time":1,"type":"a"}': "seq is not a positive integer",
    b'{"seq":0,"time":1,"type":"a"}': "seq is not a positive integer",
    b'{"seq":1e5,"time":1,"type":"a"}': "seq is not a positive integer",
    b'{"seq":9223372036854775808,"time":1,"type":"a"}': "seq is not a positive integer",
    b'{"seq":2,"time":"now","type":"a"}': "time is not a number",
    b'{"seq":2,"time":1e999,"type":"a"}': "time is not a number",
    b'{"seq":2,"time":NaN,"type":"a"}': "not JSON: a bare NaN",
    b'{"seq":2,"time":1,"type":["a"]}': "type is not text",
    b'{"seq":2,"time":1,"type":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}": "nested too deeply",
    b'{"seq":' + b"9" * 5000 + b',"time":1,"type":"a"}': "not JSON: Exceeds the limit",
    b'{"seq":2,"time":1,"type":"points"}': "points without the name of their series",
    points(2).replace(b'"steps": [1]', b'"steps": {}').strip(): "points without steps",
    points(2, values=[1, 2]).strip(): "differ in length",
    points(2, steps=["x"], times=[1], values=[1]).strip(): "points that are not numbers",
    points(2, steps=[1], times=[None], values=[1]).strip(): "points that are not numbers",
    points(2, values=["nan"]).strip(): "points that are not numbers",
    points(2, values=[[1]]).strip(): "points that are not numbers",
    points(2, values=[10**400]).strip(): "points that are not numbers",
    points(2, steps=[10**400], times=[1], values=[1]).strip(): "points that are not numbers",
    points(2).replace(b"[1]", b"[1e999]", 1).strip(): "points with a step or time that is not finite",
}


class TestDamage:
    @pytest.mark.parametrize(("line", "reason"), BAD.items(), ids=[reason[:30] for reason in BAD.values()])
    def test_garbage_costs_its_line_and_is_told(self, folder, line, reason):
        put(folder, record(1), line + b"\n", record(2), points(3, [7]))
        journal = read_journal(folder)
        assert seqs(journal) == [1, 2, 3]
        (warning,) = journal.warnings
        assert warning.startswith("journal/1-main.1.jsonl line 2: not a record, skipped (")
        assert reason in warning
        assert len(warning) < 250
        assert journal.series()["loss"].steps == [7]

    def test_an_overwritten_line_leaves_a_gap_that_is_told(self, folder):
        put(folder, record(1), b"garbage\n", record(3))
        assert read_journal(folder).warnings == [
            "journal/1-main.1.jsonl line 2: not a record, skipped (not JSON: Expecting value at column 1)",
            "journal/1-main.1.jsonl line 3: seq 3 after seq 1: what lay between is missing",
        ]

    def test_a_missing_beginning_is_told(self, folder):
        put(folder, record(4))
        assert read_journal(folder).warnings == [
            "journal/1-main.1.jsonl line 1: seq 4 after seq 0: what lay between is missing"
        ]

    def test_a_missing_segment_is_told(self, folder):
        put(folder, record(1), key="journal/1-main.1.jsonl")
        put(folder, record(5), key="journal/1-main.3.jsonl")
        assert read_journal(folder).warnings == [
            "journal/1-main.3.jsonl line 1: seq 5 after seq 1: what lay between is missing"
        ]

    def test_a_line_that_stands_twice_counts_once(self, folder):
        put(folder, record(1), record(2, "a"), record(2, "b"), record(3))
        journal = read_journal(folder)
        assert [found.type for found in journal.records()] == ["mark", "a", "mark"]
        assert journal.warnings == ["journal/1-main.1.jsonl line 3: not a record, skipped (seq 2 after seq 2)"]

    def test_a_segment_that_stands_twice_counts_once(self, folder):
        put(folder, record(1), record(2))
        put(folder, record(1), record(2), record(3), key="journal/1-main.2.jsonl")
        journal = read_journal(folder)
        assert seqs(journal) == [1, 2, 3]
        assert len(journal.warnings) == 2

    def test_a_flipped_digit_of_a_seq_costs_that_line_only(self, folder):
        put(folder, record(1), record(92), record(3), record(4))
        journal = read_journal(folder)
        assert seqs(journal) == [1, 3, 4]
        assert journal.warnings == [
            "journal/1-main.1.jsonl line 2: not a record, skipped (seq 92 is out of order)",
            "journal/1-main.1.jsonl line 3: seq 3 after seq 1: what lay between is missing",
        ]

    @pytest.mark.parametrize("torn", [record(2)[:-1], record(2)[:-2], b"{", b"\xff"])
    def test_an_unfinished_last_line_is_left_out_with_a_note(self, folder, torn):
        put(folder, record(1), torn)
        journal = read_journal(folder)
        assert seqs(journal) == [1]
        assert journal.warnings == []
        assert journal.notes == ["journal/1-main.1.jsonl line 2: unfinished, left out"]

    def test_what_is_no_journal_file_is_left_out_and_told(self, folder):
        put(folder, record(1))
        strange = ["01-main.1.jsonl", "1-main.jsonl", "1-ma-in.1.jsonl", "1-main.1.jsonl~", "notes.txt"]
        for name in strange:
            put(folder, record(1), key=f"journal/{name}")
        (folder.local / "journal" / "2-main.1.jsonl").mkdir()
        journal = read_journal(folder)
        assert seqs(journal) == [1]
        assert sorted(journal.warnings) == sorted(
            f"journal/{name}: not a journal file, left out" for name in [*strange, "2-main.1.jsonl"]
        )


class TestFollowing:
    def test_reading_goes_on_where_it_ended(self, folder):
        put(folder, record(1), record(2), record(3)[:10])
        first, offset, warnings = read_file(folder, KEY)
        assert [found.seq for found in first] == [1, 2]
        assert warnings == []
        put(folder, record(1), record(2), record(3), points(4, [1]), record(5)[:1])
        second, offset, warnings = read_file(folder, KEY, offset, after=2)
        assert [found.seq for found in second] == [3, 4]
        assert warnings == []
        third, again, warnings = read_file(folder, KEY, offset, after=4)
        assert (third, again, warnings) == ([], offset, [])

    def test_a_gap_before_the_offset_is_told_when_it_can_be_known(self, folder):
        put(folder, record(1), record(3), b"?\n")
        offset = len(record(1))
        unknown = read_file(folder, KEY, offset)[2]
        known = read_file(folder, KEY, offset, after=1)[2]
        place = f"journal/1-main.1.jsonl line {{}} after byte {offset}: "
        skipped = place.format(2) + "not a record, skipped (not JSON: Expecting value at column 1)"
        assert unknown == [skipped]
        assert known == [skipped, place.format(1) + "seq 3 after seq 1: what lay between is missing"]

    def test_other_files_are_refused(self, folder):
        with pytest.raises(StoreError, match=r"run\.json: not the name of a journal file\n  hint: such files"):
            read_file(folder, "run.json")

    def test_a_growing_journal_is_followed_without_loss(self, folder):
        offset, after, steps = 0, 0, []
        with JournalWriter(folder, 1) as journal:
            for step in range(2000):
                journal.log(step, {"loss": 0.5})
                if step % 100 == 0:
                    journal.write("mark", step=step)
                    found, offset, warnings = read_file(folder, KEY, offset, after=after)
                    after = found[-1].seq if found else after
                    steps += [s for line in found if line.type == "points" for s in line.fields["steps"]]
                    assert warnings == []
        found, _, _ = read_file(folder, KEY, offset)
        steps += [s for line in found if line.type == "points" for s in line.fields["steps"]]
        assert steps == list(range(2000))


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
COLUMN = st.lists(st.integers() | NUMBERS | st.sampled_from(["NaN", "Infinity", "x", None, True, 10**400]), max_size=3)
ALMOST = st.fixed_dictionaries(
    {"seq": st.integers(-1, 6) | JSON, "time": NUMBERS | JSON, "type": st.sampled_from(["points", "a"]) | JSON},
    optional={"series": st.text(max_size=3) | JSON, "steps": COLUMN | JSON, "times": COLUMN | JSON, "values": COLUMN},
).map(lambda value: json.dumps(value).encode())
LINE = st.binary(max_size=60) | ALMOST | JSON.map(lambda value: json.dumps(value).encode()) | st.just(points(3))


class TestFuzz:
    @settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(before=st.lists(LINE, max_size=4), after=st.lists(LINE, max_size=4))
    def test_nothing_raises_and_every_lost_line_is_told(self, folder, before, after):
        put(folder, *(line + b"\n" for line in before), points(10, [1.5]), *(line + b"\n" for line in after))
        journal = read_journal(folder)
        count = folder.read_bytes(KEY).count(b"\n")
        skipped = [line for line in journal.warnings if "not a record, skipped" in line]
        assert len(journal.records()) + len(skipped) == count
        assert sorted(seqs(journal)) == sorted(set(seqs(journal)))
        for series in journal.series().values():
            assert len(series.steps) == len(series.times) == len(series.values)
            assert all(math.isfinite(step) for step in series.steps)

    @settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_one_damaged_byte_costs_at_most_its_line_and_the_next(self, folder, data):
        lines = [record(seq, text="abc") if seq % 2 else points(seq, [seq]) for seq in range(1, 9)]
        whole = bytearray(b"".join(lines))
        place = data.draw(st.integers(0, len(whole) - 2))
        whole[place] = data.draw(st.integers(0, 255))
        journal = read_journal(put(folder, bytes(whole)))
        assert len(journal.records()) >= 6
        assert len(journal.records()) == 8 or journal.warnings

    @settings(max_examples=100)
    @given(value=NUMBERS)
    def test_any_float_comes_back_by_its_name(self, value):
        back = number_from_json(json.loads(json.dumps(number_to_json(value), allow_nan=False)))
        assert back == value or (math.isnan(back) and math.isnan(value))

    @settings(max_examples=50)
    @given(rows=st.lists(st.tuples(st.integers(-(2**62), 2**62) | st.floats(-1e9, 1e9), NUMBERS), max_size=20))
    def test_points_come_back_as_they_were_logged(self, rows):
        folder = Folder(f"memory://journal-points-{time.monotonic_ns()}")
        with JournalWriter(folder, 1) as journal:
            for step, value in rows:
                journal.log(step, {"a": value}, time=1.25)
        series = read_journal(folder).series().get("a")
        assert [(step, str(value)) for step, value in rows] == (
            list(zip(series.steps, map(str, series.values), strict=True)) if series else []
        )
        assert not series or set(series.times) == {1.25}

    @pytest.mark.parametrize("value", ["nan", "", None, [], {}])
    def test_other_names_are_no_numbers(self, value):
        with pytest.raises(TypeError):
            number_from_json(value)
