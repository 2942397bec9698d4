"""The config of a run: where it is read, changed, checked and written."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlcore.config import nodes
from mlcore.config.interpolation import Interpolation
from mlcore.config.overrides import apply_override
from mlcore.config.paths import Path as KeyPath
from mlcore.config.paths import dotted, parse_path
from mlcore.config.scalars import write_scalar
from mlcore.config.secrets import find_secrets, hide, is_marker, is_secret_key, marker, scalars
from mlcore.config.sections import holder_keys
from mlcore.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from mlcore.config.scalars import Plain
    from mlcore.config.validation import Problem

Schema = TypeVar("Schema", bound="BaseModel")

_SHOWN = 60


class Config:
    """A config: YAML or plain data, with overrides applied.

    Example:
        >>> config = Config.of({"model": {"alpha": 1}, "name": "${model.alpha}"}, ["model.alpha=1e-3"])
        >>> config.get("model.alpha"), config.resolve()["name"]
        (0.001, 0.001)

    Attributes:
        name: The file as it was given, or "config".
        overrides: The overrides as they may be shown, without secrets.
    """

    def __init__(self, root: nodes.Mapping, name: str, overrides: Iterable[str] = ()) -> None:
        self.name = name
        nodes.check_size(root)
        self.overrides = tuple([apply_override(root, override) for override in overrides])
        self._root = root

    @classmethod
    def read(cls, path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Config:
        """Read a YAML or JSON file, or the `config.yaml` of a folder.

        Raises:
            ConfigError: It cannot be read, is no config, or an override does not fit.
        """
        from mlcore.config.document import read_text

        text, name = read_text(Path(path))
        return cls.parse(text, name=name, overrides=overrides)

    @classmethod
    def parse(cls, text: str, *, name: str = "config", overrides: Iterable[str] = ()) -> Config:
        """Read YAML or JSON text; errors call it `name`.

        Raises:
            ConfigError: It is no config, or an override does not fit.
        """
        from mlcore.config.document import parse_document

        return cls(parse_document(text, name), name, overrides)

    @classmethod
    def of(cls, data: Mapping[str, Any], overrides: Iterable[str] = ()) -> Config:  # a config holds any plain data
        """Make a config of Python data; its positions are only "config".

        Raises:
            ConfigError: A value is no plain data, or an override does not fit.
        """
        from mlcore.config.writing import tree_of

        return cls(tree_of(data, "config"), "config", overrides)

    def __repr__(self) -> str:
        return f"Config({self.name!r})"

    @property
    def data(self) -> dict[str, Any]:  # a config holds any plain data
        """The whole config as a fresh copy, with references kept."""
        data: dict[str, Any] = nodes.plain(self._root)
        return data

    def get(self, path: str | Sequence[str | int], default: Any = None) -> Any:  # a config holds any plain data
        """Give the value at a key path, with references kept, or the default when there is none."""
        parts = parse_path(path)
        found = list(nodes.walk(self._root, parts))
        if len(found) < len(parts):
            return default
        return nodes.plain(found[-1].node if found else self._root)

    def resolve(self, *, environment: bool = True) -> dict[str, Any]:
        """Give the whole config with `${env:NAME}` and `${key.path}` replaced.

        Args:
            environment: Whether to replace `${env:NAME}` too; what is stored keeps it, as it may be a secret.

        Raises:
            ConfigError: A reference names nothing, or leads to itself.
        """
        return self._interpolation(environment=environment).resolve()

    def validate(self, schema: type[Schema]) -> Schema:
        """Check the resolved config against a schema.

        Top-level keys that the schema does not know are left out when all they hold is used by an alias, a merge or
        a reference elsewhere.

        Raises:
            ConfigError: It does not fit; one error names all problems.
        """
        import pydantic

        from mlcore.config.validation import problems, top_names

        interpolation = self._interpolation()
        data = interpolation.resolve()
        if schema.model_config.get("extra") != "allow":
            for key in holder_keys(self._root, top_names(schema), interpolation.referenced):
                data.pop(key)  # type: ignore[arg-type] # top-level keys may be any YAML scalar
        try:
            return schema.model_validate(data)
        except pydantic.ValidationError as error:
            found = problems(error, schema, data)
            raise self._invalid(found, interpolation.from_environment) from error

    def position(self, path: str | Sequence[str | int]) -> str:
        """Tell where a key stands, as `train.yaml:12:3`; for a missing one, where what should hold it stands."""
        return self._locate(parse_path(path))

    def error(self, path: str | Sequence[str | int], what: str, hint: str | None = None) -> ConfigError:
        """Make the error for a value of this config, to be raised by who found it."""
        return self._error(parse_path(path), what, hint)

    def dump(self) -> str:
        """Write the config as YAML: overrides applied, references kept, secrets replaced by a marker."""
        text = self._write(comments=True)
        # The parser's model of comments has gaps; a stored config must above all be readable.
        return text if self._reads_back(text) else self._write(comments=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The key paths of literals that look like secrets."""
        return tuple(dotted(path) for path in find_secrets(self._root).values())

    @property
    def redacted(self) -> tuple[str, ...]:
        """The key paths whose secret was left out when the config was stored, and must be given again."""
        return tuple(dotted(path) for node, path in scalars(self._root) if is_marker(node.value))

    @property
    def digest(self) -> str:
        """The sha256 of the content, whatever the order of keys; secrets do not count."""
        return hashlib.sha256(self._canonical().encode()).hexdigest()

    def _interpolation(self, *, environment: bool = True) -> Interpolation:
        return Interpolation(self.data, self._error, environ=os.environ if environment else None)

    def _locate(self, path: KeyPath) -> str:
        found = list(nodes.walk(self._root, path))
        return found[-1].position if found else self._root.position

    def _error(self, path: KeyPath, what: str, hint: str | None = None) -> ConfigError:
        place = self._locate(path)
        return ConfigError(what, where=f"{place}: {dotted(path)}" if path else place, hint=hint)

    def _invalid(self, found: list[Problem], hidden: Iterable[str]) -> ConfigError:
        """Make one error of many problems; what came from the environment or looks like a secret is blanked."""
        hidden = sorted({*hidden, *(str(node.value) for node in find_secrets(self._root))}, key=len, reverse=True)
        errors = []
        for problem in dict.fromkeys(found):
            what = _blank(problem.what, hidden) + self._found(problem.path)
            errors.append(self._error(problem.path, what, problem.hint))
        if len(errors) == 1:
            return errors[0]
        lines = [f"{error.where}: {error.what}" + (f"; {error.hint}" if error.hint else "") for error in errors]
        return ConfigError("\n  ".join([f"{len(lines)} problems", *lines]), where=self.name)

    def _found(self, path: KeyPath) -> str:
        """Show the value at a key path as it is written."""
        steps = list(nodes.walk(self._root, path))
        if not steps or len(steps) < len(path):
            return ""
        node = steps[-1].node
        if not isinstance(node, nodes.Scalar):
            return f" (found a {'list' if isinstance(node, nodes.Sequence) else 'mapping'})"
        if is_secret_key(path[-1]) or node in find_secrets(self._root):
            return " (found a secret, not shown)"
        text = repr(node.value) if isinstance(node.value, str) else write_scalar(node.value)[0]
        return f" (found {text if len(text) <= _SHOWN else text[:_SHOWN] + '…'})"

    def _write(self, *, comments: bool) -> str:
        from mlcore.config.writing import write_yaml

        return write_yaml(self._root, redactions=self._redactions(), clean=hide, comments=comments)

    def _redactions(self) -> dict[nodes.Scalar, str]:
        return {node: marker(path) for node, path in find_secrets(self._root).items()}

    def _reads_back(self, text: str) -> bool:
        try:
            return _canonical(Config.parse(text).data) == self._canonical()
        except ConfigError:
            return False

    def _canonical(self) -> str:
        return _canonical(nodes.plain(self._root, self._redactions()))


def _blank(text: str, hidden: Iterable[str]) -> str:
    for value in hidden:
        if value.strip():
            text = text.replace(value, "…")
    return text


def _canonical(data: dict[str, Any]) -> str:  # a config holds any plain data
    return json.dumps(_json(data), sort_keys=True, separators=(",", ":"))


def _json(value: Any) -> Any:  # a config holds any plain data
    """Put into JSON what JSON has no words for: dates, bytes, NaN, keys that are no text."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else _tagged(key): _json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    if isinstance(value, bytes | date) or (isinstance(value, float) and not math.isfinite(value)):
        return {"!": _tagged(value)}
    return value


def _tagged(value: Plain) -> str:
    text, kind = write_scalar(value)
    return f"!{kind} {text}"
