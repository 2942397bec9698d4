"""Keeping variables of all batches of an epoch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mlcore_emloop_compat.hooks.abstract_hook import AbstractHook
from mlcore_emloop_compat.hooks.arguments import as_list
from mlcore_emloop_compat.types import EpochData, HookError, HookKeyError, HookTypeError


class AccumulateVariables(AbstractHook):
    """Base of hooks that need variables of the whole epoch, by stream, in `_accumulator[stream][variable]`.

    Args:
        variables: Names of sources or outputs.
        kwargs: See `AbstractHook`.
    """

    def __init__(self, variables: Iterable[str], **kwargs: Any) -> None:  # see AbstractHook
        super().__init__(**kwargs)
        self._variables = as_list(self, "variables", variables)
        self._reset_accumulator()

    def _reset_accumulator(self) -> None:
        self._accumulator: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))

    def after_batch(self, stream_name: str, batch_data: Mapping[str, Any]) -> None:
        """Extend the lists by the batch's examples."""
        kept = self._accumulator[stream_name]
        try:
            for variable in self._variables:
                kept[variable].extend(batch_data[variable])
        except (KeyError, TypeError) as error:
            raise unusable(self, self._variables, stream_name, batch_data) from error

    def after_epoch(self, epoch_id: int, epoch_data: EpochData) -> None:
        """Begin anew."""
        self._reset_accumulator()

    def state_dict(self) -> Mapping[str, Any]:
        """What was accumulated so far in this epoch."""
        return {"accumulator": {stream: _plain(kept) for stream, kept in self._accumulator.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with what was accumulated."""
        for stream, kept in state["accumulator"].items():
            for variable, values in kept.items():
                self._accumulator[stream][variable].extend(values)


def _plain(kept: Mapping[str, list[Any]]) -> dict[str, Any]:
    return {variable: np.asarray(values) for variable, values in kept.items() if values}


def unusable(hook: AbstractHook, variables: Iterable[str], stream: str, batch: Mapping[str, Any]) -> HookError:
    """The error for the first variable that is not in a batch, or has no value for each example."""
    name = type(hook).__name__
    for variable in variables:
        if variable not in batch:
            return HookKeyError(
                f"{name} needs the variable {variable!r}, which the batches of stream {stream!r} do not have",
                hint=f"they have: {', '.join(sorted(batch))}",
            )
        value = batch[variable]
        if not hasattr(value, "__len__") or getattr(value, "shape", None) == ():
            return HookTypeError(
                f"{name} needs a value an example, but the variable {variable!r} is a single {type(value).__name__}",
                hint="let the model return one value for each example of the batch",
            )
    return HookError(f"{name} cannot collect the variables of a batch of stream {stream!r}")
