"""Deleting runs: first to the trash of their store, for good only when the trash is emptied.

trash/<seconds since the epoch>-<run id>/…    a run as it was
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from mlcore.errors import RunBusyError, RunError, nearest
from mlcore.runs.find import run_folder
from mlcore.runs.view import RunView
from mlcore.store import Folder, Store
from mlcore.store.copying import move_folder

TRASH = "trash"


@dataclass(frozen=True)
class Discarded:
    """A run in the trash.

    Args:
        run_id: Whose it is.
        time: When it was discarded, seconds since the epoch.
        folder: Where it is.
    """

    run_id: str
    time: float
    folder: Folder


def discard(view: RunView) -> Discarded:
    """Move a run to the trash. The models that it made stay.

    Raises:
        RunBusyError: It is running.
        RunError: It is a copy outside of a store, which has no trash.
    """
    if view.folder.url != run_folder(view.store, view.id).url:
        raise RunError("this is a copy of a run, outside of a store", where=view.folder.url, hint="remove the folder")
    if view.status == "running":
        raise RunBusyError(f"run {view.name} ({view.id}) is running", hint="stop it first")
    now = int(time.time())
    target = view.store / TRASH / f"{now}-{view.id}"
    move_folder(view.folder, target)
    return Discarded(view.id, now, target)


def restore(store: Store, run_id: str) -> RunView:
    """Move a run from the trash back to its place.

    Args:
        store: Whose trash.
        run_id: The id, or a unique beginning or end of it.

    Raises:
        RunError: It is not in the trash, or the text fits several.
    """
    found = list(discarded(store))
    fitting = [item for item in found if item.run_id.startswith(run_id) or item.run_id.endswith(run_id)]
    if len(fitting) != 1:
        what = (
            f"there is no run {run_id!r} in the trash" if not fitting else f"several runs in the trash fit {run_id!r}"
        )
        hint = nearest(run_id, [item.run_id for item in found]) if not fitting else "give the whole id"
        raise RunError(what, where=store.url, hint=hint)
    target = run_folder(store, fitting[0].run_id)
    move_folder(fitting[0].folder, target)
    return RunView(store, target)


def discarded(store: Store) -> Iterator[Discarded]:
    """Every run in the trash."""
    for entry in (store / TRASH).list():
        stamp, _, run_id = entry.key.partition("-")
        if entry.is_folder and stamp.isdecimal():
            yield Discarded(run_id, float(stamp), store / TRASH / entry.key)
