"""From older store formats to today's.

When the layout of a store changes, its format number rises, and a function here brings stores of the number before to
the new one. There is none yet: format 1 is the first. `tests/data` keeps a store of each format that was ever released.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from mlcore.store.folder import Folder

MARKER = "mlcore.json"

# By the format that it begins with. Each must be safe to run twice, also by two processes at once: one may be killed on
# the way, and the next to open the store begins again.
UPGRADES: dict[int, Callable[[Folder], None]] = {}


def upgrade(folder: Folder, present: int, wanted: int) -> None:
    """Bring a store to a newer format, one number at a time; the marker says how far it came."""
    for number in range(present, wanted):
        UPGRADES[number](folder)
        folder.put_bytes(MARKER, marker(number + 1))


def marker(number: int) -> bytes:
    """What the marker of a store says."""
    return json.dumps({"format": number}).encode() + b"\n"
