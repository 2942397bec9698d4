"""Bundles: folders that are complete exactly when their manifest, written last, matches their files.

    <folder>/manifest.json   {"format": 1, "kind": …, "meta": {…}, "files": {name: {"size": …, "sha256": …}}}
    <folder>/<name>          the files; one that says "blob": true is in the store's blobs instead

Models, checkpoints and reports are bundles. Nothing is ever renamed, so they work on every store. A bundle may hold
bundles: their manifests are files like others.
"""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlcore.errors import CorruptError, KeyMissingError, StoreError
from mlcore.store import Blobs, Digest, Folder, Hashing, as_folder, check_key, files_below, open_file
from mlcore.store.digest import digest_of, is_digest

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping

MANIFEST: Final = "manifest.json"
_FORMAT = 1
_ANEW = "write the bundle anew, or copy it from a backup"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What a manifest says of one file."""

    size: int
    sha256: Digest
    blob: bool = False


@dataclass(frozen=True)
class Manifest:
    """What is in a bundle.

    Args:
        kind: What it is for, `model` or `checkpoint` for example.
        meta: Facts about it, as JSON values.
        files: Its files by name.
    """

    kind: str
    meta: Mapping[str, Any]  # JSON values
    files: Mapping[str, FileEntry]

    @property
    def digest(self) -> Digest:
        """Of the files' names and contents only: equal for equal files, whatever `meta` says."""
        return digest_of(_compact({name: entry.sha256 for name, entry in self.files.items()}))

    def encode(self) -> bytes:
        """The manifest as it is stored; the same bytes for equal manifests.

        Raises:
            StoreError: `meta` holds something that JSON cannot.
        """
        files = {name: _described(entry) for name, entry in self.files.items()}
        content = {"format": _FORMAT, "kind": self.kind, "meta": self.meta, "files": files}
        try:
            text = json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
            return f"{text}\n".encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise StoreError(f"the manifest's meta is no JSON: {error}", hint="use JSON values only") from error

    @classmethod
    def decode(cls, data: bytes, where: str) -> Manifest:
        """Read what `encode` wrote.

        Raises:
            CorruptError: It is something else.
            StoreError: A newer mlcore wrote it.
        """
        try:
            content = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise _unreadable(where, str(error)) from error
        if fault := _fault(content):
            raise _unreadable(where, fault)
        if content["format"] > _FORMAT:
            raise StoreError(
                f"the bundle has format {content['format']}; this mlcore knows formats up to {_FORMAT}",
                where=where,
                hint="a newer mlcore wrote it: pip install --upgrade mlcore-core",
            )
        files = {name: FileEntry(**entry) for name, entry in content["files"].items()}
        return cls(content["kind"], content["meta"], files)


def _described(entry: FileEntry) -> dict[str, int | str | bool]:
    return {"size": entry.size, "sha256": entry.sha256, **({"blob": True} if entry.blob else {})}


def _compact(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _unreadable(where: str, fault: str) -> CorruptError:
    return CorruptError(f"{MANIFEST} is unreadable: {fault}", where=where, hint=_ANEW)


def _fault(content: Any) -> str | None:  # whatever JSON gave
    if not isinstance(content, dict) or type(content.get("format")) is not int or content["format"] < 1:
        return "it does not say its format"
    if content["format"] > _FORMAT:
        return None
    for name, kind in {"kind": str, "meta": dict, "files": dict}.items():
        if not isinstance(content.get(name), kind):
            return f"{name!r} is missing or of the wrong type"
    return next((fault for name, entry in content["files"].items() if (fault := _file_fault(name, entry))), None)


def _file_fault(name: str, entry: Any) -> str | None:  # whatever JSON gave
    try:
        check_key(name)
    except StoreError as error:
        return error.what
    if name == MANIFEST:
        return "it lists itself"
    sound = (
        isinstance(entry, dict)
        and entry.keys() <= {"size", "sha256", "blob"}
        and type(entry.get("size")) is int
        and entry["size"] >= 0
        and is_digest(entry.get("sha256"))
        and isinstance(entry.get("blob", False), bool)
    )
    return None if sound else f"what it says of {name!r} is not understood"


def pack(directory: Path | str, kind: str, meta: Mapping[str, Any], blobs: Blobs, *, sync: bool = True) -> Manifest:
    """Put all files of a local folder into the blobs.

    Returns:
        The manifest of a bundle that refers to them. It is not written: whoever creates it makes the bundle.
    """
    Manifest(kind, meta, {}).encode()  # refuse what is no JSON before anything is stored
    files = {}
    for name, path in _sources(Path(directory)):
        with open_file(path) as file:
            read = blobs.add_stream(file, sync=sync)
        files[name] = FileEntry(read.size, read.digest, blob=True)
    return Manifest.decode(Manifest(kind, meta, files).encode(), str(directory))


class Bundle:
    """A folder with a manifest.

    Args:
        folder: Where it is, or is to be.

    Example:
        >>> import tempfile
        >>> bundle = Bundle("memory://example-bundle")
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     _ = Path(directory, "weights").write_bytes(b"0123")
        ...     manifest = bundle.write(directory, kind="model")
        >>> bundle.verify().files["weights"].size
        4
    """

    def __init__(self, folder: Folder | str | os.PathLike[str]) -> None:
        self.folder = as_folder(folder)

    def __repr__(self) -> str:
        return f"Bundle({self.folder.url!r})"

    def write(
        self,
        directory: Path | str,
        kind: str,
        meta: Mapping[str, Any] | None = None,  # JSON values
        *,
        sync: bool = True,
        before_commit: Callable[[], None] | None = None,
    ) -> Manifest:
        """Make the bundle of all files of a local folder; killed on the way, it is not complete.

        Args:
            directory: Holds the files.
            kind: What the bundle is for.
            meta: Facts about it.
            sync: Wait for the disk.
            before_commit: Called when all but the manifest is written; raising leaves the bundle incomplete.

        Raises:
            StoreError: Something in the folder, or in `meta`, cannot be stored; then nothing was touched.
        """
        sources = _sources(Path(directory))
        Manifest(kind, meta or {}, {}).encode()
        with suppress(KeyMissingError):
            self.folder.remove(MANIFEST)
        files = {name: self._put(name, path, sync=sync) for name, path in sources}
        encoded = Manifest(kind, meta or {}, files).encode()
        if before_commit:
            before_commit()
        self.folder.put_bytes(MANIFEST, encoded, sync=sync)
        return Manifest.decode(encoded, self.folder.url)

    def _put(self, name: str, path: Path, *, sync: bool) -> FileEntry:
        with open_file(path) as file:
            read = Hashing(file)
            self.folder.put_stream(name, read, sync=sync)
        return FileEntry(read.size, read.digest)

    def manifest(self) -> Manifest | None:
        """What the bundle says it holds; None if it is not complete. The files are not read.

        Raises:
            CorruptError: The manifest is unreadable.
        """
        try:
            return Manifest.decode(self.folder.read_bytes(MANIFEST), self.folder.url)
        except KeyMissingError:
            return None

    def verify(self, blobs: Blobs | None = None) -> Manifest:
        """Read every file and compare it with the manifest. Files that are not listed are left alone.

        Args:
            blobs: Where the contents are, if the manifest refers to blobs.

        Raises:
            CorruptError: The bundle is incomplete or damaged; the message names the file.
        """
        manifest = self._complete()
        for name, entry in manifest.files.items():
            with self._naming(name):
                if entry.blob:
                    self._needed(blobs).verify(entry.sha256)
                else:
                    with self.folder.open(name) as file:
                        _check(entry, Hashing(file).drain())
        return manifest

    def fetch(self, directory: Path | str, blobs: Blobs | None = None) -> Manifest:
        """Copy all files into a local folder, each verified on the way.

        Args:
            directory: Where to; made if it is not there.
            blobs: Where the contents are, if the manifest refers to blobs.

        Raises:
            CorruptError: The bundle is incomplete or damaged; the message names the file, which is not written.
        """
        manifest = self._complete()
        for name, entry in manifest.files.items():
            target = Path(directory, name)
            with self._naming(name):
                if entry.blob:
                    self._needed(blobs).fetch(entry.sha256, target)
                else:
                    self.folder.fetch_file(name, target, check=partial(_check, entry))
        return manifest

    def _complete(self) -> Manifest:
        manifest = self.manifest()
        if manifest is None:
            raise CorruptError(
                f"the bundle is not complete: it has no {MANIFEST}",
                where=self.folder.url,
                hint="its writer was interrupted, or there never was one: write it anew",
            )
        return manifest

    def _needed(self, blobs: Blobs | None) -> Blobs:
        if blobs is None:
            raise StoreError(
                "the contents of this bundle are in a store's blobs",
                where=self.folder.url,
                hint="pass blobs=store.blobs",
            )
        return blobs

    @contextmanager
    def _naming(self, name: str) -> Iterator[None]:
        """Say of which file an error tells."""
        try:
            yield
        except KeyMissingError as error:
            raise CorruptError(f"{name} is missing", where=self.folder.url, hint=_ANEW) from error
        except CorruptError as error:
            raise CorruptError(f"{name}: {error.what}", where=self.folder.url, hint=error.hint) from error


def _check(entry: FileEntry, read: Hashing) -> None:
    if read.size != entry.size:
        raise CorruptError(f"it has {read.size} bytes instead of {entry.size}", hint=_ANEW)
    if read.digest != entry.sha256:
        what = f"its content has the digest {read.digest[:12]}… instead of {entry.sha256[:12]}…"
        raise CorruptError(what, hint=_ANEW)


def _sources(directory: Path) -> list[tuple[str, Path]]:
    """What to write, in order: manifests of bundles inside come last, so that these are not complete too early."""
    found = files_below(directory)
    if any(name == MANIFEST for name, _ in found):
        raise StoreError(
            f"the folder holds a {MANIFEST}, which is the bundle's own", where=str(directory), hint="remove it first"
        )
    return sorted(found, key=lambda item: (item[0].rpartition("/")[2] == MANIFEST, item[0]))
