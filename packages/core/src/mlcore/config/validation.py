"""Validation against a pydantic schema: its errors become ours, each with the place in the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from mlcore.config.paths import Path, key_at
from mlcore.errors import nearest

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

# What stands in an annotation is not only types: unions, aliases, string forms.
Annotation = Any


class Problem(NamedTuple):
    """One thing that is wrong with a config."""

    path: Path
    what: str
    hint: str | None


def problems(error: ValidationError, schema: type[BaseModel], data: object) -> list[Problem]:
    """Translate pydantic's errors.

    Args:
        error: What pydantic raised.
        schema: The schema it validated.
        data: The config as written, to tell keys from the names of union members.
    """
    return [_problem(item, schema, data) for item in error.errors(include_url=False)]


def _problem(item: ErrorDetails, schema: type[BaseModel], data: object) -> Problem:
    loc = item["loc"]
    path = existing(loc, data)
    if item["type"] == "missing" and loc:
        return Problem((*existing(loc[:-1], data), loc[-1]), "this key is required, and missing", None)
    if item["type"] == "extra_forbidden" and loc:
        return Problem(path, "there is no such key", nearest(str(loc[-1]), field_names(schema, loc[:-1])))
    if item["type"] == "union_tag_invalid":
        context = item["ctx"]
        place = existing((*loc, context["discriminator"].strip("'")), data)
        return Problem(place, f"this is none of {context['expected_tags']}", None)
    message = item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return Problem(path, message or item["type"], None)


def existing(loc: Iterable[object], data: object) -> Path:
    """Drop from pydantic's location what is no key of the data: the names of union members."""
    path: list[object] = []
    for part in loc:
        try:
            key = key_at(data, part)
        except LookupError:
            continue
        path.append(key)
        data = data[key]  # type: ignore[index] # key_at has found it
    return tuple(path)


def field_names(schema: type[BaseModel], loc: Iterable[object]) -> list[str]:
    """List the keys that a schema takes at a location."""
    kinds: list[Annotation] = _members(schema)
    for part in loc:
        kinds = [member for kind in _below(kinds, part) for member in _members(kind)]
    return sorted({name for kind in kinds if _is_model(kind) for name in _names(kind)})


def top_names(schema: type[BaseModel]) -> set[str]:
    """List the keys that a schema takes at the top level."""
    return set(_names(schema))


def _names(model: type[BaseModel]) -> list[str]:
    return [name for key, field in model.model_fields.items() for name in _keys_of(model, key, field)]


def _keys_of(model: type[BaseModel], key: str, field: FieldInfo) -> list[str]:
    alias = field.validation_alias
    if alias is None:
        return [key]
    names = _choices(alias)
    config = model.model_config
    return [*names, key] if config.get("populate_by_name") or config.get("validate_by_name") else names


def _choices(alias: Any) -> list[str]:  # pydantic's AliasPath and AliasChoices share no base class
    if isinstance(alias, str):
        return [alias]
    if hasattr(alias, "choices"):
        return [name for choice in alias.choices for name in _choices(choice)]
    return [str(part) for part in alias.path[:1]]


def _is_model(kind: Annotation) -> bool:
    return isinstance(kind, type) and hasattr(kind, "model_fields")


def _members(kind: Annotation) -> list[Annotation]:
    """Unfold a union, an annotation with metadata and a named type."""
    origin: Annotation = get_origin(kind)
    if origin is Annotated:
        return _members(get_args(kind)[0])
    if origin in (Union, UnionType):
        return [member for arg in get_args(kind) for member in _members(arg)]
    if hasattr(kind, "__value__"):  # `type Name = …` of Python 3.12
        return _members(kind.__value__)
    if _is_model(kind) and list(kind.model_fields) == ["root"]:
        return _members(kind.model_fields["root"].annotation)
    return [kind]


def _below(kinds: list[Annotation], part: object) -> list[Annotation]:
    """Go one step down; a part that leads nowhere is the name of a union member, and chooses it."""
    found = [below for kind in kinds for below in _step(kind, part)]
    return found or [kind for kind in kinds if _is_named(kind, part)] or kinds


def _step(kind: Annotation, part: object) -> list[Annotation]:
    if _is_model(kind):
        fields = kind.model_fields.items()
        return [field.annotation for key, field in fields if part in (key, *_keys_of(kind, key, field))]
    origin: Annotation = get_origin(kind)
    args = get_args(kind)
    if not isinstance(origin, type) or not args:
        return []
    if issubclass(origin, Mapping):
        return [args[-1]]
    if issubclass(origin, Sequence | set | frozenset) and isinstance(part, int):
        return [arg for arg in args if arg is not Ellipsis]
    return []


def _is_named(kind: Annotation, part: object) -> bool:
    if not _is_model(kind):
        return False
    literals = [field.annotation for field in kind.model_fields.values() if get_origin(field.annotation) is Literal]
    return kind.__name__ == part or any(part in get_args(literal) for literal in literals)
