"""What may be logged: the slow path of `JournalWriter.log`, for everything that is not a plain int or float.

It is checked in the caller, where the traceback shows the culprit; what passed here cannot fail to be encoded later.
"""

from __future__ import annotations

import operator
from collections.abc import ItemsView, Mapping
from typing import SupportsFloat, SupportsIndex, cast

from mlcore.errors import MlcoreError

LARGEST_STEP = 2**63
_LATEST = 1e11


def checked_items(values: Mapping[str, SupportsFloat]) -> ItemsView[str, SupportsFloat]:
    """Give the items of a mapping, or say that it is none."""
    try:
        return values.items()
    except AttributeError:
        raise MlcoreError(
            f"log() got {_shown(values)} where values by series name were due",
            hint='write log(step, {"valid.loss": 0.1})',
        ) from None


def checked_value(name: str, value: SupportsFloat) -> float:
    """Give a float for anything that is a real number: bools, ints, numpy's scalars, one-element tensors."""
    if not isinstance(name, str):
        raise MlcoreError(
            f"{_shown(name)} is not the name of a series", hint="a series name is text, such as 'valid.loss'"
        )
    number = _real(value)
    if number is None:
        raise MlcoreError(
            f"series {name!r} got {_shown(value)}, which is not a real number",
            hint="log numbers; text and structures go to write()",
        )
    return number


def checked_step(step: float) -> float:
    """Give an int, or a finite float, for anything that is one."""
    try:
        number: float | None = int(operator.index(cast("SupportsIndex", step)))
    except TypeError:
        number = _real(step)
    if number is None or not -LARGEST_STEP < number < LARGEST_STEP:
        raise MlcoreError(f"{_shown(step)} is not a step", hint="a step is an integer or a finite float, below 2**63")
    return number


def checked_time(time: float) -> float:
    """Give seconds since the epoch as a float."""
    seconds = _real(time)
    if seconds is None or not -_LATEST < seconds < _LATEST:
        raise MlcoreError(
            f"{_shown(time)} is not a time", hint="a time is in seconds since the epoch, not in milliseconds"
        )
    return seconds


def _real(value: SupportsFloat) -> float | None:
    """Give a float, or None: float() itself also takes text, which is a mistake here."""
    try:
        return None if isinstance(value, (str, bytes, bytearray)) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _shown(value: object) -> str:
    text = hex(value) if isinstance(value, int) else repr(value)  # Python refuses to print very long ints in decimal
    return f"{type(value).__name__} {text if len(text) <= 80 else text[:77] + '...'}"
