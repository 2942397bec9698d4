"""The hooks of one plugin, checked.

Every plugin gets a pluggy manager of its own: pluggy checks names and arguments against the specs, and what one plugin
does wrong cannot reach another, on any version of pluggy. Calls go through it too; they are rare.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pluggy

from mlcore import hookspecs
from mlcore.errors import PluginError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = tuple(name for name in vars(hookspecs) if name.startswith("mlcore_"))


class _Manager(pluggy.PluginManager):
    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:  # as pluggy has it; its types moved
        """Look at functions only: before 1.7 pluggy evaluates properties and lazy attributes of the plugin."""
        if not inspect.isroutine(inspect.getattr_static(plugin, name, None)):
            return None
        return super().parse_hookimpl_opts(plugin, name)


def hooks_of(plugin: object, name: str) -> dict[str, Callable[..., Any]]:
    """The hooks that a plugin implements, by name, each to be called with all its arguments by keyword.

    Raises:
        PluginError: It is a class, a hook is misspelt, or takes what it cannot get.
    """
    if isinstance(plugin, type):
        raise PluginError(
            f"{plugin.__qualname__} is a class: its hooks would lack `self`",
            hint=f"register a module, or an instance: {plugin.__name__}()",
        )
    manager = _Manager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin, name)
        callers = manager.get_hookcallers(plugin) or []
    except pluggy.PluginValidationError as error:
        raise PluginError(str(error)) from error
    for caller in callers:
        _check(caller)
    return {caller.name: caller for caller in callers if caller.has_spec()}


def unmarked(plugin: object, hooks: dict[str, Callable[..., Any]]) -> list[str]:
    """Functions that are named like hooks and are none, for want of `@hookimpl`."""
    found = (name for name in NAMES if name not in hooks)
    return [name for name in found if inspect.isroutine(inspect.getattr_static(plugin, name, None))]


def _check(caller: pluggy.HookCaller) -> None:
    for implementation in caller.get_hookimpls():
        if not caller.has_spec() and not implementation.optionalhook:
            raise PluginError(f"there is no hook {caller.name!r}", hint=nearest(caller.name, NAMES))
        if implementation.wrapper or implementation.hookwrapper:
            raise PluginError(f"{caller.name} is a hook wrapper, and there is nothing to wrap: leave `wrapper` out")
        if implementation.kwargnames:
            names = ", ".join(implementation.kwargnames)
            raise PluginError(
                f"{caller.name} gives {names} a default, which some versions of pluggy pass: leave it out"
            )
