"""The files of a local folder that a user names: which they are, and what they are called in a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mlcore.errors import StoreError
from mlcore.store.faults import Faults
from mlcore.store.keys import check_key

if TYPE_CHECKING:
    from collections.abc import Iterator


def open_file(path: Path) -> BinaryIO:
    """Open a user's file.

    Raises:
        StoreError: It is not there, or is not a file.
    """
    with Faults(str(path), reading=True):
        if not path.is_file():
            raise StoreError("there is no such file", where=str(path))
        return path.open("rb")


def files_below(directory: Path) -> list[tuple[str, Path]]:
    """Keys and paths of all files below a folder, sorted. Links within the folder are followed.

    Raises:
        StoreError: There is no such folder, a name is no valid key, or something is neither file nor folder: a link
            out of the folder, a broken link, a link to a folder above it, a socket.
    """
    if not directory.is_dir():
        raise StoreError("there is no such folder", where=str(directory))
    with Faults(str(directory)):
        return sorted(_walk(directory, "", (directory.resolve(),)))


def _walk(folder: Path, prefix: str, above: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
    for path in folder.iterdir():
        key = check_key(f"{prefix}{path.name}")
        real = path.resolve() if path.is_symlink() else path
        if path.is_symlink() and not real.is_relative_to(above[0]):
            raise StoreError(f"this link points out of {above[0]}", where=str(path), hint="replace it by what it names")
        if path.is_dir() and real.resolve() not in above:
            yield from _walk(path, f"{key}/", (*above, real.resolve()))
        elif path.is_file():
            yield key, path
        else:
            raise StoreError("this is neither a file nor a folder that can be stored", where=str(path))
