"""What a folder needs of the place it is in: `mlcore.store.local` and `mlcore.store.remote` give it.

Keys have been checked before they come here, and errors are still those of the operating system or of fsspec;
`mlcore.store.folder` does both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

Exclusive: TypeAlias = Literal["atomic", "single-writer"]
# A key, or what gives it once all has been read: None drops what was read.
Name: TypeAlias = str | Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing.

    Args:
        key: Relative to the folder that was asked.
        size: In bytes; 0 for a folder.
        modified: Seconds since the epoch; None where the filesystem does not say.
        is_folder: Whether it is a folder.
    """

    key: str
    size: int
    modified: float | None
    is_folder: bool


class Reader(Protocol):
    """Anything that bytes can be read from, up to the end."""

    def read(self, size: int = -1, /) -> bytes:
        """Read up to `size` bytes; none at the end."""


class Files(Protocol):
    """The operations below a root, by key. The empty key is the root."""

    @property
    def url(self) -> str:
        """Where the root is."""

    @property
    def local(self) -> Path | None:
        """The root as a path of this machine."""

    @property
    def exclusive(self) -> Exclusive:
        """Whether `create` holds against other processes."""

    def below(self, key: str) -> Files:
        """The same place with another root."""

    def put(self, name: Name, source: bytes | Reader, *, sync: bool) -> None:
        """Make or replace a file; readers see the old one or the new one."""

    def create(self, key: str, data: bytes, *, sync: bool) -> bool:
        """Make a file unless there is one; tell whether this call made it."""

    def open(self, key: str) -> BinaryIO:
        """Open a file for reading."""

    def stat(self, key: str) -> Entry:
        """Tell about a file, or raise FileNotFoundError."""

    def list(self, prefix: str, *, recursive: bool) -> list[Entry]:
        """Tell about what is in a folder, sorted; recursive: about all files below it."""

    def touch(self, key: str) -> None:
        """Set a file's time to now, where the filesystem can."""

    def move(self, key: str, target: str) -> None:
        """Give a file another key."""

    def remove(self, key: str) -> None:
        """Remove a file, or raise FileNotFoundError."""

    def remove_tree(self, prefix: str) -> None:
        """Remove a folder with all that is in it, if it is there."""

    def sweep(self, older_than: float) -> int:
        """Remove what killed writers left behind, and count it."""
