"""Stores that are full, closed, damaged or of another time, and runs that cannot be resumed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.commands.small_job import Desk, flip

from mlcore import load_model, save_model
from mlcore.errors import CorruptError
from mlcore.store import Folder, Store
from mlcore.versions import Models

MORE = "hooks.2.StopAfter.epochs=5"


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


@contextmanager
def mounted(path, size):
    """A small filesystem; only the superuser can have one."""
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", path], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def remount(path, options):
    subprocess.run(["mount", "-o", f"remount,{options}", path], check=True)


def mlcore(*argv, limit=None):
    """As a process of its own, which may be allowed only files of a certain size."""
    program = "from mlcore.cli import main; main()"
    if limit:
        program = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); {program}"
    command = [sys.executable, "-c", program, *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


# --- no room, no permission ---


def test_a_read_only_store_is_an_error_that_names_it(desk, tmp_path):
    with mounted(tmp_path / "disk", 400) as disk:
        remount(disk, "ro")
        done = desk.run("--store", disk / "store")
        done.refused(f"error: {disk}/store", "the filesystem is read-only", "hint: choose another store with --store")
        remount(disk, "rw")
        desk.run("--store", disk / "store").ok()
        remount(disk, "ro")
        assert "train" in desk.mlcore("ls", "--store", disk / "store").ok().out
        desk.mlcore("show", "train", "--store", disk / "store").ok()
        desk.mlcore("resume", "train", MORE, "--store", disk / "store").refused("the filesystem is read-only")


def test_a_disk_that_fills_up_leaves_nothing_torn_and_a_run_to_resume(desk, tmp_path):
    job = ["run", "train.yaml", "model.class=parts.Heavy", "hooks.2.StopAfter.epochs=12"]
    calm = desk.mlcore(*job, "--store", "calm", "--json").ok().json
    with mounted(tmp_path / "disk", 300) as disk:
        store = ["--store", disk / "store"]
        done = mlcore(*job, *store)
        assert done.returncode == 2, done.stderr
        assert f"error: {disk}/store" in done.stderr
        assert "the disk is full" in done.stderr or "No space left" in done.stderr
        assert "hint: free space or" in done.stderr
        assert "Traceback" not in done.stderr
        [run] = desk.mlcore("ls", "--json", *store).ok().json
        assert run["status"] in ("failed", "lost")
        for version in Path(disk).glob("store/models/*/v*"):
            assert Models(Store(str(disk / "store"))).resolve(f"model:line@{version.name}").bundle.manifest()
        full = mlcore("resume", "train", *store)
        assert full.returncode == 2, full.stderr
        assert "Traceback" not in full.stderr
        remount(disk, "size=20m")
        mended = mlcore("resume", "train", "--json", *store)
        assert mended.returncode == 0, mended.stderr
        assert json.loads(mended.stdout.splitlines()[-1])["metrics"] == calm["metrics"]
        for blob in Path(disk).glob("store/blobs/sha256/*/*"):
            Store(str(disk / "store")).blobs.verify(blob.parent.name + blob.name)


@pytest.mark.parametrize(
    ("limit", "place", "hint"),
    [
        (50, "/.mlcore/runs/", "hint: free space or choose another store"),
        (1_000, "/.mlcore/runs/", "hint: free space or choose another store"),
        (9_000, "", "there is no room for temporary files"),
    ],
)
def test_files_that_may_not_grow_are_an_error_that_names_the_place(desk, limit, place, hint):
    done = mlcore("run", "train.yaml", limit=limit)
    assert done.returncode == 2, done.stderr
    assert place in done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
    for run in desk.mlcore("ls", "--json").ok().json:
        assert run["status"] in ("failed", "lost")
        assert mlcore("resume", run["id"]).returncode == 0


# --- no store ---


def test_a_store_that_is_a_file_is_refused(desk):
    (desk.path / "file").write_text("")
    for command in (["run", "train.yaml"], ["ls"], ["show", "train"], ["resume", "train"]):
        desk.mlcore(*command, "--store", "file").refused(f"{desk.path}/file", "the store is a file")
    assert desk.mlcore("doctor", "--store", "file").code == 1


@pytest.mark.parametrize(
    ("marker", "fragments"),
    [
        ('{"format": 99}', ("the store has format 99", "hint: a newer mlcore wrote it: pip install --upgrade")),
        ("{", ("mlcore.json does not say the format", "hint: ")),
    ],
)
def test_a_store_of_another_format_is_refused_and_left_alone(desk, marker, fragments):
    (desk.path / "other").mkdir()
    (desk.path / "other" / "mlcore.json").write_text(marker)
    for command in (["run", "train.yaml"], ["ls"], ["show", "train"], ["resume", "train"]):
        desk.mlcore(*command, "--store", "other").refused(*fragments)
    doctor = desk.mlcore("doctor", "--store", "other")
    assert doctor.code == 1
    assert fragments[0] in doctor.out
    assert [path.name for path in (desk.path / "other").iterdir()] == ["mlcore.json"]


def test_looking_makes_no_store(desk):
    assert "there are no runs yet" in desk.mlcore("ls").ok().err
    desk.mlcore("show", "x").refused("there is no run 'x'", "hint: start one with: mlcore run FILE")
    desk.mlcore("resume", "x").refused("there is no run 'x'")
    desk.untouched()


# --- runs that cannot be resumed ---


def test_a_run_that_does_not_exist_is_told_with_the_nearest(desk):
    desk.run("--name", "first").ok()
    desk.mlcore("resume", "frist").refused("there is no run 'frist'", "did you mean 'first'?")


def test_a_finished_run_is_not_resumed_without_a_change(desk):
    desk.run().ok()
    [run] = desk.runs()
    done = desk.mlcore("resume", "train")
    done.refused("is finished: there is nothing to go on with", f"mlcore resume {run.name} KEY=VALUE")
    assert [path.name for path in (run / "attempts").iterdir()] == ["1.json"]
    assert len(desk.mlcore("resume", "train", MORE, "--json").ok().json["metrics"]) == 2
    assert [row["epoch"] for row in desk.mlcore("show", "train", "--json").json["epochs"]] == [1, 2, 3, 4, 5]


def test_a_running_run_is_not_resumed(desk):
    (desk.path / "slow.py").write_text(
        "import time\nfrom parts import Data\n\n\nclass Slow(Data):\n    def valid_stream(self):\n"
        "        print('here', flush=True)\n        time.sleep(600)\n"
    )
    command = [
        sys.executable,
        "-c",
        "from mlcore.cli import main; main()",
        "run",
        "train.yaml",
        "dataset.class=slow.Slow",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout.readline()
        done = desk.mlcore("resume", "train")
        done.refused(f"is still running: pid {process.pid}", "hint: stop it first, or take it over with --takeover")
        assert desk.mlcore("ls", "--json").json[0]["status"] == "running"
        process.send_signal(signal.SIGKILL)
    [run] = desk.mlcore("ls", "--json").json
    assert run["status"] == "lost"
    desk.mlcore("resume", "train", "dataset.class=parts.Data").ok()


def test_a_bad_override_makes_no_attempt(desk):
    desk.run().ok()
    [run] = desk.runs()
    desk.mlcore("resume", "train", "model.class=parts.Lin").refused("override 'model.class=parts.Lin'", "'Line'")
    desk.mlcore("resume", "train", "hooks.7=1").refused("no index 7")
    assert [path.name for path in (run / "attempts").iterdir()] == ["1.json"]


# --- rot ---


@pytest.mark.parametrize(
    "part", ["state.json", "arrays.npz", "model/line.json", "manifest.json", "model/manifest.json"]
)
def test_a_rotten_checkpoint_is_passed_over_with_a_line(desk, part):
    desk.run().ok()
    [run] = desk.runs()
    flip(run / "checkpoints" / "3" / part)
    done = desk.mlcore("resume", "train", MORE).ok()
    told = [line for line in done.err.splitlines() if line.startswith("checkpoint 3 was passed over: ")]
    assert len(told) == 1
    assert part.rpartition("/")[2] in told[0]
    assert "attempt 2, from checkpoint 2" in done.err
    assert [row["epoch"] for row in desk.mlcore("show", "train", "--json").json["epochs"]] == [1, 2, 3, 4, 5]


def test_with_all_checkpoints_rotten_a_run_begins_at_the_beginning_and_says_so(desk):
    calm = desk.run(MORE, "--json").ok().json
    desk.run("--name", "other").ok()
    run = desk.runs()[-1]
    for path in run.glob("checkpoints/*/state.json"):
        flip(path)
    done = desk.mlcore("resume", "other", MORE, "--json").ok()
    assert "checkpoint 3 was passed over" in done.err
    assert "checkpoint 2 was passed over" in done.err
    assert "from the beginning: there is no complete checkpoint" in done.err
    assert done.json["metrics"] == calm["metrics"]


def test_a_rotten_blob_is_told_put_aside_and_healed_by_the_next_save(desk, monkeypatch):
    desk.run("--store", "store").ok()
    monkeypatch.syspath_prepend(desk.path)
    store = Store("store")
    model = load_model("model:line@latest", store=store)
    entry = Models(store).resolve("model:line@latest").manifest.files["line.json"]
    blob = desk.path / "store" / "blobs" / "sha256" / entry.sha256[:2] / entry.sha256[2:]
    flip(blob)
    with pytest.raises(CorruptError, match=r"line\.json"):
        load_model("model:line@latest", store=store)
    assert list((desk.path / "store" / "blobs" / "quarantine").iterdir())
    assert not blob.exists()
    Models(store).save(model, "healed")
    assert load_model("model:line@latest", store=store).w.tolist() == model.w.tolist()


def test_a_rotten_bundle_is_told_with_its_file(desk, monkeypatch):
    monkeypatch.syspath_prepend(desk.path)
    from parts import Line

    save_model(Line(), Folder("bundle"))
    flip(desk.path / "bundle" / "line.json")
    with pytest.raises(CorruptError, match=r"line\.json"):
        load_model("bundle")


RECORDS = {
    "torn": b"{",
    "a number": b"5",
    "of another kind": b'{"number": 1}',
    "not UTF-8": b"\xff\xfe\xfd",
    "empty": b"",
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("record", ["run.json", "attempts/1.json"])
@pytest.mark.parametrize("case", RECORDS)
def test_a_record_that_cannot_be_read_is_told_and_hides_no_other_run(desk, record, case):
    desk.run("--name", "good").ok()
    desk.run("--name", "bad").ok()
    bad = next(run for run in desk.runs() if json.loads((run / "run.json").read_text())["name"] == "bad")
    (bad / record).write_bytes(RECORDS[case])
    done = desk.mlcore("ls", "--json").ok()
    assert [run["name"] for run in done.json] == ["good"]
    warnings = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert str(bad / record) in warnings[0]
    for command in ("show", "resume"):
        desk.mlcore(command, bad.name).refused(str(bad / record), "this record cannot be read", "hint: ")
    desk.mlcore("show", "good").ok()


def test_what_a_newer_mlcore_added_to_a_record_is_ignored(desk):
    desk.run().ok()
    [run] = desk.runs()
    for record in ("run.json", "attempts/1.json"):
        data = json.loads((run / record).read_text())
        (run / record).write_text(json.dumps({**data, "later": [1]}))
    assert desk.mlcore("ls", "--json").ok().json[0]["status"] == "finished"
    desk.mlcore("resume", "train", MORE).ok()


@pytest.mark.parametrize("text", [b"a: [", b"\xff", b""])
def test_a_stored_config_that_cannot_be_read_is_told(desk, text):
    desk.run().ok()
    [run] = desk.runs()
    (run / "config.yaml").write_bytes(text)
    assert desk.mlcore("ls", "--json").ok().json[0]["name"] == "train"
    for command in (["show", "train"], ["resume", "train", MORE]):
        desk.mlcore(*command).refused(f"{run}/config.yaml")
    (run / "config.yaml").unlink()
    for command in (["show", "train"], ["resume", "train", MORE]):
        desk.mlcore(*command).refused(f"{run}/config.yaml", "nothing is stored there")


def test_a_rotten_journal_costs_its_lines_only(desk):
    desk.run().ok()
    [run] = desk.runs()
    path = run / "journal" / "1-main.1.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    rotten = {"epoch": lambda line: line.replace(b'"epoch"', b'"epocj"'), "status": lambda line: b"\x00" * 10 + b"\n"}
    for kind, spoil in rotten.items():
        at = next(
            index
            for index, line in enumerate(lines)
            if b'"type": "%b"' % kind.encode() in line or b'"type":"%b"' % kind.encode() in line
        )
        path.write_bytes(b"".join([*lines[:at], spoil(lines[at]), *lines[at + 1 :]]))
        desk.mlcore("ls").ok()
        desk.mlcore("show", "train").ok()


def test_a_run_of_another_folder_goes_on_where_it_was(desk, tmp_path, monkeypatch):
    desk.run().ok()
    [run] = desk.runs()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    desk.mlcore("resume", str(run), MORE).ok()
    assert not list((tmp_path / "elsewhere").iterdir())
