"""Try again what failed for a passing reason: a few times, ever later, then give the error."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, TypeVar

from mlcore.store.troubles import is_transient

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

TRIES = 8
FIRST_PAUSE = 0.1  # seconds; each pause is twice the one before, give or take a half
# No try begins later than this: filesystems such as s3fs try for ten seconds themselves before they say anything.
PATIENCE = 30.0

_sleep = time.sleep


def retrying(call: Callable[[], T], failed: Callable[[BaseException], None] = lambda error: None) -> T:
    """Call until it succeeds, fails for good, or patience is out.

    Args:
        call: May be called several times, also after a call that did its work and failed to say so.
        failed: Told of each error after which it is called again.
    """
    began = time.monotonic()
    for number in range(TRIES):
        try:
            return call()
        except Exception as error:
            pause = FIRST_PAUSE * 2**number * random.uniform(0.5, 1.5)  # noqa: S311 - keeps clients apart, hides nothing
            late = time.monotonic() + pause > began + PATIENCE
            if number == TRIES - 1 or late or not is_transient(error):
                raise
            failed(error)
            _sleep(pause)
    raise AssertionError  # the last round returns or raises
