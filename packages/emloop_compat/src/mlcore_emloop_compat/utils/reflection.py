"""Looking into constructors."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, get_type_hints


@dataclass(frozen=True)
class Parameters:
    """What a class's constructor takes.

    Args:
        names: All named parameters.
        required: Those of the class's own constructor without a default; what it hands on, it may fill in itself.
        open: Whether it takes any other name, too.
    """

    names: frozenset[str]
    required: frozenset[str]
    open: bool


def constructor_parameters(cls: type, *, method: str = "__init__", closed_by: type | None = None) -> Parameters:
    """The parameters of a class's constructor, and of those it hands its other keywords on to.

    A constructor with `**kwargs` is taken to pass them to the next class in line, as emloop's hooks do.

    Args:
        cls: The class.
        method: Another method that does a constructor's work.
        closed_by: A base whose `**kwargs` end the line: it takes no further names.
    """
    line = [vars(base)[method] for base in _until(cls, closed_by) if method in vars(base)]
    passing = list(takewhile(_takes_any, line))
    asked = line[: len(passing) + 1]
    names = frozenset(name for function in asked for name in _named(function))
    ends = len(passing) < len(line) or (closed_by is not None and issubclass(cls, closed_by))
    return Parameters(names, _required(line[0]) if line else frozenset(), open=bool(line) and not ends)


def constructor_types(cls: type) -> dict[str, Any]:  # annotations
    """The annotations of a class's constructor, and of those of its bases, by parameter."""
    line = [vars(base)["__init__"] for base in reversed(cls.__mro__) if base is not object and "__init__" in vars(base)]
    return {name: hint for function in line for name, hint in get_type_hints(function).items()}


def type_fault(annotation: Any, value: Any) -> str | None:  # whatever annotations and values there are
    """What is wrong with a value for an annotated parameter, in words; None if nothing is."""
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter(annotation).validate_python(value, strict=True)
    except ValidationError as error:
        return " or ".join(dict.fromkeys(fault["msg"] for fault in error.errors()))
    return None


def function_parameters(function: Any) -> Parameters:  # a function, however it was made
    """The parameters of a function."""
    named = _named(function, skip=0)
    required = frozenset(name for name, parameter in named.items() if parameter.default is parameter.empty)
    return Parameters(frozenset(named), required, open=_takes_any(function))


def _until(cls: type, last: type | None) -> list[type]:
    """The classes in line, up to one of them; `object` is none."""
    line = [base for base in cls.__mro__ if base is not object]
    return line[: line.index(last) + 1] if last in line else line


def _required(function: Any) -> frozenset[str]:  # a function, however it was made
    return frozenset(name for name, parameter in _named(function).items() if parameter.default is parameter.empty)


def _named(function: Any, skip: int = 1) -> dict[str, inspect.Parameter]:  # a function, however it was made
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    skipped = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {parameter.name: parameter for parameter in parameters if parameter.kind not in skipped}


def _takes_any(function: Any) -> bool:  # a function, however it was made
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in inspect.signature(function).parameters.values())
