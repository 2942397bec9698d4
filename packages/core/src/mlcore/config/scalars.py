"""Single values: from YAML text to Python and back."""

from __future__ import annotations

import base64
import math
from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from mlcore.errors import ConfigError

if TYPE_CHECKING:
    from ruamel.yaml import YAML
    from ruamel.yaml.events import ScalarEvent

Plain: TypeAlias = str | int | float | bool | bytes | date | datetime | None

PREFIX = "tag:yaml.org,2002:"
_READERS = ("null", "bool", "int", "float", "binary", "timestamp")


@lru_cache(maxsize=1)
def _yaml() -> YAML:
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True)


def kind_of(text: str) -> str:
    """Name the YAML 1.2 kind that unquoted text has: int, float, bool, null, timestamp, merge or str."""
    from ruamel.yaml.nodes import ScalarNode

    tag = str(_yaml().resolver.resolve(ScalarNode, text, (True, False))).removeprefix(PREFIX)
    return "str" if tag == "value" else tag


def is_merge(event: ScalarEvent) -> bool:
    """Say whether a key is the merge key `<<`, unquoted."""
    return event.tag is None and not event.style and event.value == "<<"


def read_scalar(event: ScalarEvent, where: str) -> Plain:
    """Turn a scalar of a YAML file into its value.

    Raises:
        ConfigError: The tag is not one of plain data, or the text is not what its tag says.
    """
    kind = _kind(event, where)
    if kind in ("str", "merge"):
        return _text(event, where)
    try:
        return _construct(kind, event.value)
    except Exception as error:  # whatever the reader of such values trips over, the text is at fault
        hint = "quote it if it is meant as text"
        raise ConfigError(f"this looks like a value of type {kind}, and is none", where=where, hint=hint) from error


def _kind(event: ScalarEvent, where: str) -> str:
    tag = event.tag
    if tag is None:
        return "str" if event.style else kind_of(event.value)
    kind = tag.removeprefix(PREFIX)
    if tag == "!" or kind == "str":
        return "str"
    if not tag.startswith(PREFIX) or kind not in _READERS:
        raise bad_tag(tag, where)
    return kind


def bad_tag(tag: str, where: str) -> ConfigError:
    """Say that a tag is not accepted."""
    shown = tag.replace(PREFIX, "!!")
    hint = "a config holds plain data; remove the tag"
    return ConfigError(f"the tag {shown!r} is not accepted", where=where, hint=hint)


def _construct(kind: str, text: str) -> Plain:
    from ruamel.yaml.nodes import ScalarNode

    if kind == "timestamp" and ":" in text:
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass  # YAML also has `2001-12-14 21:59:43 -5`; the reader below knows
    if kind == "binary":
        return base64.b64decode("".join(text.split()), validate=True)
    reader = getattr(_yaml().constructor, f"construct_yaml_{kind}")
    value: Plain = reader(ScalarNode(PREFIX + kind, text))
    return value


def _text(event: ScalarEvent, where: str) -> str:
    # The round trip scanner marks the folds of `>` by a bell character, which no YAML file can hold itself.
    text: str = event.value.replace("\a", "") if event.style == ">" else event.value
    if not any("\ud800" <= char <= "\udfff" for char in text):
        return text
    try:  # JSON writes a character above U+FFFF as two escapes
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as error:
        raise ConfigError("half a surrogate pair is not text", where=where) from error


def write_scalar(value: Plain) -> tuple[str, str]:
    """Write a value as YAML text, with its kind."""
    if isinstance(value, str):
        return str.__str__(value), "str"
    if value is None or isinstance(value, bool):
        return ("null", "null") if value is None else (str(value).lower(), "bool")
    if isinstance(value, int):
        return int.__repr__(value), "int"
    if isinstance(value, float):
        return _float_text(value), "float"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode(), "binary"
    return str(value), "timestamp"


def _float_text(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    return float.__repr__(value)
