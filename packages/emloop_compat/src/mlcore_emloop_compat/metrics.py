"""From what hooks wrote about an epoch to plain numbers."""

from __future__ import annotations

import numbers
from collections.abc import Mapping

from mlcore_emloop_compat.types import EpochData


def scalars(epoch_data: EpochData) -> dict[str, dict[str, float]]:
    """Numbers by stream and name: a variable's mean under its own name, other aggregates as `name_aggregate`."""
    return {
        stream: dict(item for variable, value in data.items() for item in _named(variable, value))
        for stream, data in epoch_data.items()
        if isinstance(data, Mapping)
    }


def _named(variable: str, value: object) -> list[tuple[str, float]]:
    if isinstance(value, numbers.Real):
        return [(variable, float(value))]
    if not isinstance(value, Mapping):
        return []
    named = ((variable if name == "mean" else f"{variable}_{name}", number) for name, number in value.items())
    return [(name, float(number)) for name, number in named if isinstance(number, numbers.Real)]
