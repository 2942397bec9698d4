"""SHA-256 of what is read, while it is read."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, TypeAlias

from mlcore.errors import StoreError

if TYPE_CHECKING:
    from mlcore.store.files import Reader

# 64 hexadecimal digits of SHA-256.
Digest: TypeAlias = str

_DIGEST = re.compile("[0-9a-f]{64}")
_CHUNK = 1 << 18


class Hashing:
    """A reader that knows size and digest of what has been read through it."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self._hash, self.size = reader, hashlib.sha256(), 0

    def read(self, size: int = -1, /) -> bytes:
        """Read on."""
        data = self._reader.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    def drain(self) -> Hashing:
        """Read to the end."""
        while self.read(_CHUNK):
            pass
        return self

    @property
    def digest(self) -> Digest:
        """Of all that has been read."""
        return self._hash.hexdigest()


def digest_of(data: bytes) -> Digest:
    """The digest of bytes."""
    return hashlib.sha256(data).hexdigest()


def is_digest(text: object) -> bool:
    """Whether something has the form of a digest."""
    return isinstance(text, str) and bool(_DIGEST.fullmatch(text))


def check_digest(text: str) -> Digest:
    """Return the digest if it is one.

    Raises:
        StoreError: It is none.
    """
    if not is_digest(text):
        raise StoreError(f"{text!r} is not a digest", hint="a digest is 64 lower-case hexadecimal digits")
    return text
