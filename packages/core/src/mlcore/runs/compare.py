"""Comparing runs: what differs in their configs, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlcore.runs.view import RunView


@dataclass(frozen=True)
class Row:
    """One key with its value in each run; None where a run has none.

    Args:
        key: A config key such as `model.alpha`, or a series such as `valid.loss`.
        values: In the order of the runs.
    """

    key: str
    values: tuple[Any, ...]  # any YAML value, or a number


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Args:
        runs: Which ones.
        config: Keys whose values differ.
        metrics: Last value of every series.
    """

    runs: tuple[RunView, ...]
    config: tuple[Row, ...]
    metrics: tuple[Row, ...]


def compare(runs: Sequence[RunView]) -> Comparison:
    """Put runs side by side."""
    configs = [flatten(run.effective_config().data) for run in runs]
    last = [{f"{m.stream}.{m.name}" if m.stream else m.name: m.last for m in run.metrics} for run in runs]
    differing = [row for row in _rows(configs) if any(value != row.values[0] for value in row.values)]
    return Comparison(tuple(runs), tuple(differing), tuple(_rows(last)))


def _rows(columns: Sequence[Mapping[str, Any]]) -> list[Row]:  # any YAML values, or numbers
    keys = dict.fromkeys(key for column in columns for key in column)
    return [Row(key, tuple(column.get(key) for column in columns)) for key in keys]


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:  # any YAML value
    """Leaves by dotted key; a list of plain values is a leaf."""
    items: list[tuple[Any, Any]] = []
    if isinstance(value, Mapping):
        items = list(value.items())
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        items = list(enumerate(value))
    if not items:
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, item in items:
        found |= flatten(item, f"{prefix}.{key}" if prefix else str(key))
    return found
