"""Run ids: sorted by time, unique without a server, short to type.

`20261120-093015-k7f3qz`: UTC date and time, then 10 bits of the second's fraction and 20 random ones. A run may be
named by any unique prefix of the id or of its last part.
"""

from __future__ import annotations

import re
import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-hjkmnp-tv-z]{6}")


def new_id(now: float | None = None) -> str:
    """An id for a run that starts now (or at `now`, in seconds since the epoch)."""
    now = time.time() if now is None else now
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    high, low = divmod(int(now % 1 * 1024), 32)
    return f"{stamp}-{_ALPHABET[high]}{_ALPHABET[low]}{''.join(secrets.choice(_ALPHABET) for _ in range(4))}"


def is_id(text: str) -> bool:
    """Whether a text has the form of a run id."""
    return _ID.fullmatch(text) is not None


def month(run_id: str) -> str:
    """The `yyyy-mm` folder that a run lives in."""
    return f"{run_id[:4]}-{run_id[4:6]}"


def tail(run_id: str) -> str:
    """What follows the time."""
    return run_id.rpartition("-")[2]
