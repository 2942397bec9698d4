"""Contents by their digest: each stored once, verified at every read.

    blobs/sha256/ab/cdef…          the content whose SHA-256 is abcdef…
    blobs/quarantine/<digest>-<n>  a content that rotted; the next save of it makes a sound one
    blobs/aside/<digest>           a content that a clean-up is about to remove

A blob is a copy of its own, never a link to a file that somebody may still write.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from mlcore.errors import CorruptError, KeyMissingError, StoreError
from mlcore.store.digest import Digest, Hashing, check_digest, digest_of, is_digest
from mlcore.store.trees import open_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlcore.store.files import Entry, Reader
    from mlcore.store.folder import Folder

_ALGORITHM = "sha256"
_QUARANTINE = "quarantine"
_ASIDE = "aside"
_IN_MEMORY = 1 << 24


class Blobs:
    """Contents by their digest.

    Args:
        folder: Where they are.

    Example:
        >>> from mlcore.store import Folder
        >>> blobs = Blobs(Folder("memory://example/blobs"))
        >>> digest = blobs.add_bytes(b"content")
        >>> blobs.read(digest)
        b'content'
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def add(self, path: Path | str, *, sync: bool = True) -> Digest:
        """Store a copy of a local file; one that is there already is not written again, but is young again."""
        with open_file(Path(path)) as file:
            return self.add_stream(file, sync=sync).digest

    def add_bytes(self, data: bytes, *, sync: bool = True) -> Digest:
        """Store bytes."""
        digest = digest_of(data)
        if not self._refresh(digest, len(data)):
            self.folder.put_bytes(_key(digest), data, sync=sync)
        return digest

    def add_stream(self, reader: Reader, *, sync: bool = True) -> Hashing:
        """Store all that a reader gives; the result knows its size and digest."""
        hashing = Hashing(reader)

        def name() -> str | None:
            return None if self._refresh(hashing.digest, hashing.size) else _key(hashing.digest)

        self.folder.put_stream(name, hashing, sync=sync)
        return hashing

    def _refresh(self, digest: Digest, size: int) -> bool:
        """Whether the blob is there; if so, it is young again, so that no clean-up takes it before it is used."""
        try:
            if self.folder.size(_key(digest)) != size:
                self._quarantine(digest)
                return False
            self.folder.touch(_key(digest))
        except KeyMissingError:
            return False
        except StoreError as error:
            if isinstance(error.__cause__, PermissionError):  # somebody else's file: put our own in its place
                return False
            raise
        return True

    def has(self, digest: Digest) -> bool:
        """Whether there is such a blob; it is not read."""
        return self.folder.exists(_key(check_digest(digest)))

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob for reading; all of it has been verified.

        Raises:
            KeyMissingError: There is none.
            CorruptError: It rotted.
        """
        stored = self.folder.open(_key(check_digest(digest)))
        if self.folder.local is None:  # or it would travel twice
            with stored:
                stored = self._copied(stored)
        try:
            self._check(digest, Hashing(stored).drain())
            stored.seek(0)
        except BaseException:
            stored.close()
            raise
        return stored

    @staticmethod
    def _copied(stored: BinaryIO) -> BinaryIO:
        copy = cast("BinaryIO", tempfile.SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115 - the caller closes it
        shutil.copyfileobj(stored, copy)
        copy.seek(0)
        return copy

    def read(self, digest: Digest) -> bytes:
        """All of a blob.

        Raises:
            KeyMissingError: There is none.
            CorruptError: It rotted.
        """
        with self.folder.open(_key(check_digest(digest))) as stored:
            hashing = Hashing(stored)
            data = hashing.read()
        self._check(digest, hashing)
        return data

    def verify(self, digest: Digest) -> int:
        """Read a blob to its end and return its size.

        Raises:
            KeyMissingError: There is none.
            CorruptError: It rotted.
        """
        with self.folder.open(_key(check_digest(digest))) as stored:
            hashing = Hashing(stored).drain()
        self._check(digest, hashing)
        return hashing.size

    def fetch(self, digest: Digest, path: Path | str) -> None:
        """Copy a blob to a local path, in place of what is there.

        Raises:
            KeyMissingError: There is none.
            CorruptError: It rotted; nothing was written.
        """
        self.folder.fetch_file(_key(check_digest(digest)), path, check=partial(self._check, digest))

    def list(self) -> list[Entry]:
        """Every blob; the entries' keys are digests."""
        found = ((_digest(entry.key), entry) for entry in self.folder.list(_ALGORITHM, recursive=True))
        return [replace(entry, key=digest) for digest, entry in found if is_digest(digest)]

    def remove(self, digest: Digest) -> None:
        """Remove a blob.

        Raises:
            KeyMissingError: There is none.
        """
        self.folder.remove(_key(check_digest(digest)))

    def set_aside(self, digest: Digest) -> bool:
        """Move a blob out of use, so that who looks for it finds it missing. Returns whether it was there."""
        try:
            self.folder.move(_key(check_digest(digest)), f"{_ASIDE}/{digest}")
        except KeyMissingError:
            return False
        return True

    def put_back(self, digest: Digest) -> None:
        """Undo `set_aside`; a blob that was stored anew meanwhile stays."""
        if self.has(digest):
            self.forget(digest)
        else:
            self.folder.move(f"{_ASIDE}/{digest}", _key(digest))

    def forget(self, digest: Digest) -> None:
        """Remove a blob that was set aside."""
        self.folder.remove(f"{_ASIDE}/{digest}")

    def aside(self) -> Iterator[Digest]:
        """Blobs that a collector set aside; left behind only by one that was killed."""
        yield from (entry.key for entry in (self.folder / _ASIDE).list() if is_digest(entry.key))

    def _check(self, digest: Digest, read: Hashing) -> None:
        if read.digest == digest:
            return
        kept = self._quarantine(digest)
        raise CorruptError(
            f"blob {digest} has rotted: what is stored has the digest {read.digest}",
            where=self.folder.url,
            hint=f"save that content again, or copy it from a backup; the rotten one {kept}",
        )

    def _quarantine(self, digest: Digest) -> str:
        """Move a rotten blob aside, and say where it is."""
        taken = {entry.key for entry in self.folder.list(_QUARANTINE)}
        names = (f"{_QUARANTINE}/{digest}-{number}" for number in itertools.count(1))
        kept = next(name for name in names if name not in taken)
        try:
            self.folder.move(_key(digest), kept)
        except KeyMissingError:
            return "was moved aside by another process"
        except StoreError as error:
            return f"could not be moved aside ({error.what})"
        return f"is now {kept}"


def _key(digest: Digest) -> str:
    return f"{_ALGORITHM}/{digest[:2]}/{digest[2:]}"


def _digest(key: str) -> str:
    return key.removeprefix(f"{_ALGORITHM}/").replace("/", "")
