"""Top-level keys that only hold values for use elsewhere, as `common: &common {…}` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcore.config.nodes import Alias, Mapping, Node, Value, children, deref
from mlcore.config.paths import Path

if TYPE_CHECKING:
    from collections.abc import Collection

    from mlcore.config.scalars import Plain


def holder_keys(root: Mapping, known: Collection[str], referenced: Collection[Path]) -> list[Plain]:
    """List the unknown top-level keys all of whose content is used elsewhere.

    Args:
        root: The config.
        known: The keys that the schema takes.
        referenced: The key paths that references name.
    """
    uses = {pair.key.value: set(_targets(pair.value)) for pair in root.pairs}
    unknown = [pair for pair in root.pairs if not pair.merge and pair.key.value not in known]
    result: list[Plain] = []
    for pair in unknown:
        key = pair.key.value
        used = {target for other, targets in uses.items() if other != key for target in targets}
        if _is_used((key,), pair.value, used, referenced):
            result.append(key)
    return result


def _targets(node: Node) -> list[Value]:
    if isinstance(node, Alias):
        return [node.target]
    return [target for child in children(node) for target in _targets(child)]


def _is_used(path: Path, node: Node, used: set[Value], referenced: Collection[Path]) -> bool:
    if deref(node) in used or path in referenced:
        return True
    parts = _parts(node)
    return bool(parts) and all(_is_used((*path, part), child, used, referenced) for part, child in parts)


def _parts(node: Node) -> list[tuple[object, Node]]:
    value = deref(node)
    if isinstance(value, Mapping):
        return [(pair.key.value, pair.value) for pair in value.pairs]
    return list(enumerate(children(value)))
