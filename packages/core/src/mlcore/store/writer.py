"""The one process that may write to a store whose filesystem cannot create a file exclusively.

    writer.json    which process that is, while it writes

Where `Folder.exclusive` is "atomic" there is no such file, and any number of processes write. Elsewhere the second one
is refused as long as the first is alive, or may be: whether a process of another machine is, cannot be told. Two that
begin within the same moment may both be let in; then the one that wrote the file first is refused at its next claim,
which a run makes before each shipment of its journal and before each checkpoint.
"""

from __future__ import annotations

import atexit
import json
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Final

from mlcore.errors import KeyMissingError, MlcoreError, StoreError
from mlcore.store.process import Process

if TYPE_CHECKING:
    from mlcore.store.folder import Folder

KEY: Final = "writer.json"


class Writer:
    """The right to write to a store.

    Args:
        folder: The store's.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder, self._claimed = folder, False

    @cached_property
    def _shared(self) -> bool:
        return self._folder.exclusive == "atomic"

    def claim(self) -> None:
        """Be the writer, or one of several where there may be several.

        Raises:
            StoreError: Another process is, and this store takes one at a time.
        """
        if self._shared or self._is_mine():
            return
        self._folder.put_bytes(KEY, json.dumps(asdict(Process.current())).encode() + b"\n")
        if not self._claimed:
            self._claimed = True
            atexit.register(self._release_at_exit)
        self._is_mine()  # somebody may have written it since

    def release(self) -> None:
        """Let others write."""
        if self._claimed and self._holder() == Process.current():
            with suppress(KeyMissingError):
                self._folder.remove(KEY)

    def _is_mine(self) -> bool:
        holder = self._holder()
        if holder is None or holder == Process.current():
            return holder is not None
        if holder.alive() is False:
            return False
        raise StoreError(
            f"another process writes to this store: pid {holder.pid} on {holder.host}",
            where=self._folder.url,
            hint="its filesystem is not known to keep two writers apart: wait for that process, or use another store; "
            f"`mlcore doctor --store URL` tries whether it can. If that machine is gone for good, remove {KEY}",
        )

    def _holder(self) -> Process | None:
        try:
            return Process(**json.loads(self._folder.read_bytes(KEY)))
        except KeyMissingError:
            return None
        except (ValueError, TypeError):  # half of it, from a process that died writing it
            return None

    def _release_at_exit(self) -> None:
        with suppress(MlcoreError):  # a file that stays names a dead process
            self.release()
