"""The race test: do processes that create one key at the same time have exactly one winner?

A filesystem that nothing is known of may promise it or not; here it is tried. What passed is recorded in the store, in
`exclusive.json`, and counts from then on. A racing process reads a key a line, creates it with several threads, and
answers with the names of those that won.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from mlcore.errors import StoreError

if TYPE_CHECKING:
    from mlcore.store.files import Files
    from mlcore.store.folder import Folder

RECORD: Final = "exclusive.json"
PROCESSES, THREADS = 2, 2
_ROUNDS, _SECONDS, _LEAST = 200, 10.0, 30


@dataclass(frozen=True, slots=True)
class Race:
    """How a race went.

    Args:
        filesystem: What was tried, by the name of its class.
        rounds: How many keys were raced for.
        racers: How many threads of how many processes raced for each.
        fault: What went wrong; None when it passed.
    """

    filesystem: str
    rounds: int
    racers: str
    fault: str | None = None


def passed(files: Files) -> bool:
    """Whether a folder has a record of a race that its filesystem passed."""
    try:
        with files.open(RECORD) as file:
            found = json.load(file)
        return bool(found["passed"] is True and found["filesystem"] == _name(files))
    except (OSError, ValueError, TypeError, KeyError):  # no record, or none that can be read: not proven
        return False


def run_race(folder: Folder) -> Race:
    """Let processes race for keys in a scratch folder, and record it if they always had one winner.

    Raises:
        StoreError: The store failed on the way.
    """
    scratch = folder / f"race-{os.urandom(6).hex()}"
    name, racers = _name(folder._files), f"{THREADS} threads in each of {PROCESSES} processes"
    programs = [_start(scratch) for _ in range(PROCESSES)]
    try:
        rounds, fault = _race(scratch, programs)
    finally:
        for program in programs:
            program.communicate()
        scratch.remove_tree("")
    race = Race(name, rounds, racers, fault)
    if fault is None:
        record = {"passed": True, **asdict(race), "time": time.time()}
        folder.put_bytes(RECORD, json.dumps(record, indent=1).encode() + b"\n")
    return race


def _race(scratch: Folder, programs: list[subprocess.Popen[str]]) -> tuple[int, str | None]:
    began = time.monotonic()
    for number in range(_ROUNDS):
        if number >= _LEAST and time.monotonic() - began > _SECONDS:
            return number, None
        key = f"key-{number}"
        if fault := _round(scratch, key, programs):
            return number + 1, f"round {number + 1}: {fault}"
    return _ROUNDS, None


def _round(scratch: Folder, key: str, programs: list[subprocess.Popen[str]]) -> str | None:
    for program in programs:
        _tell(program, key)
    won = [name for program in programs for name in _answer(program)]
    if len(won) != 1:
        return f"{len(won)} racers created the same key"
    content = scratch.read_bytes(key).decode(errors="replace")
    return None if content == won[0] else f"{won[0]} created the key, and it holds the content of {content or 'nobody'}"


def _start(scratch: Folder) -> subprocess.Popen[str]:
    module, _, kind = _name(scratch._files).partition(":")
    program = f"import sys; from {__name__} import racer; racer(*sys.argv[1:])"
    command = [sys.executable, "-c", program, scratch.url, module, kind]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": path}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _tell(program: subprocess.Popen[str], key: str) -> None:
    with suppress(BrokenPipeError):  # it has ended; its answer will say why
        assert program.stdin is not None  # noqa: S101 - it is a pipe
        program.stdin.write(f"{key}\n")
        program.stdin.flush()


def _answer(program: subprocess.Popen[str]) -> list[str]:
    assert program.stdout is not None  # noqa: S101 - it is a pipe
    line = program.stdout.readline()
    if not line:
        error = program.communicate()[1].strip().splitlines()
        raise StoreError(
            f"a racing process failed: {error[-1] if error else 'it said nothing'}",
            hint="the filesystem must be known to fsspec in every process: by an entry point of its package",
        )
    return line.split()


def _name(files: Files) -> str:
    """The class of a filesystem, as `module:Name`; for a local one, of our own."""
    kind: Any = type(files) if files.local is not None else type(files._fs)  # type: ignore[attr-defined]
    return f"{kind.__module__}:{kind.__qualname__}"


def _register(module: str, kind: str) -> None:
    """Make a filesystem known that its package made known only when it was imported."""
    import fsspec

    with suppress(ImportError):
        found = getattr(importlib.import_module(module), kind, None)
        protocols = getattr(found, "protocol", ())
        for protocol in (protocols,) if isinstance(protocols, str) else protocols:
            if protocol not in fsspec.registry:
                fsspec.register_implementation(protocol, found)


def racer(url: str, module: str, kind: str) -> None:
    """Be one of the racing processes."""
    from mlcore.errors import KeyExistsError
    from mlcore.store.folder import Folder

    if "://" in url:
        _register(module, kind)
    folder = Folder(url)

    def create(key: str, name: str) -> bool:
        with suppress(KeyExistsError):
            folder.create(key, name.encode(), sync=False)
            return True
        return False

    names = [f"{os.getpid()}-{number}" for number in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        for line in sys.stdin:
            won = pool.map(create, [line.strip()] * THREADS, names)
            sys.stdout.write(" ".join(name for name, first in zip(names, won, strict=True) if first) + "\n")
            sys.stdout.flush()
