"""Overrides: `model.alpha=0.01` on the command line changes one value of the tree.

What an anchor names is one value: changing it changes it at every alias and merge. So `common.bs=3` reaches a
`<<: *common`, and so does a path that goes *through* an alias. Setting the place of an alias or of a merged key
itself changes that place only.
"""

from __future__ import annotations

import json

from mlcore.config.nodes import (
    Alias,
    Mapping,
    Node,
    Pair,
    Scalar,
    Sequence,
    Value,
    check_size,
    deref,
    entries,
    find_pair,
    settle,
    step,
)
from mlcore.config.paths import list_index
from mlcore.config.secrets import REFERENCE, is_secret_key, looks_secret, marker
from mlcore.errors import ConfigError, nearest

_FORM = "write it as key.path=VALUE, for example model.alpha=0.01"
_SHOWN = 60


def apply_override(root: Mapping, override: str) -> str:
    """Change one value of a tree in place.

    Returns:
        The override as it may be shown, without secrets.

    Raises:
        ConfigError: It has no `=`, its path does not exist, or its value is no YAML.
    """
    from mlcore.config.document import parse_value
    from mlcore.config.writing import scalar_of

    path, text = _split(override)
    shown = _shown(path, text)
    label = f"override {shown!r}"
    parent = _parent(root, path, label)
    value = parse_value(text, label) or scalar_of(None, label)
    moved = _assign(parent, path, value, label)
    settle(root, moved=moved, seen=set())
    check_size(root)
    return shown


def without_secret(override: str) -> str:
    """Give an override as it may be stored: a secret is replaced by the marker that asks for it again."""
    path, text = _split(override)
    if not _is_hidden(path, text) or REFERENCE.fullmatch(text.strip()):
        return override
    return f"{'.'.join(path)}={json.dumps(marker(tuple(path)), ensure_ascii=False)}"


def _split(override: str) -> tuple[list[str], str]:
    key, equals, text = override.partition("=")
    path = key.strip().split(".")
    if not equals:
        raise ConfigError("there is no `=` in it", where=f"override {_cut(override)!r}", hint=_FORM)
    if not all(path):
        raise ConfigError("a part of its key path is empty", where=f"override {_shown(path, text)!r}", hint=_FORM)
    return path, text


def _shown(path: list[str], text: str) -> str:
    key = ".".join(path)
    return _cut(f"{key}=…" if _is_hidden(path, text) else f"{key}={text}")


def _is_hidden(path: list[str], text: str) -> bool:
    return any(is_secret_key(part) for part in path) or looks_secret(text)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _parent(root: Mapping, path: list[str], label: str) -> Mapping | Sequence:
    node: Value = root
    for number, part in enumerate(path):
        if isinstance(node, Scalar):
            raise _no_collection(node, path[:number], label)
        if number == len(path) - 1:
            return node
        found = step(node, part)
        if found is None:
            raise _unknown(node, path[: number + 1], label)
        node = found.node
    raise ConfigError("its key path is empty", where=label, hint=_FORM)


def _no_collection(node: Scalar, path: list[str], label: str) -> ConfigError:
    name, kind = ".".join(path), "empty" if node.value is None else "a single value"
    hint = f"it stands at {node.position}; override it as a whole: {name}={{…}}"
    return ConfigError(f"{name!r} is {kind}, so nothing can be set below it", where=label, hint=hint)


def _unknown(node: Mapping | Sequence, path: list[str], label: str) -> ConfigError:
    *above, part = path
    holder = repr(".".join(above)) if above else "the config"
    if isinstance(node, Mapping):
        names = [str(key) for key in entries(node)]
        return ConfigError(f"{holder} has no key {part!r}", where=label, hint=nearest(part, names))
    return _bad_index(node, holder, part, label)


def _bad_index(node: Sequence, holder: str, part: str, label: str) -> ConfigError:
    count = len(node.items)
    hint = f"use an index from 0 to {count - 1}" if count else "the list is empty; override it as a whole"
    if list_index(part) is None:
        return ConfigError(f"{holder} is a list, and {part!r} is no index", where=label, hint=hint)
    return ConfigError(f"{holder} has {count} items, and no index {part}", where=label, hint=hint)


def _assign(parent: Mapping | Sequence, path: list[str], value: Value, label: str) -> dict[Value, Value]:
    if isinstance(parent, Sequence):
        if step(parent, path[-1]) is None:
            raise _unknown(parent, path, label)
        index = int(path[-1])
        old, parent.items[index] = parent.items[index], value
        return _replace(old, value)
    pair = find_pair({pair.key.value: pair for pair in parent.pairs if not pair.merge}, path[-1])
    if pair is None:
        _keep_below(parent, value)
        parent.pairs.append(Pair(_new_key(parent, path[-1], label), value))
        return {}
    old, pair.value = pair.value, value
    pair.key.position = label
    return _replace(old, value)


def _keep_below(parent: Mapping, value: Value) -> None:
    """Keep comments below the last value, such as the heading of the next section, below a value added after it."""
    last = parent.pairs[-1].value if parent.pairs else None
    if not isinstance(last, Scalar) or not isinstance(value, Scalar) or last.event.style in ("|", ">"):
        return
    comment = last.event.comment and last.event.comment[0]
    if comment:
        line, newline, below = comment.value.partition("\n")
        value.event.comment = [type(comment)(newline + below, comment.start_mark), None]
        last.event.comment = [type(comment)(line, comment.start_mark), None] if line else None


def _new_key(parent: Mapping, part: str, label: str) -> Scalar:
    """Make a key of the mapping's own; one that is merged in keeps its type."""
    from mlcore.config.writing import scalar_of

    merged = find_pair(entries(parent), part)
    return scalar_of(merged.key.value if merged else part, label)


def _replace(old: Node, new: Value) -> dict[Value, Value]:
    if isinstance(new, Scalar) and isinstance(old, Scalar | Alias):
        new.event.comment = old.event.comment
    if isinstance(old, Alias) or old.event.anchor is None:
        return {}
    new.event.anchor = old.event.anchor
    return {deref(old): new}
