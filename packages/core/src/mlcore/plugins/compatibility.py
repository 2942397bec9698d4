"""Whether a plugin is made for the core that is here.

Its distribution says so once, in its dependencies: `mlcore-core>=0.1,<0.2`. pip holds to that when the plugin is
installed; what pip was told to ignore, or what a later update of the core broke, is told here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlcore.errors import PluginError

if TYPE_CHECKING:
    from importlib.metadata import Distribution

CORE = "mlcore-core"
_BOUND = re.compile(r"(>=|~=|==|>|<)\s*(\d+(?:\.\d+)*)")


def check_core(plugin: Distribution) -> str | None:
    """Refuse a plugin for a newer core.

    Returns:
        A warning about a plugin for an older core; None without one.

    Raises:
        PluginError: The core that is installed is too old for it.
    """
    wanted = next(filter(None, map(_of_core, plugin.requires or ())), None)
    here = _installed() if wanted else None
    if wanted is None or here is None:
        return None
    said = f"is made for {CORE}{wanted.replace(' ', '')}, and {here} is installed"
    for sign, bound in _BOUND.findall(wanted):
        if sign != "<" and _numbers(here) < _numbers(bound):
            raise PluginError(f"it {said}", hint=f"pip install --upgrade {CORE}")
        if sign == "<" and _numbers(here) >= _numbers(bound):
            return f"{said}: update the plugin if something of it fails"
    return None


def _of_core(requirement: str) -> str | None:
    """The versions that a requirement allows, if it is one of the core, for all who install it."""
    found = re.match(r"([\w.-]+)\s*\(?([^;)]*)\)?\s*$", requirement)
    return found[2] if found and re.sub(r"[-_.]+", "-", found[1]).lower() == CORE else None


def _installed() -> str | None:
    from importlib import metadata

    try:
        return metadata.version(CORE)
    except metadata.PackageNotFoundError:  # run from its source
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """The release numbers without zeros at the end; a pre-release counts as the release that it comes before."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
