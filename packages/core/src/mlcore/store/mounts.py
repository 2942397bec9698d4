"""Whether the filesystem under a path can create a file exclusively against every other writer.

It can where hard links work and one kernel sees all writers. Network filesystems reach several kernels, whose caches
and lost replies make two winners possible; FAT has no links.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_NETWORK = frozenset(
    {"9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse", "gfs2", "glusterfs", "gpfs", "lustre"}
    | {"ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "smb3", "smbfs"}
)
_LINKLESS = frozenset({"exfat", "msdos", "umsdos", "vfat"})

# Mount points whose filesystem refused a link although its type is not in the list above.
_refused: set[str] = set()


def is_exclusive(path: Path) -> bool:
    """Whether `create` is atomic against all writers here; the path need not exist."""
    mount, kind = _mount_of(path)
    return kind not in _NETWORK | _LINKLESS and not kind.startswith("fuse.") and mount not in _refused


def refused_links(path: Path) -> None:
    """Remember that the filesystem under a path has no links."""
    _refused.add(_mount_of(path)[0])


def _mount_of(path: Path) -> tuple[str, str]:
    """The mount point above a path, and the type of its filesystem; ("/", "") where the system does not say."""
    real = os.path.realpath(path)
    best = ("/", "")
    for mount, kind in _mounts():
        inside = real == mount or real.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best[0]):  # of two at one place, the later one covers the other
            best = (mount, kind)
    return best


def _mounts() -> list[tuple[str, str]]:
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123 - one name
            return [(_unescaped(fields[1]), fields[2]) for fields in map(str.split, file) if len(fields) > 2]
    except FileNotFoundError:  # not Linux
        return []


def _unescaped(mount: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), mount)
