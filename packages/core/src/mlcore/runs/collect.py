"""Garbage collection: old trash, and blobs that nothing refers to.

A writer first stores blobs, then the record that refers to them, and then looks whether the blobs are still there.
The collector first moves unreferenced blobs aside, then reads all references again, and puts back what has been
referred to meanwhile. Whichever comes first, one of the two sees the other, so nothing that was acknowledged is lost.
The grace period only spares readers from finding a blob moved aside for a moment.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable
from contextlib import suppress
from dataclasses import dataclass

from mlcore.bundle import MANIFEST, Manifest
from mlcore.errors import KeyMissingError, MlcoreError
from mlcore.runs.trash import Discarded, discarded
from mlcore.store import Entry, Store

GRACE = 7 * 24 * 3600.0


@dataclass(frozen=True)
class Collected:
    """What was, or would be, removed.

    Args:
        runs: Ids of runs whose time in the trash is over.
        blobs: Digests of contents that nothing refers to.
        size: Of these blobs, in bytes.
    """

    runs: tuple[str, ...]
    blobs: tuple[str, ...]
    size: int


def collect(store: Store, *, grace: float = GRACE, dry_run: bool = False) -> Collected:
    """Empty the trash, and remove unreferenced blobs.

    Args:
        store: Which store.
        grace: What is younger stays, in seconds.
        dry_run: Only say what would go.

    Raises:
        CorruptError: A manifest is unreadable, so that nobody knows what it refers to; nothing was removed.
    """
    if not dry_run:
        _settle(store)
    before = time.time() - grace
    runs = [item for item in discarded(store) if item.time <= before]
    used = references(store)
    unused = [blob for blob in store.blobs.list() if blob.key not in used and (blob.modified or 0.0) <= before]
    if not dry_run:
        _empty(runs)
        unused = _remove(store, unused)
        store.folder.sweep()
    return Collected(
        tuple(item.run_id for item in runs), tuple(blob.key for blob in unused), sum(blob.size for blob in unused)
    )


def references(store: Store) -> set[str]:
    """Digests of all blobs that some bundle refers to, in runs, models, datasets and the trash."""
    return {
        entry.sha256
        for key in _manifests(store)
        for entry in Manifest.decode(store.folder.read_bytes(key), f"{store.url}/{key}").files.values()
        if entry.blob
    }


def _manifests(store: Store) -> Iterable[str]:
    for top in store.folder.list():
        if top.is_folder and top.key != "blobs":
            for entry in (store / top.key).list(recursive=True):
                if entry.key.rpartition("/")[2] == MANIFEST:
                    yield f"{top.key}/{entry.key}"


def _empty(runs: Iterable[Discarded]) -> None:
    for item in runs:
        item.folder.remove_tree("")


def _remove(store: Store, unused: list[Entry]) -> list[Entry]:
    """Set blobs aside, look again, put back what is used now, and remove the rest."""
    aside = {blob.key: blob for blob in unused if store.blobs.set_aside(blob.key)}
    _settle(store)
    return [blob for digest, blob in aside.items() if not store.blobs.has(digest)]


def _settle(store: Store) -> None:
    """Decide about every blob that is aside, those of a collector that was killed too."""
    aside = list(store.blobs.aside())
    try:
        used: Container[str] = references(store)
    except MlcoreError:
        _decide(store, aside, used=aside)  # nobody knows, so all of them go back
        raise
    _decide(store, aside, used)


def _decide(store: Store, aside: Iterable[str], used: Container[str]) -> None:
    for digest in aside:
        with suppress(KeyMissingError):  # another collector was quicker
            store.blobs.put_back(digest) if digest in used else store.blobs.forget(digest)
