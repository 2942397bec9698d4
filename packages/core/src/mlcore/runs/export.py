"""Taking a run along: its folder and the versions that it made, copied into another store."""

from __future__ import annotations

from mlcore.errors import KeyExistsError, RunError
from mlcore.runs.find import run_folder
from mlcore.runs.view import RunView
from mlcore.store import Store
from mlcore.store.copying import copy_folder
from mlcore.versions import Models, copy_version


def export_run(view: RunView, target: Store) -> RunView:
    """Copy a run and its models into another store, which may be empty or hold other runs.

    Copying again brings what is new. A run that is still running is copied as it stands.

    Args:
        view: The run.
        target: The store to copy into; made if it is not there.

    Raises:
        RunError: It is the run's own store, or a model's name belongs to another model there.
    """
    if target.url == view.store.url:
        raise RunError("a run cannot be exported into its own store", where=target.url, hint="name another folder")
    target.prepare()
    for made in view.models:
        try:
            copy_version(Models(view.store), Models(target), made["name"], made["version"])
        except KeyExistsError:
            raise RunError(
                f"the store has another model of the name {made['name']!r}",
                where=target.url,
                hint="export into an empty folder",
            ) from None
    folder = run_folder(target, view.id)
    copy_folder(view.folder, folder)
    return RunView(target, folder)
