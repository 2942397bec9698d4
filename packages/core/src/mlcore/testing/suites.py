"""Suites: objects whose `test_…` methods are checks, for pytest and without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

PREFIX = "test_"


def checks_of(suite: object) -> Mapping[str, Callable[[], None]]:
    """The checks of a suite by name, in their order."""
    names = dict.fromkeys(name for cls in reversed(type(suite).__mro__) for name in vars(cls))
    return {name.removeprefix(PREFIX): getattr(suite, name) for name in names if name.startswith(PREFIX)}


def run_suite(suite: object) -> None:
    """Run every check.

    Raises:
        AssertionError: One failed; the message starts with its name.
    """
    for name, check in checks_of(suite).items():
        try:
            check()
        except Exception as error:
            raise AssertionError(f"{name}: {str(error) or repr(error)}") from error


def require(truth: bool, message: str) -> None:
    """Fail a check.

    Raises:
        AssertionError: It is not true. (Not by `assert`, which `python -O` takes out.)
    """
    if not truth:
        raise AssertionError(message)
