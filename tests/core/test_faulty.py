"""The filesystem that fails on purpose, and what tries again."""

from __future__ import annotations

import errno
import uuid

import fsspec
import pytest

from mlcore.errors import KeyExistsError, KeyMissingError, StoreError
from mlcore.store import Folder, retries
from mlcore.store.troubles import is_transient
from mlcore.testing.faulty import faulty_url
from mlcore.testing.stores import StoreConformance

RATES = {"errors": 0.1, "lost": 0.05, "delays": 0.02, "pause": 0.001}


@pytest.fixture(autouse=True)
def pauses(monkeypatch, empty_memory):
    """How long it would have slept."""
    found: list[float] = []
    monkeypatch.setattr(retries, "_sleep", found.append)
    return found


class TestOverMemory(StoreConformance):
    def make_folder(self):
        return Folder(faulty_url(uuid.uuid4().hex, seed=1, **RATES))


class TestOverLocalFiles(StoreConformance):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path):
        self.root = tmp_path

    def make_folder(self):
        return Folder(faulty_url(str(self.root / uuid.uuid4().hex), "file", seed=1, **RATES))


def filesystem(url):
    return fsspec.core.url_to_fs(url)[0]


def test_the_same_seed_does_the_same():
    def course(seed, path):
        url = faulty_url(path, seed=seed, errors=0.5)
        fs, happened = filesystem(url), []
        fs._random.seed(seed)
        for number in range(50):
            try:
                fs.pipe_file(f"{path}/{number}", b"")
            except OSError as error:
                happened.append((number, type(error)))
        return happened

    assert course(4, "one") == course(4, "two") != course(5, "three")


def test_what_fails_for_good_fails_at_last_and_names_the_store(pauses):
    url = faulty_url("x", errors=1.0)
    with pytest.raises(StoreError, match=r"the store cannot be reached, or is overloaded: .*on purpose") as caught:
        Folder(url).put_bytes("key", b"")
    assert caught.value.where == f"{url}/key"
    assert "mlcore resume" in caught.value.hint
    assert len(pauses) == retries.TRIES - 1
    assert sum(pauses) <= 60
    assert all(0.05 * 2**number <= pause <= 0.15 * 2**number for number, pause in enumerate(pauses))


def test_patience_has_an_end(pauses, monkeypatch):
    clock = iter(range(0, 1000, 12))
    monkeypatch.setattr(retries.time, "monotonic", lambda: next(clock))
    with pytest.raises(StoreError):
        Folder(faulty_url("y", errors=1.0)).list()
    assert len(pauses) == 2


def test_a_creation_whose_answer_was_lost_is_ours():
    url = faulty_url("created", lost=0.4, seed=2)
    folder = Folder(url)
    for number in range(20):
        folder.create(f"{number}", b"mine")
        with pytest.raises(KeyExistsError):
            folder.create(f"{number}", b"yours")
        assert Folder("memory://created").read_bytes(f"{number}") == b"mine"
    assert filesystem(url).happened["lost"] > 3


def test_a_removal_whose_answer_was_lost_is_made():
    folder = Folder(faulty_url("removed", lost=0.4, seed=2))
    for number in range(20):
        folder.put_bytes(f"a/{number}", b"")
        folder.remove(f"a/{number}")
        with pytest.raises(KeyMissingError):
            folder.remove(f"a/{number}")


def test_a_torn_put_is_mended():
    url = faulty_url("torn", torn=0.5, seed=2)
    folder = Folder(url)
    for number in range(20):
        folder.put_bytes(f"{number}", b"content" * 100)
        assert folder.read_bytes(f"{number}") == b"content" * 100
    assert filesystem(url).happened["torn"] > 5


def test_errors_are_not_taken_for_absence():
    """What `exists`, `find` and `rm` of fsspec leave out when they fail."""
    calm = Folder("memory://absence")
    for number in range(30):
        calm.put_bytes(f"a/{number % 3}/{number}", b"")
    folder = Folder(faulty_url("absence", errors=0.4, seed=5))
    for _ in range(10):
        assert len(folder.list(recursive=True)) == 30
        assert folder.exists("a/0/0")
    folder.remove_tree("a")
    assert calm.list(recursive=True) == []


class Answer(Exception):
    def __init__(self, status):
        super().__init__(f"answered {status}")
        self.status = status


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (BrokenPipeError(errno.EPIPE, "pipe"), True),
        (OSError(errno.EBUSY, "busy"), True),
        (type("EndpointConnectionError", (Exception,), {})(), True),
        (Answer(503), True),
        (Answer(429), True),
        (Answer(400), False),
        (Answer(404), False),
        (PermissionError(errno.EACCES, "denied"), False),
        (FileNotFoundError(errno.ENOENT, "absent"), False),
        (FileExistsError(errno.EEXIST, "there"), False),
        (OSError(errno.ENOSPC, "full"), False),
        (ValueError("wrong"), False),
        (type("NoCredentialsError", (Exception,), {})(), False),
    ],
    ids=repr,
)
def test_what_is_tried_again(error, passes, pauses):
    tries = []

    def call():
        tries.append(1)
        raise error

    assert is_transient(error) is passes
    with pytest.raises(type(error)):
        retries.retrying(call)
    assert len(tries) == (retries.TRIES if passes else 1)


def test_the_cause_of_an_error_counts():
    error = OSError(errno.EIO, "something")
    error.__cause__ = Answer(500)
    assert is_transient(error)
