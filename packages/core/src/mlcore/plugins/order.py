"""In which order plugins load: by name, but after what they require."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def in_order(requires: Mapping[str, Sequence[str]]) -> tuple[list[str], dict[str, str]]:
    """Sort names so that each comes after those that it requires.

    Args:
        requires: What each name requires; names that are not keys are passed over.

    Returns:
        The order, and for each name that is part of a circle the circle, said in one line.

    Example:
        >>> in_order({"a": ("c",), "b": (), "c": ()})
        (['c', 'a', 'b'], {})
        >>> in_order({"a": ("b",), "b": ("a",)})[1]["a"]
        'a requires b requires a'
    """
    order: list[str] = []
    circles: dict[str, str] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = path[path.index(name) :]
            circles.update(dict.fromkeys(circle, " requires ".join((*circle, name))))
        elif name in requires and name not in order:
            for needed in sorted(requires[name]):
                visit(needed, (*path, name))
            order.append(name)

    for name in sorted(requires):
        visit(name, ())
    return order, circles
