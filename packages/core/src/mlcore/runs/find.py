"""Finding runs in a store: by id, unique prefix, name or path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mlcore.errors import KeyMissingError, MlcoreError, RunError, nearest
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
    """The run that an id, a name, a unique prefix (of an id or its random part), a path or a URL means.

    Of several runs with one name it is the newest. A name goes before a prefix.

    Raises:
        RunError: None is meant, or several; the message lists them.
    """
    found = run_at(wanted)
    if found is not None:
        return found
    ids = _ids(store)
    if wanted in ids:
        return RunView(store, run_folder(store, wanted))
    names = _by_name(store)
    if wanted in names:
        return names[wanted]
    matching = [run_id for run_id in ids if wanted and (run_id.startswith(wanted) or tail(run_id).startswith(wanted))]
    if len(matching) == 1:
        return RunView(store, run_folder(store, matching[0]))
    if matching:
        shown = ", ".join(matching[-5:])
        what = f"{len(matching)} runs begin with {wanted!r}: {'…, ' * (len(matching) > 5)}{shown}"
        raise RunError(what, where=store.url, hint="give more of the id")
    hint = nearest(wanted, [*names, *ids[-5:]]) if ids else "start one with: mlcore run FILE"
    raise RunError(f"there is no run {wanted!r}", where=store.url, hint=hint)


def run_at(place: str) -> RunView | None:
    """The run whose folder is at a path or URL; its store is three folders up, where a store's layout puts it."""
    remote = "://" in place
    if not (Folder(place).exists("run.json") if remote else _is_run(place)):
        return None
    url = place.rstrip("/") if remote else str(Path(place).resolve())
    return RunView(Store("/".join(url.split("/")[:-3]) or "/"), Folder(url))


def _is_run(path: str) -> bool:
    try:
        return bool(path) and (Path(path) / "run.json").is_file()
    except (OSError, ValueError):  # what can be no path is a name
        return False


def _by_name(store: Store) -> dict[str, RunView]:
    found: dict[str, RunView] = {}
    for view in list_runs(store):
        with suppress(MlcoreError):  # a run whose header is broken has no name
            found.setdefault(view.name, view)
    return found


def _ids(store: Store) -> list[str]:
    """Rising, so the oldest first."""
    try:
        months = [entry.key for entry in (store / "runs").list() if entry.is_folder]
        found = [entry.key for name in months for entry in (store / "runs" / name).list() if entry.is_folder]
    except KeyMissingError:
        return []
    return sorted(run_id for run_id in found if is_id(run_id))
