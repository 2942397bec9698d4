"""A store: a folder with a format marker and blobs."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final

from mlcore.errors import CorruptError, KeyExistsError, KeyMissingError, StoreError
from mlcore.store.blobs import Blobs
from mlcore.store.folder import Folder
from mlcore.store.upgrades import MARKER, marker, upgrade
from mlcore.store.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from mlcore.store.files import Exclusive

# The store layout that this mlcore writes, and the newest that it reads.
FORMAT: Final = 1


class Store:
    """Where runs, models and blobs are kept.

    Args:
        url: A path or a URL; see `Folder`.

    Example:
        >>> store = Store("memory://example-store").prepare()
        >>> store.exists()
        True
        >>> store / "runs"
        Folder('memory://example-store/runs')
    """

    def __init__(self, url: Folder | str | os.PathLike[str]) -> None:
        self.folder = url if isinstance(url, Folder) else Folder(url)
        self.blobs = Blobs(self.folder / "blobs")
        self.writer = Writer(self.folder)

    def __truediv__(self, key: str) -> Folder:
        return self.folder / key

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    @property
    def url(self) -> str:
        """Where it is."""
        return self.folder.url

    @property
    def local(self) -> Path | None:
        """Its path; None when it is not on this machine's filesystem."""
        return self.folder.local

    @property
    def exclusive(self) -> Exclusive:
        """What `Folder.create` promises here."""
        return self.folder.exclusive

    def exists(self) -> bool:
        """Whether something was ever stored."""
        return self.folder.exists(MARKER)

    def open(self) -> Self:
        """Check that this mlcore can read the store. A folder without a marker is an empty store.

        Nothing is written, but where an older mlcore wrote the store: it is upgraded.

        Raises:
            StoreError: A newer mlcore wrote it, or it is no folder.
            CorruptError: The marker is unreadable.
        """
        try:
            stored = self.folder.read_bytes(MARKER)
        except KeyMissingError:
            if self.local and self.local.exists() and not self.local.is_dir():
                raise StoreError("the store is a file", where=self.url, hint="name a folder with --store") from None
            return self
        number = _format(stored, self.url)
        self._check(number)
        upgrade(self.folder, number, FORMAT)
        return self

    def _check(self, number: int) -> None:
        if number > FORMAT:
            raise StoreError(
                f"the store has format {number}; this mlcore knows formats up to {FORMAT}",
                where=self.url,
                hint="a newer mlcore wrote it: pip install --upgrade mlcore-core, or choose another store with --store",
            )

    def prepare(self) -> Self:
        """Make the store if there is none; several processes may do so at once.

        A local store in a folder of its own keeps itself out of git.

        Raises:
            StoreError: It lets one process write at a time, and another one does.
        """
        self.writer.claim()
        if not self.exists():
            if self.local and not self.folder.list():
                self._create(".gitignore", b"*\n")
            self._create(MARKER, marker(FORMAT))
        return self.open()

    def _create(self, key: str, data: bytes) -> None:
        try:
            self.folder.create(key, data)
        except KeyExistsError:
            return  # by another process, which writes the same


def _format(marker: bytes, url: str) -> int:
    try:
        number = json.loads(marker)["format"]
    except (ValueError, TypeError, KeyError):
        number = None
    if type(number) is not int or number < 1:
        raise CorruptError(
            f"{MARKER} does not say the format",
            where=url,
            hint=f'if this is a store, put {{"format": {FORMAT}}} into {MARKER}; if not, choose another with --store',
        )
    return number
