"""The tree of a config as it was written: values with positions, anchors, aliases and merge keys.

Comments and styles stay in the YAML events that the nodes hold, so that a config can be written back as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from mlcore.config.paths import Path, list_index
from mlcore.errors import ConfigError

if TYPE_CHECKING:
    from ruamel.yaml.events import (
        AliasEvent,
        CollectionEndEvent,
        MappingStartEvent,
        ScalarEvent,
        SequenceStartEvent,
    )

    from mlcore.config.scalars import Plain

MAX_DEPTH = 64
MAX_VALUES = 100_000
MAX_TEXT = 10_000_000


@dataclass(eq=False, slots=True)
class Scalar:
    """A single value."""

    event: ScalarEvent
    position: str
    value: Plain


@dataclass(eq=False, slots=True)
class Sequence:
    """A list."""

    event: SequenceStartEvent
    position: str
    items: list[Node] = field(default_factory=list)
    end: CollectionEndEvent | None = None


@dataclass(eq=False, slots=True)
class Mapping:
    """A mapping: its own pairs, `<<` among them."""

    event: MappingStartEvent
    position: str
    pairs: list[Pair] = field(default_factory=list)
    end: CollectionEndEvent | None = None


@dataclass(eq=False, slots=True)
class Alias:
    """A use of an anchored value elsewhere."""

    event: AliasEvent
    position: str
    target: Value


Value: TypeAlias = "Scalar | Sequence | Mapping"
Node: TypeAlias = "Value | Alias"


@dataclass(eq=False, slots=True)
class Pair:
    """A key and its value."""

    key: Scalar
    value: Node
    merge: bool = False


class Found(NamedTuple):
    """A value reached from its parent, and the position of its key."""

    position: str
    node: Value


def deref(node: Node) -> Value:
    """Follow an alias."""
    return node.target if isinstance(node, Alias) else node


def children(node: Node) -> list[Node]:
    """List the values written directly in a collection."""
    if isinstance(node, Sequence):
        return node.items
    return [pair.value for pair in node.pairs] if isinstance(node, Mapping) else []


def entries(mapping: Mapping) -> dict[object, Pair]:
    """Give the pairs that a mapping has in effect: its own, then merged ones that it does not have itself."""
    own: dict[object, Pair] = {pair.key.value: pair for pair in mapping.pairs if not pair.merge}
    result: dict[object, Pair] = {}
    for pair in mapping.pairs:
        if not pair.merge:
            result.setdefault(pair.key.value, pair)
            continue
        for source in sources(pair):
            for key, merged in entries(source).items():
                result.setdefault(key, own.get(key, merged))
    return result


def sources(pair: Pair) -> list[Mapping]:
    """List the mappings that a merge key takes from.

    Raises:
        ConfigError: It names something else.
    """
    value = deref(pair.value)
    named = [deref(item) for item in value.items] if isinstance(value, Sequence) else [value]
    mappings = [item for item in named if isinstance(item, Mapping)]
    if len(mappings) < len(named):
        hint = "write `<<: *anchor` with the anchor of a mapping"
        raise ConfigError("only mappings can be merged by `<<`", where=pair.key.position, hint=hint)
    return mappings


def plain(node: Node, instead: dict[Scalar, str] | None = None) -> Any:  # a config holds any plain data
    """Copy a node as Python data, some values replaced."""
    value = deref(node)
    if isinstance(value, Scalar):
        return instead.get(value, value.value) if instead else value.value
    if isinstance(value, Sequence):
        return [plain(item, instead) for item in value.items]
    return {key: plain(pair.value, instead) for key, pair in entries(value).items()}


def step(node: Node, part: object) -> Found | None:
    """Go from a collection to the value at a key or an index; None when there is none."""
    value = deref(node)
    if isinstance(value, Sequence):
        index = list_index(part)
        if index is None or index >= len(value.items):
            return None
        return Found(value.items[index].position, deref(value.items[index]))
    if isinstance(value, Mapping):
        pair = find_pair(entries(value), part)
        return Found(pair.key.position, deref(pair.value)) if pair else None
    return None


def find_pair(pairs: dict[object, Pair], part: object) -> Pair | None:
    """Find a key by its value, or by its text: `names.0` reaches the key 0."""
    if part in pairs:
        return pairs[part]
    return next((pair for pair in pairs.values() if pair.key.event.value == str(part)), None)


def walk(root: Node, path: Path) -> Iterator[Found]:
    """Go along a key path as far as it exists."""
    node: Node = root
    for part in path:
        found = step(node, part)
        if found is None:
            return
        yield found
        node = found.node


def settle(node: Node, *, moved: dict[Value, Value], seen: set[Value]) -> Node:
    """Let aliases follow a replaced anchor, and let the first use of a removed one hold its value."""
    if isinstance(node, Alias):
        node.target = moved.get(node.target, node.target)
        if node.target in seen:
            return node
        node = node.target
    seen.add(node)
    if isinstance(node, Sequence):
        node.items = [settle(item, moved=moved, seen=seen) for item in node.items]
    elif isinstance(node, Mapping):
        for pair in node.pairs:
            pair.value = settle(pair.value, moved=moved, seen=seen)
    return node


class _Size(NamedTuple):
    values: int
    text: int
    depth: int


def check_size(root: Value) -> None:
    """Refuse a tree that aliases blow up, before anything is copied out of it.

    Raises:
        ConfigError: It would be too large, too deep, or merges what is no mapping.
    """
    size = _measure(root, 1, {})
    if size.values > MAX_VALUES or size.text > MAX_TEXT:
        amount = f"{MAX_VALUES:,} values" if size.values > MAX_VALUES else f"{MAX_TEXT:,} characters"
        hint = "repeat less by `*aliases`; large data belong in a file of their own"
        raise ConfigError(f"with its aliases expanded this is more than {amount}", where=root.position, hint=hint)


def _measure(node: Node, depth: int, known: dict[Value, _Size]) -> _Size:
    value = deref(node)
    size = known.get(value)
    if size is None:
        if depth > MAX_DEPTH:
            raise too_deep(node.position)
        size = known[value] = _measure_new(value, depth, known)
    if depth + size.depth > MAX_DEPTH + 1:
        raise too_deep(node.position)
    return size


def _measure_new(value: Value, depth: int, known: dict[Value, _Size]) -> _Size:
    if isinstance(value, Scalar):
        return _Size(1, len(value.event.value), 1)
    if isinstance(value, Mapping):
        for pair in value.pairs:
            if pair.merge:
                sources(pair)  # raises when it cannot be merged
    parts = [_measure(child, depth + 1, known) for child in children(value)]
    deepest = max((part.depth for part in parts), default=0)
    return _Size(1 + sum(part.values for part in parts), sum(part.text for part in parts), 1 + deepest)


def too_deep(where: str) -> ConfigError:
    """Say that the nesting is too deep."""
    return ConfigError(f"nested deeper than {MAX_DEPTH} levels", where=where, hint="flatten the config")
