"""Stores on S3, as s3fs reaches it: a local server plays S3."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from functools import wraps
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from s3fs import S3FileSystem
from s3fs.errors import translate_boto_error
from tests.integration.conftest import PATIENCE, Done

import mlcore
from mlcore.errors import KeyExistsError, KeyMissingError, StoreError
from mlcore.journal import ship_spools
from mlcore.runs import list_runs
from mlcore.store import Folder, Store, race, retries
from mlcore.testing.stores import StoreConformance

HERE = Path(__file__).parent
JOB = HERE / "shaky" / "train.yaml"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
# How often a run is killed; 50 once before a release.
KILLS = int(os.environ.get("MLCORE_TEST_S3_KILLS", "6"))


@pytest.fixture(scope="session")
def server():
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(HERE / "s3_server.py")], env={**os.environ, **KEYS}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    process.stdin.close()
    process.wait(timeout=PATIENCE)
    process.stdout.close()


@contextmanager
def bucket(server, patch):
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": server, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        patch.setenv(name, value)
    S3FileSystem.clear_instance_cache()
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    S3FileSystem(skip_instance_cache=True).mkdir(name)
    yield f"s3://{name}"
    S3FileSystem.clear_instance_cache()


@pytest.fixture(autouse=True)
def s3(server, monkeypatch):
    with bucket(server, monkeypatch) as place:
        yield place


class TestConformance(StoreConformance):
    @pytest.fixture(autouse=True)
    def _bucket(self, s3):
        self.bucket = s3

    def make_folder(self):
        folder = Folder(f"{self.bucket}/{uuid.uuid4().hex}")
        assert folder.exclusive == "atomic"
        return folder


def test_processes_that_race_for_keys_have_one_winner(s3, monkeypatch):
    monkeypatch.setattr(race, "_SECONDS", 0.0)
    folder = Folder(f"{s3}/store")
    found = race.run_race(folder)
    assert (found.fault, found.rounds) == (None, 30)
    assert [entry.key for entry in folder.list()] == [race.RECORD], "something is left of the race"


def test_an_answer_that_was_lost_does_not_lose_the_creation(s3, monkeypatch):
    """Also when it is botocore that tries again, of which nobody hears."""
    real, calls = S3FileSystem._pipe_file, []

    @wraps(real)
    async def twice(*args, **options):
        calls.append(args)
        await real(*args, **options)
        return await real(*args, **options)

    monkeypatch.setattr(S3FileSystem, "_pipe_file", twice)
    folder = Folder(f"{s3}/store")
    folder.create("key", b"mine")
    assert calls
    with pytest.raises(KeyExistsError):
        folder.create("key", b"yours")
    assert folder.read_bytes("key") == b"mine"


class Machine:
    """A computer: a home, a folder to work in, and `mlcore` on a store elsewhere."""

    def __init__(self, path, store):
        self.home, self.desk, self.store = path / "home", path / "desk", store
        self.home.mkdir(parents=True)
        self.desk.mkdir()

    def mlcore(self, *argv, moment=None):
        program = [sys.executable, "-W", "ignore"]
        main = ["-c", "from mlcore.cli import main; main()"]
        main = main if moment is None else [str(HERE / "s3_killed.py"), str(moment), str(self.desk / "count")]
        environment = {name: value for name, value in os.environ.items() if name != "MLCORE_SPOOL"}
        environment |= {"HOME": str(self.home), "XDG_STATE_HOME": str(self.home / "state"), "PYTHONSAFEPATH": "1"}
        done = subprocess.run(
            [*program, *main, *map(str, argv), "--store", self.store],
            cwd=self.desk, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def spooled(self):
        return list(self.home.glob("state/mlcore/spool/*/*.jsonl"))


def facts(store):
    """All that must not depend on how often a run was killed."""
    [view] = list_runs(Store(store))
    assert view.journal.warnings == []
    return {
        "status": view.status,
        "series": {name: (points.steps, list(points.values)) for name, points in view.journal.series().items()},
        "epochs": [(epoch["epoch"], epoch["metrics"]) for epoch in view.epochs],
        "models": [(model["version"], model["digest"], model["aliases"]) for model in view.models],
        "checkpoints": [(checkpoint["step"], checkpoint["best"]) for checkpoint in view.checkpoints],
        "table": view.folder.read_bytes("files/table.csv"),
    }


@pytest.fixture(scope="module")
def undisturbed(server, tmp_path_factory):
    """What the job comes to, and how many requests it makes."""
    with pytest.MonkeyPatch.context() as patch, bucket(server, patch) as place:
        machine = Machine(tmp_path_factory.mktemp("undisturbed") / "one", f"{place}/store")
        machine.mlcore("run", JOB, moment=0).ok()
        found = facts(machine.store)
        assert found["status"] == "finished"
        assert found["table"].count(b"\n") == 4
        assert machine.spooled() == [], "something stays in the spool of a run that finished"
        return found, int((machine.desk / "count").read_text())


def test_the_job_comes_to_the_same_as_in_a_local_store(undisturbed, tmp_path):
    mlcore.run(JOB, store=str(tmp_path))
    assert facts(str(tmp_path)) == undisturbed[0]


@pytest.mark.parametrize("number", range(KILLS))
def test_a_killed_run_goes_on_here_or_elsewhere(number, s3, undisturbed, tmp_path):
    expected, requests = undisturbed
    moment = random.Random(number).randrange(1, requests) if KILLS > 6 else requests * (2 * number + 1) // (2 * KILLS)
    here = Machine(tmp_path / "here", f"{s3}/store")
    assert here.mlcore("run", JOB, moment=moment if number % 2 else -moment).code == -9
    found = list(list_runs(Store(here.store)))
    if not found:
        assert moment < requests / 4
        return
    [view] = found
    if number % 3:
        here.mlcore("runs", "sync").ok()
        assert here.spooled() == []
        elsewhere = Machine(tmp_path / "elsewhere", here.store)
        done = elsewhere.mlcore("resume", view.id)
    else:
        done = here.mlcore("resume", view.id)
        assert here.spooled() == []
    assert done.code == 0 or "is finished" in done.err, done.err
    assert facts(here.store) == expected


WRITER = """
import sys, time
import mlcore
with mlcore.start_run(store=sys.argv[1], name="long") as run:
    for step in range(1_000_000):
        run.log(step, loss=float(step))
        if step % 100 == 50:
            run.checkpoint({"step": step}, step=step)
            print(step, flush=True)
        time.sleep(0.01)
"""


def test_what_the_loss_of_a_machine_costs(s3, tmp_path, monkeypatch):
    """With the spool the points of the last seconds are there; without it those up to the checkpoint are."""
    program = subprocess.Popen(
        [sys.executable, "-c", WRITER, f"{s3}/store"], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "MLCORE_SPOOL": str(tmp_path / "spool")},
    )  # fmt: skip
    for _ in range(3):
        checkpointed = int(program.stdout.readline())
    time.sleep(0.7)
    program.kill()
    program.communicate()
    [view] = list_runs(Store(f"{s3}/store"))
    without = view.journal.series()["loss"].steps
    assert without == [*range(len(without))]
    assert len(without) > checkpointed, "what the checkpoint counts on is not in the store"
    monkeypatch.setenv("MLCORE_SPOOL", str(tmp_path / "spool"))
    shipped = list(ship_spools(view.folder.url))
    assert [shipment.state for shipment in shipped] == ["shipped"]
    assert list(ship_spools(view.folder.url)) == []
    [view] = list_runs(Store(f"{s3}/store"))
    steps = view.journal.series()["loss"].steps
    assert steps == [*range(len(steps))]
    assert len(steps) >= len(without)
    assert view.journal.warnings == []


def test_a_bucket_that_is_not_there(s3):
    for call in (
        lambda store: store.open(),
        lambda store: store.prepare(),
        lambda store: store.folder.list(),
        lambda store: store.folder.list(recursive=True),
        lambda store: store.folder.put_bytes("key", b""),
        lambda store: store.folder.create("key", b""),
    ):
        with pytest.raises(StoreError, match="there is no such bucket") as caught:
            call(Store("s3://nobody-has-this-bucket/store"))
        assert not isinstance(caught.value, KeyMissingError)
        assert "check its name" in caught.value.hint


def test_no_credentials(s3, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    S3FileSystem.clear_instance_cache()
    with pytest.raises(StoreError, match="there are no credentials that work: Unable to locate credentials") as caught:
        Store(f"{s3}/store").prepare()
    assert "docs/stores.md" in caught.value.hint


def test_nobody_answers(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    S3FileSystem.clear_instance_cache()
    monkeypatch.setattr(retries, "_sleep", lambda seconds: None)
    with pytest.raises(StoreError, match="the store cannot be reached, or is overloaded: Could not connect") as caught:
        Store(f"{s3}/store").open()
    assert "check the network and the store's address" in caught.value.hint


@pytest.mark.parametrize(
    ("code", "what", "hint"),
    [
        ("RequestTimeTooSkewed", "this machine's clock differs too much from the store's", "set the clock"),
        ("InvalidAccessKeyId", "the access key is not known there", "check the credentials"),
        ("SignatureDoesNotMatch", "the secret key is wrong", "check the credentials"),
        ("AccessDenied", "access was denied", "check the credentials"),
        ("ExpiredToken", "the credentials have expired", "get new ones"),
        ("PermanentRedirect", "the bucket is in another region", "set the region"),
        ("SlowDown", "the store cannot be reached, or is overloaded", "check the network"),
    ],
)
def test_what_s3_refuses(code, what, hint, s3, monkeypatch):
    """As s3fs tells it; the local server refuses nothing."""
    calls = []

    def refusing(real):
        @wraps(real)
        async def refuse(*_args, **_options):
            calls.append(code)
            raise translate_boto_error(ClientError({"Error": {"Code": code, "Message": f"told: {code}"}}, "PutObject"))

        return refuse

    monkeypatch.setattr(retries, "_sleep", lambda seconds: None)
    for name in ("_pipe_file", "_info", "_ls"):
        monkeypatch.setattr(S3FileSystem, name, refusing(getattr(S3FileSystem, name)))
    folder = Folder(f"{s3}/store")
    for call in (lambda: folder.put_bytes("key", b""), lambda: folder.create("key", b""), folder.list):
        calls.clear()
        with pytest.raises(StoreError, match=what) as caught:
            call()
        assert caught.value.hint.startswith(hint)
        assert caught.value.where.startswith(folder.url)
        assert len(calls) == (retries.TRIES if code == "SlowDown" else 1)
