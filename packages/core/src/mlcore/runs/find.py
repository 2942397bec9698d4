"""Finding runs in a store: by id, unique prefix, name or path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mlcore.errors import KeyMissingError, RunError, nearest
from mlcore.runs.ids import is_id, month, tail
from mlcore.runs.view import RunView
from mlcore.store import Folder, Store


def list_runs(store: Store) -> Iterator[RunView]:
    """Every run of a store, the newest first; without those whose start was cut short."""
    for run_id in reversed(_ids(store)):
        view = RunView(store, run_folder(store, run_id))
        if view.folder.exists("run.json"):
            yield view


def run_folder(store: Store, run_id: str) -> Folder:
    """Where a run lives."""
    return store / "runs" / month(run_id) / run_id


def find_run(store: Store, wanted: str) -> RunView:
    """The run that an id, a unique prefix (of the id or its random part), a name or a path means.

    Of several runs with one name it is the newest.

    Raises:
        RunError: None is meant, or several; the message lists them.
    """
    path = Path(wanted)
    if (path / "run.json").is_file():
        return _at_path(path.resolve())
    ids = _ids(store)
    matching = [run_id for run_id in ids if run_id.startswith(wanted) or tail(run_id).startswith(wanted)]
    if wanted in matching:
        matching = [wanted]
    if len(matching) == 1:
        return RunView(store, run_folder(store, matching[0]))
    names = _by_name(store)
    if wanted in names:
        return names[wanted]
    if matching:
        shown = ", ".join(matching[-5:])
        raise RunError(
            f"{len(matching)} runs begin with {wanted!r}: {shown}", where=store.url, hint="give more of the id"
        )
    hint = nearest(wanted, [*names, *ids[-5:]]) if ids else "start one with: mlcore run FILE"
    raise RunError(f"there is no run {wanted!r}", where=store.url, hint=hint)


def _by_name(store: Store) -> dict[str, RunView]:
    found: dict[str, RunView] = {}
    for view in list_runs(store):
        with suppress(RunError):  # a run whose header is broken has no name
            found.setdefault(view.name, view)
    return found


def _at_path(path: Path) -> RunView:
    """A run by its folder; its store is three folders up, where a store's layout puts it."""
    root = path.parents[2] if len(path.parents) > 2 else path
    return RunView(Store(str(root)), Folder(str(path)))


def _ids(store: Store) -> list[str]:
    """Rising, so the oldest first."""
    try:
        months = [entry.key for entry in (store / "runs").list() if entry.is_folder]
        found = [entry.key for name in months for entry in (store / "runs" / name).list() if entry.is_folder]
    except KeyMissingError:
        return []
    return sorted(run_id for run_id in found if is_id(run_id))
