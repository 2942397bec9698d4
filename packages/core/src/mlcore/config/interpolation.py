"""References in text values: `${env:NAME}`, `${env:NAME:default}`, `${key.path}`; `$${` writes a plain `${`.

A reference that is the whole value keeps the type of what it names; within other text it is written out. What comes
from the environment, and a default, is text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping as AnyMapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias

from mlcore.config.nodes import MAX_DEPTH, MAX_TEXT, MAX_VALUES
from mlcore.config.paths import Path, dotted, key_at, parse_path
from mlcore.config.scalars import write_scalar
from mlcore.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

# A config holds any plain data.
Data: TypeAlias = Any

_TOKEN = re.compile(r"\$\$\{|\$\{(?:(?P<body>[^{}]*)\})?")
_ENV = "env:"
_MAX_CHAIN = 100  # values being resolved at once, the collections around them counted; Python's own limit is far above


class Interpolation:
    """Resolves the references of one config.

    Args:
        data: The config as it is written.
        fail: Makes the error for a key path.
        environ: The environment; None leaves its references as they are.
    """

    def __init__(
        self,
        data: dict[str, Data],
        fail: Callable[[Path, str, str | None], ConfigError],
        *,
        environ: AnyMapping[str, str] | None = os.environ,
    ) -> None:
        self.referenced: set[Path] = set()
        self.from_environment: set[str] = set()
        self._data, self._fail, self._environ = data, fail, environ
        self._done: dict[Path, Data] = {}
        self._active: dict[Path, None] = {}
        self._values = self._characters = 0

    def resolve(self) -> dict[str, Data]:
        """Copy the config with all references replaced."""
        result: dict[str, Data] = self._at((), self._data)
        return result

    def _at(self, path: Path, raw: Data) -> Data:
        if path in self._done:
            return self._done[path]
        self._enter(path)
        if isinstance(raw, dict):
            result: Data = {key: self._at((*path, key), value) for key, value in raw.items()}
        elif isinstance(raw, list):
            result = [self._at((*path, index), value) for index, value in enumerate(raw)]
        else:
            result = self._text(path, raw) if isinstance(raw, str) else raw
        del self._active[path]
        self._done[path] = result
        return result

    def _enter(self, path: Path) -> None:
        if path in self._active:
            chain = list(self._active)[list(self._active).index(path) :]
            names = " -> ".join(dotted(part) or "the whole config" for part in [*chain, path])
            raise self._fail(path, f"this refers to itself: {names}", "give one of them a value of its own")
        if len(self._active) > _MAX_CHAIN:
            raise self._fail(path, "this is a chain of too many references", "refer to the value itself")
        self._active[path] = None

    def _text(self, path: Path, raw: str) -> Data:
        token = _TOKEN.fullmatch(raw)
        if token and token["body"] is not None:
            return self._copy(self._named(path, token["body"]), path, len(path))
        text = _TOKEN.sub(lambda token: self._embed(path, token), raw)
        self._count(path, values=0, characters=len(text))
        return text

    def _embed(self, path: Path, token: re.Match[str]) -> str:
        if token[0] == "$${":
            return "${"
        body = token["body"]
        if body is None:
            hint = "close it as ${key.path}; a plain ${ is written $${"
            raise self._fail(path, "a reference `${` is not closed, or holds another one", hint)
        value = self._named(path, body)
        if isinstance(value, dict | list):
            kind = "a mapping" if isinstance(value, dict) else "a list"
            hint = "refer to one of its values"
            raise self._fail(path, f"${{{body}}} is {kind}, which cannot stand within text", hint)
        text = write_scalar(value)[0]
        self._count(path, values=0, characters=len(text))
        return text

    def _named(self, path: Path, body: str) -> Data:
        if body.startswith(_ENV):
            return self._from_environment(path, body)
        parts = parse_path(body.strip())
        if not parts or not all(parts):
            hint = "write ${env:NAME} or ${key.path}; a plain ${ is written $${"
            raise self._fail(path, f"${{{body}}} names nothing", hint)
        return self._from_config(path, body, parts)

    def _from_environment(self, path: Path, body: str) -> str:
        if self._environ is None:
            return f"${{{body}}}"
        name, colon, default = body.removeprefix(_ENV).partition(":")
        value = self._environ.get(name) if name else None
        if value is not None:
            self.from_environment.add(value)
            return value
        if colon and name:
            return default
        close = get_close_matches(name, list(self._environ), n=1)
        guess = f"did you mean {close[0]!r}? Otherwise " if close else ""
        hint = f"{guess}set it, or write a default: ${{env:{name or 'NAME'}:default}}"
        raise self._fail(path, f"the environment variable {name!r} is not set", hint)

    def _from_config(self, path: Path, body: str, parts: Path) -> Data:
        value: Data = self._data
        place: Path = ()
        resolved = False
        for number, part in enumerate(parts):
            if isinstance(value, str) and not resolved:
                value, resolved = self._at(place, value), True  # the way leads through another reference
            try:
                key = key_at(value, part)
            except LookupError:
                raise self._unknown(path, body, value, parts[: number + 1]) from None
            value, place = value[key], (*place, key)
        self.referenced.add(place)
        return value if resolved else self._at(place, value)

    def _unknown(self, path: Path, body: str, value: Data, parts: Path) -> ConfigError:
        *above, part = parts
        holder = repr(dotted(tuple(above))) if above else "the config"
        if isinstance(value, dict):
            hint = nearest(str(part), [str(key) for key in value])
            return self._fail(path, f"${{{body}}}: {holder} has no key {part!r}", hint)
        if isinstance(value, list):
            return self._fail(path, f"${{{body}}}: {holder} is a list of {len(value)} items, and has no {part!r}", None)
        return self._fail(path, f"${{{body}}}: {holder} is a single value, and has no {part!r}", None)

    def _copy(self, value: Data, path: Path, depth: int) -> Data:
        self._count(path, values=1, characters=len(value) if isinstance(value, str) else 0)
        if depth > MAX_DEPTH:
            raise self._fail(path, f"with its references replaced this is nested deeper than {MAX_DEPTH} levels", None)
        if isinstance(value, dict):
            return {key: self._copy(item, path, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self._copy(item, path, depth + 1) for item in value]
        return value

    def _count(self, path: Path, *, values: int, characters: int) -> None:
        self._values += values
        self._characters += characters
        if self._values > MAX_VALUES or self._characters > MAX_TEXT:
            found = f"with its references replaced this is more than {MAX_VALUES:,} values or {MAX_TEXT:,} characters"
            raise self._fail(path, found, "refer less often to what refers to others")


def fill_environment(value: Data, environ: AnyMapping[str, str] = os.environ) -> Data:
    """Replace `${env:NAME}` in all texts of plain data, and nothing else: the rest of what `resolve` leaves out.

    Raises:
        ConfigError: A variable is not set.
    """
    if isinstance(value, dict):
        return {key: fill_environment(item, environ) for key, item in value.items()}
    if isinstance(value, list):
        return [fill_environment(item, environ) for item in value]
    if isinstance(value, str) and f"${{{_ENV}" in value:
        return Interpolation({"value": value}, _unset, environ=environ).resolve()["value"]
    return value


def _unset(path: Path, what: str, hint: str | None) -> ConfigError:
    return ConfigError(what, hint=hint)
