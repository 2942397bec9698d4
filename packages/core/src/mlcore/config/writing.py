"""Tree in, text out: writing a config back as YAML, and making a tree from Python data."""

from __future__ import annotations

import copy
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from collections.abc import Mapping as AnyMapping
from datetime import date
from typing import TYPE_CHECKING, Any

from mlcore.config.document import compose
from mlcore.config.nodes import MAX_DEPTH, Alias, Mapping, Node, Scalar, Sequence, Value, too_deep
from mlcore.config.paths import Path, dotted
from mlcore.config.scalars import PREFIX, kind_of, write_scalar
from mlcore.errors import ConfigError

if TYPE_CHECKING:
    from ruamel.yaml.events import Event, ScalarEvent

    from mlcore.config.scalars import Plain

_LINE_ENDS = re.compile("[\\x85\\u2028\\u2029]")  # the emitter breaks block text at these
_PLAIN = (str, int, float, bytes, date, type(None))


def write_yaml(root: Node, *, redactions: dict[Scalar, str], clean: Callable[[str], str], comments: bool) -> str:
    """Write a tree as YAML text.

    Args:
        root: The tree.
        redactions: What stands in place of some values.
        clean: Removes secrets from a comment.
        comments: Whether comments are written.
    """
    from ruamel.yaml import YAML, events

    yaml = YAML()
    yaml.width = sys.maxsize
    writer = _Writer(redactions, clean, comments=comments)
    frame_start = [events.StreamStartEvent(), events.DocumentStartEvent(explicit=False)]
    frame_end = [events.DocumentEndEvent(explicit=False), events.StreamEndEvent()]
    stream = io.StringIO()
    yaml.emit([*frame_start, *writer.events(root), *frame_end], stream)
    return stream.getvalue()


class _Writer:
    """Walks a tree as events. It copies each one, since emitting changes their comments."""

    def __init__(self, redactions: dict[Scalar, str], clean: Callable[[str], str], *, comments: bool) -> None:
        self._redactions, self._clean, self._comments = redactions, clean, comments
        self._anchors: dict[str, Value] = {}

    def events(self, node: Node) -> Iterator[Event]:
        event = self._scalar(node) if isinstance(node, Scalar) else self._copy(node.event)
        if isinstance(node, Alias):
            event.anchor = self._name(node.target)
        elif node.event.anchor is not None:
            event.anchor = self._name(node)
        yield event
        if isinstance(node, Sequence):
            for item in node.items:
                yield from self.events(item)
        elif isinstance(node, Mapping):
            for pair in node.pairs:
                yield self._scalar(pair.key, key=True)
                yield from self.events(pair.value)
        if isinstance(node, Sequence | Mapping):
            yield self._copy(node.end)

    def _scalar(self, node: Scalar, *, key: bool = False) -> ScalarEvent:
        event: ScalarEvent = self._copy(node.event)
        odd = event.tag is not None or (key and not event.value) or _LINE_ENDS.search(event.value)
        if node in self._redactions or odd:
            event = _scalar_event(self._redactions.get(node, node.value))
            event.comment = self._copy(node.event).comment
        else:
            event = _settled(event, node.value)
        if event.style == ">":  # the emitter loses blank lines in these
            event.value, event.style = event.value.replace("\a", ""), "|"
        return event

    def _name(self, node: Value) -> str:
        wanted: str = node.event.anchor
        name, number = wanted, 1
        while self._anchors.setdefault(name, node) is not node:
            number += 1
            name = f"{wanted}-{number}"
        return name

    def _copy(self, event: Any) -> Any:  # the events' own classes declare their fields as Any
        event = copy.copy(event)
        event.comment = self._comment(event.comment) if self._comments else None
        return event

    def _comment(self, comment: Any) -> Any:
        if isinstance(comment, list):
            return [self._comment(part) for part in comment]
        if comment is None or isinstance(comment, str):
            return comment and self._clean(comment)
        return type(comment)(self._clean(comment.value), comment.start_mark, comment.end_mark)


def _settled(event: ScalarEvent, value: Plain) -> ScalarEvent:
    """Say all that the emitter may ask for: whether text may be quoted, and what an empty value is."""
    from ruamel.yaml.tag import Tag

    is_text = isinstance(value, str)
    event.implicit = (event.implicit[0], is_text, True)
    if not event.value:
        event.ctag = Tag(suffix=PREFIX + ("str" if is_text else "null"))
    return event


def tree_of(data: AnyMapping[Any, Any], name: str) -> Mapping:
    """Make a tree from Python data."""
    root = compose(_events(data, (), name), place=lambda _: name)
    if not isinstance(root, Mapping):
        raise _bad_value(data, (), name)
    return root


def scalar_of(value: Plain, position: str) -> Scalar:
    """Make a single value."""
    return Scalar(_scalar_event(value), position, value)


def _events(data: object, path: Path, name: str) -> Iterator[Event]:
    from ruamel.yaml import events

    if len(path) > MAX_DEPTH:
        raise too_deep(f"{name}: {dotted(path[:3])}…")
    if isinstance(data, os.PathLike):
        data = os.fspath(data)
    if isinstance(data, AnyMapping):
        yield events.MappingStartEvent(None, None, True, flow_style=False)
        for key, value in data.items():
            yield from _key_events(key, path, name)
            yield from _events(value, (*path, key), name)
        yield events.MappingEndEvent()
    elif isinstance(data, list | tuple):
        yield events.SequenceStartEvent(None, None, True, flow_style=False)
        for index, item in enumerate(data):
            yield from _events(item, (*path, index), name)
        yield events.SequenceEndEvent()
    elif isinstance(data, _PLAIN):
        yield _checked_scalar(data, path, name)
    else:
        raise _bad_value(data, path, name)


def _key_events(key: object, path: Path, name: str) -> Iterator[Event]:
    if not isinstance(key, _PLAIN):
        raise _bad_value(key, path, name)
    yield _checked_scalar(key, path, name)


def _checked_scalar(value: Any, path: Path, name: str) -> ScalarEvent:
    try:
        event = _scalar_event(value)
        event.value.encode()
    except ValueError as error:  # half a surrogate pair, or an int that is too long to be written
        raise ConfigError("this value cannot be written", where=_where(name, path), hint=str(error)) from error
    return event


def _scalar_event(value: Any) -> ScalarEvent:
    from ruamel.yaml.events import ScalarEvent
    from ruamel.yaml.tag import Tag

    text, kind = write_scalar(value)
    if kind == "binary":
        return ScalarEvent(None, Tag(suffix=PREFIX + kind), (False, False, True), text, style="'")
    if kind == "str" and (kind_of(text) != "str" or not text.isprintable()):
        return _settled(ScalarEvent(None, None, (False, True), text, style='"'), value)
    return _settled(ScalarEvent(None, None, (True, True), text), value)


def _bad_value(value: object, path: Path, name: str) -> ConfigError:
    kind = type(value)
    found = f"a {kind.__module__}.{kind.__qualname__} is no config data"
    hint = "a config holds mappings, lists, text, numbers, true/false, dates, bytes and None"
    return ConfigError(found, where=_where(name, path), hint=hint)


def _where(name: str, path: Path) -> str:
    return f"{name}: {dotted(path)}" if path else name
