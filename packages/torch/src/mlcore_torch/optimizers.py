"""From a name in a config to an optimizer of a module's parameters."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import torch
from torch.optim import Optimizer

from mlcore.errors import ModelError, nearest
from mlcore.model import import_object

# A name, a name with arguments, or an optimizer that was made for the module's parameters.
OptimizerSpec: TypeAlias = str | Mapping[str, Any] | Optimizer


def make_optimizer(spec: OptimizerSpec, parameters: Iterable[Any]) -> Optimizer:  # parameters, or groups of them
    """Make the optimizer that a spec names; an object is returned as it is.

    Raises:
        ModelError: There is none of that name, it does not take an argument, or it is not for these parameters.
    """
    parameters = list(parameters)
    if isinstance(spec, Optimizer):
        return _checked(spec, parameters)
    cls, arguments = named_optimizer(spec)
    try:
        return _checked(cls(parameters, **arguments))
    except (TypeError, ValueError) as error:
        what = f"the optimizer {cls.__name__} cannot be made: {error}"
        raise ModelError(what, hint="look at its arguments") from error


def named_optimizer(spec: str | Mapping[str, Any]) -> tuple[type[Optimizer], dict[str, Any]]:  # arguments of the user's
    """The class that a spec names, and the arguments for it.

    Raises:
        ModelError: There is none of that name, or it does not take an argument.
    """
    if not isinstance(spec, str | Mapping):
        raise ModelError(f"{spec!r} is no optimizer", hint="give a name, {'name': 'Adam', 'lr': 0.01}, or an object")
    arguments = {} if isinstance(spec, str) else dict(spec)
    name = spec if isinstance(spec, str) else str(arguments.pop("name", None))
    cls = optimizer_class(name)
    names = [key for key in inspect.signature(cls).parameters if key != "params"]
    for key in arguments:
        if key not in names:
            raise ModelError(f"the optimizer {name} takes no argument {key!r}", hint=nearest(key, names))
    return cls, arguments


def optimizer_class(name: str) -> type[Optimizer]:
    """The optimizer of torch that has this name, or the class at this path.

    Raises:
        ModelError: There is none.
    """
    known = {key: found for key, found in vars(torch.optim).items() if _is_optimizer(found)}
    if "." not in name and ":" not in name:
        if name not in known:
            raise ModelError(f"torch has no optimizer {name!r}", hint=nearest(name, known))
        cls: type[Optimizer] = known[name]
        return cls
    found = import_object(name)
    if not _is_optimizer(found):
        raise ModelError(f"{name} is no optimizer", hint=nearest(name, known))
    own: type[Optimizer] = found
    return own


def _is_optimizer(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, Optimizer) and found is not Optimizer


def _checked(optimizer: Optimizer, parameters: Iterable[Any] | None = None) -> Optimizer:
    """Refuse what cannot take a step here."""
    name = type(optimizer).__name__
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    if closure is not None and closure.default is closure.empty:
        raise ModelError(f"{name} computes the loss several times a step, which is not supported", hint="take another")
    if parameters is not None:
        own = {id(parameter) for parameter in parameters}
        if not any(id(parameter) in own for group in optimizer.param_groups for parameter in group["params"]):
            raise ModelError(f"this {name} has none of the module's parameters", hint="make it of module.parameters()")
    return optimizer


def keep_changes(optimizer: Optimizer, spec: Mapping[str, Any] | None, saved: Mapping[str, Any] | None) -> None:
    """Put arguments that were changed since back: a restored state brings its own along.

    Args:
        optimizer: Made by the spec, then given the saved state.
        spec: Its name and arguments; None for an object, whose saved state holds.
        saved: Those that it had.
    """
    if spec is None or saved is None:
        return
    for key in sorted({*spec, *saved} - {"name"}):
        if spec.get(key) != saved.get(key) and key in optimizer.defaults:
            for group in optimizer.param_groups:
                group[key] = optimizer.defaults[key]
