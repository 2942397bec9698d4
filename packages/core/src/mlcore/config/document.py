"""Text in, tree out: reading YAML with positions.

The parser's events are composed here rather than by the parser itself, because that composer recurses, expands
aliases without limit and knows tags that build objects.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcore.config.nodes import (
    MAX_DEPTH,
    MAX_TEXT,
    MAX_VALUES,
    Alias,
    Mapping,
    Node,
    Pair,
    Scalar,
    Sequence,
    Value,
    too_deep,
)
from mlcore.config.scalars import PREFIX, bad_tag, is_merge, read_scalar
from mlcore.errors import ConfigError

if TYPE_CHECKING:
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.events import Event

FILE_NAME = "config.yaml"


def read_text(path: Path) -> tuple[str, str]:
    """Read a config file, or the `config.yaml` of a folder.

    Returns:
        The text, and the path as it is shown.
    """
    if path.is_dir():
        path = _file_in(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TEXT + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if len(data) > MAX_TEXT:
        hint = "large data belong in a file of their own"
        raise ConfigError(f"this file has more than {MAX_TEXT:,} bytes", where=str(path), hint=hint)
    return _decode(data, str(path)), str(path)


def _file_in(folder: Path) -> Path:
    path = folder / FILE_NAME
    if not path.is_file():
        hint = "give the path of the config file itself"
        raise ConfigError(f"this is a folder without a {FILE_NAME}", where=str(folder), hint=hint)
    return path


def _unreadable(path: Path, error: Exception) -> ConfigError:
    if isinstance(error, FileNotFoundError):
        names = sorted(item.name for item in _siblings(path) if item.suffix in (".yaml", ".yml", ".json"))
        hint = f"the folder has: {', '.join(names[:10])}" if names else "check the path"
        return ConfigError("there is no such config file", where=str(path), hint=hint)
    reason = getattr(error, "strerror", None) or str(error)
    found = f"this config file cannot be read: {reason}"
    return ConfigError(found, where=str(path), hint="check its path and its permissions")


def _siblings(path: Path) -> list[Path]:
    try:
        return list(path.parent.iterdir())
    except OSError:
        return []


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        found = f"this is not UTF-8 text: byte 0x{data[error.start]:02x}"
        raise ConfigError(found, where=f"{name}:{line}:{column}", hint="save the file as UTF-8") from error


def parse_document(text: str, name: str) -> Mapping:
    """Read a config's text; its top level must be a mapping."""
    root = _parse_file(text.removeprefix("\ufeff"), name)
    if root is None:
        raise ConfigError("the config is empty", where=name, hint="write at least one `section:` with its settings")
    if not isinstance(root, Mapping):
        found = "a list" if isinstance(root, Sequence) else "a single value"
        hint = "the top level of a config is `key: value` lines"
        raise ConfigError(f"a mapping of keys was expected, and this is {found}", where=root.position, hint=hint)
    return root


def parse_value(text: str, label: str) -> Value | None:
    """Read the value of an override; None when there is no text. Every position in it is the label."""
    return compose(_events(text, label, positions=False, comments=False), place=lambda _: label)


def _parse_file(text: str, name: str) -> Value | None:
    try:
        return compose(_events(text, name, comments=True), place=lambda event: _place(event, name))
    except NotImplementedError:
        # The parser gives up on comments in some places, `key:  # comment` with the value below among them.
        return compose(_events(text, name, comments=False), place=lambda event: _place(event, name))


def _place(event: Event, name: str) -> str:
    mark = event.start_mark
    return f"{name}:{mark.line + 1}:{mark.column + 1}"


def _events(text: str, name: str, *, comments: bool, positions: bool = True) -> Iterator[Event]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    text = text.replace("\r\n", "\n")
    try:
        yaml = YAML() if comments else YAML(typ="safe", pure=True)
        yield from yaml.parse(io.StringIO(text))
    except YAMLError as error:
        raise _syntax_error(error, text, name, positions=positions) from error
    except NotImplementedError:
        raise
    except Exception as error:  # a defect of the parser: it must not look like one of the user's code
        found, hint = f"the YAML parser fails on this ({type(error).__name__})", "write it in a plainer way"
        raise ConfigError(found, where=name, hint=hint) from error


def _syntax_error(error: YAMLError, text: str, name: str, *, positions: bool) -> ConfigError:
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.reader import ReaderError

    line, column, cause = 0, 0, " ".join(str(error).split())
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line, column, cause = mark.line, mark.column, _cause(error)
    elif isinstance(error, ReaderError):
        line, column = text.count("\n", 0, error.position), error.position - text.rfind("\n", 0, error.position) - 1
        cause = f"the character U+{ord(text[error.position]):04X} cannot stand in YAML"
    where = f"{name}:{line + 1}:{column + 1}" if positions else name
    hint = "YAML is indented with spaces, never with tabs" if "'\\t'" in cause else None
    return ConfigError(f"this is not valid YAML: {cause}", where=where, hint=hint)


def _cause(error: MarkedYAMLError) -> str:
    parts = [str(part) for part in (error.context, error.problem) if part]
    return " ".join(", ".join(parts).split())


def compose(events: Iterable[Event], *, place: Callable[[Event], str]) -> Value | None:
    """Build the tree of one document.

    Args:
        events: Parsing events, from text or from Python data.
        place: Tells the position of an event.
    """
    composer = _Composer(place)
    for event in events:
        composer.take(event)
    return composer.root


class _Composer:
    """Takes events one by one; its stack holds the collections that are still open, so that it need not recurse."""

    def __init__(self, place: Callable[[Event], str]) -> None:
        self.root: Value | None = None
        self._place = place
        self._anchors: dict[str, Value] = {}
        self._open: list[tuple[Sequence | Mapping, list[Node]]] = []
        self._count = 0

    def take(self, event: Any) -> None:  # the events' own classes declare their fields as Any
        handler = getattr(self, f"_{type(event).__name__}", None)
        if handler is not None:
            handler(event)

    def _DocumentStartEvent(self, event: Any) -> None:
        if self.root is not None:
            hint = "remove what follows the line `---`"
            raise ConfigError("a second document starts here", where=self._place(event), hint=hint)
        if event.version not in (None, (1, 2)):
            version = ".".join(str(part) for part in event.version)
            found = f"the file asks for YAML {version}, and configs are YAML 1.2"
            raise ConfigError(found, where=self._place(event), hint="remove the line `%YAML`")

    def _ScalarEvent(self, event: Any) -> None:
        position = self._place(event)
        self._add(Scalar(event, position, read_scalar(event, position)), event)

    def _AliasEvent(self, event: Any) -> None:
        position, target = self._place(event), self._anchors.get(event.anchor)
        if target is None:
            raise ConfigError(f"no anchor &{event.anchor} stands before this alias", where=position)
        if any(target is collection for collection, _ in self._open):
            found = f"the alias *{event.anchor} stands within its own anchor"
            raise ConfigError(found, where=position, hint="a value cannot hold itself")
        self._add(Alias(event, position, target), event)

    def _SequenceStartEvent(self, event: Any) -> None:
        self._start(Sequence(event, self._place(event)), event, "seq")

    def _MappingStartEvent(self, event: Any) -> None:
        self._start(Mapping(event, self._place(event)), event, "map")

    def _start(self, node: Sequence | Mapping, event: Any, kind: str) -> None:
        if event.tag not in (None, "!", PREFIX + kind):
            raise bad_tag(event.tag, node.position)
        if len(self._open) == MAX_DEPTH:
            raise too_deep(node.position)
        _keep_line_comment(event)
        self._add(node, event)
        self._open.append((node, []))

    def _SequenceEndEvent(self, event: Any) -> None:
        node, items = self._open.pop()
        node.end = event
        if isinstance(node, Sequence):
            node.items = items

    def _MappingEndEvent(self, event: Any) -> None:
        node, items = self._open.pop()
        node.end = event
        if isinstance(node, Mapping):
            node.pairs = _pairs(items)

    def _add(self, node: Node, event: Any) -> None:
        self._count += 1
        if self._count > 2 * MAX_VALUES:  # keys are counted too
            raise ConfigError(f"this is more than {MAX_VALUES:,} values", where=node.position)
        if event.anchor is not None and not isinstance(node, Alias):
            self._anchors[event.anchor] = node
        if self._open:
            self._open[-1][1].append(node)
        elif not isinstance(node, Alias):
            self.root = node


def _keep_line_comment(event: Any) -> None:
    """Keep `key: &anchor  # comment` on its line; the parser takes it for a comment above the first item."""
    above = event.comment and event.comment[1]
    if above and not event.flow_style and above[0].start_mark.line == event.start_mark.line:
        event.comment = [above[0], above[1:] or None, *event.comment[2:]]


def _pairs(items: list[Node]) -> list[Pair]:
    pairs: dict[object, Pair] = {}
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, Scalar):
            raise ConfigError("a key must be a single value", where=key.position, hint="name it with plain text")
        merge = is_merge(key.event)
        name = ("<<",) if merge else key.value
        if name in pairs:
            found = f"the key {key.event.value!r} is there twice, first at {pairs[name].key.position}"
            raise ConfigError(found, where=key.position, hint="remove one of the two")
        pairs[name] = Pair(key, value, merge)
    return list(pairs.values())
