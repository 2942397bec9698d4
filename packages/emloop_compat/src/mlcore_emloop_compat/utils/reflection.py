"""Looking into constructors."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Parameters:
    """What a class's constructor takes.

    Args:
        names: All named parameters.
        required: Those without a default.
        open: Whether it takes any other name, too.
    """

    names: frozenset[str]
    required: frozenset[str]
    open: bool


def constructor_parameters(cls: type, *, closed_by: type | None = None) -> Parameters:
    """The parameters of a class's constructor, and of those it hands its other keywords on to.

    A constructor with `**kwargs` is taken to pass them to the next class in line, as emloop's hooks do.

    Args:
        cls: The class.
        closed_by: A base whose `**kwargs` end the line: it takes no further names.
    """
    names: set[str] = set()
    required: set[str] = set()
    for base in cls.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        parameters = _named(vars(base)["__init__"])
        names |= parameters.keys()
        required |= {name for name, parameter in parameters.items() if parameter.default is parameter.empty}
        if base is closed_by or not _takes_any(vars(base)["__init__"]):
            return Parameters(frozenset(names), frozenset(required), open=False)
    return Parameters(
        frozenset(names), frozenset(required), open=any("__init__" in vars(base) for base in cls.__mro__[:-1])
    )


def _named(function: Any) -> dict[str, inspect.Parameter]:  # a function, however it was made
    parameters = list(inspect.signature(function).parameters.values())[1:]
    skipped = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {parameter.name: parameter for parameter in parameters if parameter.kind not in skipped}


def _takes_any(function: Any) -> bool:  # a function, however it was made
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in inspect.signature(function).parameters.values())
