"""Checks of what hooks are given by a config."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from mlcore_emloop_compat.types import HookError

T = TypeVar("T")


def as_list(hook: object, argument: str, values: Iterable[T]) -> list[T]:
    """The values as a list.

    Raises:
        ValueError: They are a text, whose letters nobody means, or nothing to go through.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        name = type(hook).__name__
        raise HookError(f"{name}'s {argument} are {values!r}, not a list", hint=f"write {argument}: [{values}]")
    return list(values)


def check_choice(hook: object, argument: str, value: str, valid: Sequence[str]) -> str:
    """Refuse a value that is none of the valid ones."""
    if value not in valid:
        raise HookError(f"{type(hook).__name__}'s {argument} is {value!r}; it is one of {', '.join(valid)}")
    return value


def check_limit(hook: object, argument: str, value: float | None) -> float | None:
    """Refuse a limit that is no number, or below zero."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0):
        raise HookError(f"{type(hook).__name__}'s {argument} is {value!r}; it is a number, 0 or above")
    return value
