"""The files of a run that people read: a local folder, and text files in it that grow by appending.

In a local store the folder is `<run>/files` itself. For any other store it is a working copy, shipped at checkpoints
and at the end.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TextIO

from mlcore.errors import KeyMissingError
from mlcore.store import Folder, files_below, safe_name
from mlcore.store.faults import Faults


class RunFiles:
    """The files of one run.

    Args:
        folder: The run's folder in the store.
        lengths: Appended file to its length in bytes at the checkpoint that the run goes on from.
    """

    def __init__(self, folder: Folder, lengths: Mapping[str, int]) -> None:
        self._folder, self._lengths = folder / "files", lengths
        self._open: dict[str, TextIO] = {}
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._scratch: list[tempfile.TemporaryDirectory[str]] = []
        # What the store has of the working copy, by name: size and time of the file that was put or fetched.
        self._shipped: dict[str, tuple[int, int]] = {}
        for name, length in lengths.items():
            _cut(self.directory / name, length)

    @cached_property
    def directory(self) -> Path:
        """The local folder, made on first use."""
        if self._folder.local is not None:
            with self._faults():
                self._folder.local.mkdir(parents=True, exist_ok=True)
            return self._folder.local
        self._copy = tempfile.TemporaryDirectory(prefix="mlcore-run-")
        self._folder.fetch_tree("", self._copy.name)
        self._shipped = self._present(Path(self._copy.name))
        return Path(self._copy.name)

    @staticmethod
    def _present(directory: Path) -> dict[str, tuple[int, int]]:
        found = ((name, path.stat()) for name, path in files_below(directory))
        return {name: (info.st_size, info.st_mtime_ns) for name, info in found}

    def append(self, name: str) -> TextIO:
        """Open a file for appending; what was written after the checkpoint is cut off first."""
        if name not in self._open:
            path = self.directory / safe_name(name)
            with self._faults():
                _cut(path, self._lengths.get(name, 0))
                self._open[name] = path.open("a", encoding="utf-8")
        return self._open[name]

    def lengths(self) -> dict[str, int]:
        """Flush, and say how long each file is now; a file that was not opened again keeps its old length."""
        with self._faults():
            for file in self._open.values():
                file.flush()
        return {**self._lengths, **{name: file.tell() for name, file in self._open.items()}}

    def _faults(self) -> Faults:
        return Faults(self._folder.url)

    def ship(self) -> None:
        """Write what was appended, and bring what has changed in the working copy, if there is one, to the store."""
        self.lengths()
        if self._copy is None:
            return
        present = self._present(self.directory)
        for name, facts in present.items():
            if self._shipped.get(name) != facts:
                self._folder.put_file(name, self.directory / name)
                self._shipped[name] = facts
        for name in self._shipped.keys() - present.keys():
            with suppress(KeyMissingError):
                self._folder.remove(name)
            del self._shipped[name]

    def scratch(self) -> Path:
        """A new, empty local folder that is gone after the run."""
        self._scratch.append(tempfile.TemporaryDirectory(prefix="mlcore-run-"))
        return Path(self._scratch[-1].name)

    def close(self) -> None:
        """Close all files and drop the working copy."""
        for file in self._open.values():
            with suppress(OSError):  # there is no room for the rest, which `ship` has told
                file.close()
        self._open.clear()
        for folder in self._scratch:
            folder.cleanup()
        if self._copy is not None:
            self._copy.cleanup()


def _cut(path: Path, length: int) -> None:
    """Cut off what was written after a checkpoint."""
    if path.exists() and path.stat().st_size > length:
        os.truncate(path, length)
