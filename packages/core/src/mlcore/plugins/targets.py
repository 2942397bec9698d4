"""Targets: the strings `package.module:Name` that stand for things which are imported when they are needed.

Where a module itself is meant, it is `package.module`.
"""

from __future__ import annotations

import importlib
import re
from functools import reduce
from typing import Any

_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_TARGET = re.compile(f"{_NAME}:{_NAME}")
_MODULE = re.compile(_NAME)


def check_target(target: object) -> str | None:
    """Say what is wrong with a target, or None."""
    if isinstance(target, str):
        return None if _TARGET.fullmatch(target) else f"{target!r} is not of the form 'package.module:Name'"
    name = getattr(target, "__qualname__", None)
    meant = f"; write '{target.__module__}:{name}'" if name else ""
    return f"a string 'package.module:Name' is wanted, not {target!r}{meant}"


def check_module(target: object) -> str | None:
    """Say what is wrong with a target that must be a module, or None."""
    if isinstance(target, str) and _MODULE.fullmatch(target):
        return None
    return f"the name of a module, 'package.module', is wanted, not {target!r}"


def import_target(target: str) -> Any:  # whatever stands there
    """Import what a well-formed target names.

    Raises:
        ImportError: The module does not exist.
        AttributeError: It has no such name.
    """
    module, _, name = target.partition(":")
    return reduce(getattr, name.split(".") if name else (), importlib.import_module(module))
