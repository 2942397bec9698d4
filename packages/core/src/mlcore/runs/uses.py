"""What a run uses, data and models: told apart by their contents, so that runs can be compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn, TypeAlias

from mlcore.bundle import Bundle, FileEntry, Manifest
from mlcore.config import hide
from mlcore.errors import CorruptError, KeyMissingError, StoreError, nearest
from mlcore.store import Folder, Hashing, Store, open_file
from mlcore.store.faults import Faults
from mlcore.versions import Models, Version

Usable: TypeAlias = str | os.PathLike[str] | Bundle | Version


@dataclass(frozen=True)
class Use:
    """What was used.

    Args:
        kind: What it is.
        url: Where it was, without credentials.
        digest: Of a file's contents; of the names and contents of all files of anything else.
        size: In bytes, of all files.
        name: Of a stored model.
        version: Of a stored model.
    """

    kind: Literal["file", "folder", "bundle", "model"]
    url: str
    digest: str
    size: int
    name: str | None = None
    version: int | None = None


def look(what: Usable, store: Store, scratch: Callable[[], Path]) -> tuple[Use, Path | Bundle | Version]:
    """See what something is; files and folders are read to their end for it.

    Args:
        what: A path, a URL, `model:NAME@ALIAS`, a bundle, or a version of a model.
        store: Where the names of models are looked up.
        scratch: Makes an empty folder, for copies of what is not on this machine.

    Returns:
        Beside what it is: the local path of a file or folder, or else the bundle or version.

    Raises:
        StoreError: There is no such thing, or it cannot be read.
        VersionError: There is no such model, version or alias.
    """
    if isinstance(what, Version) or str(what).startswith("model:"):
        version = what if isinstance(what, Version) else Models(store).resolve(str(what))
        size = sum(entry.size for entry in version.manifest.files.values())
        return Use("model", version.url, version.digest, size, version.record.name, version.number), version
    bundle = what if isinstance(what, Bundle) else Bundle(Folder(what))
    manifest = bundle.manifest() if isinstance(what, Bundle) else _manifest(bundle)
    if manifest is not None:
        size = sum(entry.size for entry in manifest.files.values())
        return Use("bundle", hide(bundle.folder.url), manifest.digest, size), bundle
    if isinstance(what, Bundle):
        raise StoreError("this bundle is not complete, so nobody can say what was used", where=bundle.folder.url)
    if bundle.folder.local is not None:
        return _of_path(bundle.folder.local)
    return _of_copy(bundle.folder, scratch())


def _manifest(bundle: Bundle) -> Manifest | None:
    """Of a folder that is a bundle; many a folder has a manifest.json of another kind."""
    if bundle.folder.local is not None and not bundle.folder.local.is_dir():
        return None
    try:
        return bundle.manifest()
    except CorruptError:
        return None


def _of_path(path: Path) -> tuple[Use, Path]:
    if path.is_file():
        read = _read(path)
        return Use("file", str(path), read.digest, read.size), path
    if not path.is_dir():
        _missing(str(path), path.name, [other.name for other in path.parent.glob("*")])
    with Faults(str(path), reading=True):
        return _of_files(str(path), {key: _read(file) for key, file in _below(path)}), path


def _of_copy(folder: Folder, scratch: Path) -> tuple[Use, Path]:
    """Copy a file or folder to this machine, and read it on the way."""
    read: list[Hashing] = []
    above, _, name = folder.url.rpartition("/")
    target = scratch / (name or "data")
    try:
        Folder(above).fetch_file(name, target, check=read.append)
        return Use("file", hide(folder.url), read[0].digest, read[0].size), target
    except KeyMissingError:
        keys = [entry.key for entry in folder.list(recursive=True)]
    for key in keys:
        folder.fetch_file(key, target / key, check=read.append)
    if not keys:
        _missing(hide(folder.url), name, [])
    return _of_files(hide(folder.url), dict(zip(keys, read, strict=True))), target


def _of_files(url: str, read: dict[str, Hashing]) -> Use:
    files = {key: FileEntry(one.size, one.digest) for key, one in read.items()}
    return Use("folder", url, Manifest("folder", {}, files).digest, sum(entry.size for entry in files.values()))


def _missing(url: str, name: str, others: list[str]) -> NoReturn:
    raise StoreError("there is no such file or folder", where=url, hint=nearest(name, others) if others else None)


def _read(path: Path) -> Hashing:
    with open_file(path) as file:
        return Hashing(file).drain()


def _below(folder: Path, above: tuple[str, ...] = ()) -> Iterator[tuple[str, Path]]:
    """All files below a folder; links are followed, but for those that lead in a circle."""
    real = os.path.realpath(folder)
    for path in sorted(folder.iterdir()) if real not in above else ():
        if path.is_dir():
            yield from ((f"{path.name}/{key}", file) for key, file in _below(path, (*above, real)))
        elif path.is_file():
            yield path.name, path
