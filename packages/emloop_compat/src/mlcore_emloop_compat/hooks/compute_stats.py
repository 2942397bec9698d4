"""Aggregates of variables over an epoch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any

import numpy as np

from mlcore.errors import nearest
from mlcore_emloop_compat.hooks.accumulate_variables import AccumulateVariables, unusable
from mlcore_emloop_compat.hooks.arguments import as_list
from mlcore_emloop_compat.types import EpochData, HookError


class ComputeStats(AccumulateVariables):
    """Writes `epoch_data[stream][variable][aggregation]`.

    Args:
        variables: Names of variables, whose mean is taken, or mappings of a name to a list of aggregations: any NumPy
            function that reduces a list to a number, `nanfraction` or `nancount`.
        kwargs: See `AbstractHook`.

    Raises:
        ValueError: An aggregation is unknown.
    """

    EXTRA_AGGREGATIONS: Mapping[str, Callable[[Any], Any]] = {
        "nanfraction": lambda values: np.sum(np.isnan(values)) / len(values),
        "nancount": lambda values: np.sum(np.isnan(values)),
    }

    def __init__(self, variables: Iterable[str | Mapping[str, Iterable[str]]], **kwargs: Any) -> None:
        wanted: dict[str, list[str]] = defaultdict(list)
        for item in as_list(self, "variables", variables):
            for name, aggregations in item.items() if isinstance(item, Mapping) else [(item, ["mean"])]:
                _check_name(name)
                wanted[name].extend(as_list(self, f"aggregations of {name}", aggregations))
        for aggregation in {name for names in wanted.values() for name in names}:
            self._raise_check_aggregation(aggregation)
        self._aggregations = dict(wanted)
        super().__init__(variables=wanted, **kwargs)

    @classmethod
    def _raise_check_aggregation(cls, aggregation: str) -> None:
        if aggregation not in cls.EXTRA_AGGREGATIONS and not callable(getattr(np, str(aggregation), None)):
            common = ["mean", "std", "min", "max", "median", "sum", *cls.EXTRA_AGGREGATIONS]
            raise HookError(
                f"ComputeStats knows no aggregation {aggregation!r}", hint=nearest(str(aggregation), common)
            )

    @classmethod
    def _compute_aggregation(cls, aggregation: str, values: Any) -> Any:  # a list of numbers or arrays
        return cls.EXTRA_AGGREGATIONS.get(aggregation, getattr(np, aggregation, None))(values)  # type: ignore[misc]

    def after_batch(self, stream_name: str, batch_data: Mapping[str, Any]) -> None:
        """Accumulate; a one-dimensional array becomes plain numbers, which is several times quicker."""
        kept = self._accumulator[stream_name]
        try:
            for variable in self._variables:
                value = batch_data[variable]
                kept[variable].extend(value.tolist() if type(value) is np.ndarray and value.ndim == 1 else value)
        except (KeyError, TypeError) as error:
            raise unusable(self, self._variables, stream_name, batch_data) from error

    def _save_stats(self, epoch_data: EpochData) -> None:
        for stream_name, stream_data in epoch_data.items():
            if not isinstance(stream_data, MutableMapping):
                continue
            for variable, aggregations in self._aggregations.items():
                values = self._accumulator[stream_name][variable]
                stats = {name: self._compute_aggregation(name, values) for name in aggregations} if values else {}
                stream_data[variable] = stats or dict.fromkeys(aggregations, float("nan"))

    def after_epoch(self, epoch_id: int, epoch_data: EpochData) -> None:
        """Write the aggregates."""
        self._save_stats(epoch_data)
        super().after_epoch(epoch_id, epoch_data)


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise HookError(f"ComputeStats: {name!r} is no variable", hint="a variable is named by a text")
