"""Moving and copying folders, within a store and between stores."""

from __future__ import annotations

import os

from mlcore.errors import StoreError
from mlcore.store.folder import Folder


def copy_folder(source: Folder, target: Folder) -> int:
    """Copy all files below a folder; those that are there with the same size stay.

    Returns:
        How many files were copied.
    """
    there = {entry.key: entry.size for entry in target.list(recursive=True)}
    wanted = [entry for entry in source.list(recursive=True) if there.get(entry.key) != entry.size]
    for entry in wanted:
        with source.open(entry.key) as file:
            target.put_stream(entry.key, file)
    return len(wanted)


def move_folder(source: Folder, target: Folder) -> None:
    """Move a folder to where none is: by a rename locally, elsewhere by copying and removing.

    Raises:
        StoreError: The target exists, or the folder cannot be moved.
    """
    if target.list():
        raise StoreError("there is something already", where=target.url, hint="move or remove it first")
    if source.local is None or target.local is None:
        copy_folder(source, target)
        source.remove_tree("")
        return
    try:
        target.local.parent.mkdir(parents=True, exist_ok=True)
        os.rename(source.local, target.local)  # noqa: PTH104 - Path.rename says the same in more words
    except OSError as error:
        raise StoreError(f"the folder cannot be moved: {error}", where=source.url) from error
