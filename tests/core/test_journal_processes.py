"""Real processes: killed at any moment, or writing beside each other."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlcore.journal import Journal, JournalWriter, read_journal
from mlcore.store import Folder

ENDLESS = """
import os, sys, time
from mlcore.journal import JournalWriter
from mlcore.store import Folder

folder, seed = sys.argv[1], int(sys.argv[2])
journal = JournalWriter(Folder(folder), 1)
step = 0
while True:
    for _ in range(seed % 7 * 20 + 1):
        step += 1
        journal.log(step, {"loss": step / 3, "acc": step / 7})
    seq = journal.write("mark", sync=seed % 5 == 0, step=step, text="x" * (seed % 11 * 500))
    os.write(1, f"{seq} {step}\\n".encode())
    time.sleep(seed % 10 / 2000)
"""

COUNTED = """
import sys
from mlcore.journal import JournalWriter
from mlcore.store import Folder

folder, writer, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
with JournalWriter(Folder(folder), 1, writer) as journal:
    sys.stdin.readline()
    for step in range(steps):
        journal.log(step, {f"loss_{writer}": step / 3, "shared": step})
        if step % 100 == 0:
            journal.write("mark", writer=writer, step=step)
"""

SILENT = """
import sys, time
from mlcore.journal import JournalWriter
from mlcore.store import Folder

journal = JournalWriter(Folder(sys.argv[1]), 1)
journal.log(1, {"loss": 0.5})
print("logged", flush=True)
time.sleep(60)
"""

UNCLOSED = """
import sys
from mlcore.journal import JournalWriter
from mlcore.store import Folder

journal = JournalWriter(Folder(sys.argv[1]), 1)
for step in range(5000):
    journal.log(step, {"loss": 0.5})
"""

INTERRUPTED = """
import sys, time
from mlcore.journal import JournalWriter
from mlcore.store import Folder

journal = JournalWriter(Folder(sys.argv[1]), 1)
count = 0
try:
    print("ready", flush=True)
    while True:
        journal.log(count, {"loss": 0.5})
        journal.write("mark", sync=True, count=count)
        count += 1
except KeyboardInterrupt:
    journal.write("status", sync=True, status="interrupted", count=count)
    journal.close()
"""


@pytest.fixture
def start():
    """Start programs, and leave none of them behind."""
    running: list[subprocess.Popen[bytes]] = []

    def start(program: str, *arguments: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", program, *map(str, arguments)]
        # Unbuffered: what a buffer had read ahead would be missing from what communicate() gives.
        running.append(subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def read(folder: Path) -> Journal:
    return read_journal(Folder(str(folder)))


def check_killed(folder: Path, said: list[tuple[int, int]]) -> None:
    journal = read(folder)
    assert journal.warnings == []
    marks = {record.seq: record.fields for record in journal.records("mark")}
    for seq, step in said:
        assert marks[seq]["step"] == step, "an acknowledged record is there"
    series = journal.series()
    for name, part in (("loss", 3), ("acc", 7)):
        steps = series[name].steps if name in series else []
        assert steps == list(range(1, len(steps) + 1)), "nothing missing, repeated or torn"
        assert list(series[name].values if steps else []) == [step / part for step in steps]
        assert len(steps) >= max((step for _, step in said), default=0), "and the points before it"


@pytest.mark.parametrize("batch", range(3))
def test_what_was_acknowledged_survives_a_kill_at_any_moment(tmp_path, start, batch):
    moments = random.Random(batch)
    running = []
    for number in range(10):
        folder = tmp_path / str(number)
        running.append((folder, start(ENDLESS, folder, batch * 10 + number)))
    assert all(process.stdout.readline() for _, process in running), "each has begun"
    for folder, process in running:
        time.sleep(moments.uniform(0, 0.1))
        process.kill()
        said = process.communicate()[0].split(b"\n")[:-1]
        check_killed(folder, [(int(seq), int(step)) for seq, step in (line.split() for line in said)])


def test_points_are_on_disk_soon_though_nothing_else_happens(tmp_path, start):
    process = start(SILENT, tmp_path)
    assert process.stdout.readline() == b"logged\n"
    deadline = time.monotonic() + 20
    while read(tmp_path).last("loss") is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert read(tmp_path).series()["loss"].steps == [1]


def test_a_program_that_ends_without_close_loses_nothing(tmp_path, start):
    process = start(UNCLOSED, tmp_path)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert read(tmp_path).series()["loss"].steps == list(range(5000))


def test_an_interrupt_in_the_middle_of_a_write_spoils_nothing(tmp_path, start):
    processes = [(tmp_path / str(number), start(INTERRUPTED, tmp_path / str(number))) for number in range(8)]
    for folder, process in processes:
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.01 + 0.005 * int(folder.name))
        process.send_signal(signal.SIGINT)
    for folder, process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
        journal = read(folder)
        assert journal.warnings == journal.notes == []
        counts = [record.fields["count"] for record in journal.records("mark")]
        (status,) = journal.records("status")
        assert counts == list(range(len(counts)))
        assert len(counts) - status.fields["count"] in (0, 1), "the write that was waited for happened or not"
        assert journal.series()["loss"].steps[: len(counts)] == counts


def finish(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:  # all wait for a line, so that they write at the same time
        process.stdin.write(b"go\n")
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0


def test_8_processes_journal_into_one_store(tmp_path, start):
    finish([start(COUNTED, tmp_path / "runs" / str(number), "main", 2000) for number in range(8)])
    for number in range(8):
        journal = read(tmp_path / "runs" / str(number))
        assert journal.warnings == journal.notes == []
        assert journal.series()["loss_main"].steps == list(range(2000))
        assert list(journal.series()["loss_main"].values) == [step / 3 for step in range(2000)]
        assert [record.fields["step"] for record in journal.records("mark")] == list(range(0, 2000, 100))


def test_4_processes_are_writers_of_one_run(tmp_path, start):
    writers = ["main", "worker_1", "worker_2", "worker_3"]
    finish([start(COUNTED, tmp_path, writer, 2000) for writer in writers])
    journal = read(tmp_path)
    assert journal.warnings == journal.notes == []
    for writer in writers:
        assert journal.series()[f"loss_{writer}"].steps == list(range(2000))
        marks = [record for record in journal.records("mark") if record.writer == writer]
        assert [record.fields["step"] for record in marks] == list(range(0, 2000, 100))
        assert all(record.fields["writer"] == writer for record in marks)
    assert journal.series()["shared"].steps == list(range(2000)) * 4
    assert set(journal.positions()) == {f"1-{writer}" for writer in writers}


def test_one_of_many_gets_a_name(tmp_path, start):
    processes = [start(COUNTED, tmp_path, "main", 100) for _ in range(4)]
    for process in processes:
        process.communicate(b"go\n", timeout=60)
    assert sorted(process.returncode for process in processes) == [0, 1, 1, 1]
    assert read(tmp_path).series()["loss_main"].steps == list(range(100))


def test_files_are_not_inherited_by_programs(tmp_path):
    with JournalWriter(Folder(str(tmp_path)), 1) as journal:
        assert not os.get_inheritable(journal._sink._fd)
