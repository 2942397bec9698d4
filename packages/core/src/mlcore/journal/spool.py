"""Journal segments that wait on this machine until they are in a store that cannot append.

    <spool>/<digest>/about.json    which run's folder, which writer; locked while that writer lives
                     <n>.jsonl     segment n, as it is or will be in the store: its content never changes once shipped

`<spool>` is `MLCORE_SPOOL`, or `spool` in the folder that the system has for the state of programs. What a killed
process leaves is shipped by `ship_spools`, as often as one likes: a segment has the same name and content each time.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from mlcore.errors import StoreError
from mlcore.store import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator

State: TypeAlias = Literal["shipped", "alive", "gone"]

_ABOUT = "about.json"
_SEGMENT = ".jsonl"
# Those of this process: the lock does not keep a process out of its own files.
_mine: set[Path] = set()


@dataclass(frozen=True, slots=True)
class Shipment:
    """What became of one spool.

    Args:
        run: URL of the run's folder.
        writer: `<attempt>-<writer>`.
        state: `shipped`; `alive`: its process still writes, and ships itself; `gone`: the store has no such run any
            more, and the spool was left as it is.
        segments: How many were shipped.
        path: Where the spool is, or was.
    """

    run: str
    writer: str
    state: State
    segments: int
    path: Path


def spool_root() -> Path:
    """Where spools are."""
    if named := os.environ.get("MLCORE_SPOOL"):
        return Path(named).absolute()
    import platformdirs

    return Path(platformdirs.user_state_dir("mlcore", appauthor=False), "spool")


class Spool:
    """The segments of one writer, in a folder of their own.

    Args:
        path: That folder.
        folder: The run's folder in the store.
        stem: Of the segments' keys: `journal/<attempt>-<writer>`.
    """

    def __init__(self, path: Path, folder: Folder, stem: str) -> None:
        self.path, self._folder, self._stem = path, folder, stem
        self._lock = _locked(path / _ABOUT)

    @classmethod
    def make(cls, folder: Folder, stem: str) -> Spool:
        """Begin a spool.

        Raises:
            StoreError: It cannot be written.
        """
        try:
            path = _place(folder, stem)
            path.mkdir(parents=True, exist_ok=True)
            (path / _ABOUT).write_text(json.dumps({"folder": folder.url, "stem": stem}) + "\n", encoding="utf-8")
            spool = cls(path, folder, stem)
        except OSError as error:
            raise StoreError(
                f"the spool of the journal cannot be written: {error.strerror or error}",
                where=str(spool_root()),
                hint="set MLCORE_SPOOL to a folder on a local disk that can be written",
            ) from error
        _mine.add(path)
        return spool

    def segment(self, number: int) -> Path:
        """The file of a segment."""
        return self.path / f"{number}{_SEGMENT}"

    def waiting(self) -> list[int]:
        """Numbers of the segments that are not known to be in the store, rising."""
        return sorted(int(path.stem) for path in self.path.glob(f"*{_SEGMENT}"))

    def ship(self) -> int:
        """Put every segment into the store and drop it here; an error leaves the rest for the next time."""
        numbers = self.waiting()
        for number in numbers:
            data = self.segment(number).read_bytes()
            whole = data[: data.rfind(b"\n") + 1]  # the last line of a killed process may be half
            if whole:
                self._folder.put_bytes(f"{self._stem}.{number}{_SEGMENT}", whole)
            self.segment(number).unlink()
        return len(numbers)

    def close(self) -> None:
        """Let go of it; it is removed when nothing waits in it."""
        if self._lock is None:
            return
        if not self.waiting():
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
        self._lock = None
        _mine.discard(self.path)

    @property
    def free(self) -> bool:
        """Whether it is locked for us."""
        return self._lock is not None


def ship_spools(place: str | None = None) -> Iterator[Shipment]:
    """Ship what processes that are no more left on this machine.

    Args:
        place: URL of a run's folder, or of a store; everything by default.

    Raises:
        StoreError: The store cannot be reached; what is not shipped stays.
    """
    root = spool_root()
    for about in sorted(root.glob(f"*/{_ABOUT}")):
        with suppress(FileNotFoundError):  # its writer ended meanwhile
            url, stem = _read(about)
            if place is None or f"{url}/".startswith(f"{place.rstrip('/')}/"):
                yield _ship(about.parent, url, stem)


def _ship(path: Path, url: str, stem: str) -> Shipment:
    writer = stem.rpartition("/")[2]
    spool = Spool(path, Folder(url), stem) if path not in _mine else None
    if spool is None or not spool.free:
        return Shipment(url, writer, "alive", 0, path)
    try:
        if not Folder(url).exists(f"{stem}.1{_SEGMENT}"):
            return Shipment(url, writer, "gone", 0, path)
        return Shipment(url, writer, "shipped", spool.ship(), path)
    finally:
        spool.close()


def _read(about: Path) -> tuple[str, str]:
    try:
        found = json.loads(about.read_text(encoding="utf-8"))
        return str(found["folder"]), str(found["stem"])
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(
            "this spool does not say which run it belongs to", where=str(about), hint="if it is not needed, remove it"
        ) from error


def _place(folder: Folder, stem: str) -> Path:
    if folder.url.startswith("memory://"):  # what is in the memory of a process dies with it, and so may this
        return Path(tempfile.mkdtemp(prefix="mlcore-spool-"))
    return spool_root() / sha256(f"{folder.url}\n{stem}".encode()).hexdigest()[:32]


def _locked(path: Path) -> int | None:
    """Lock a file for this process; None when another one has it. The lock goes with the process, however it ends."""
    import fcntl

    handle = os.open(path, os.O_RDWR)
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
