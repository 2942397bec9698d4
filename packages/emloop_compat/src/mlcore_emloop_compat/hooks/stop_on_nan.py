"""Ending the training when a value is not a number."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mlcore_emloop_compat.hooks.abstract_hook import AbstractHook
from mlcore_emloop_compat.hooks.arguments import as_list, check_choice
from mlcore_emloop_compat.types import EpochData, HookError, HookKeyError, HookTypeError, TrainingTerminated

log = logging.getLogger(__name__)


class StopOnNaN(AbstractHook):
    """Ends the training when a variable holds NaN, at any depth.

    Args:
        variables: Which ones to look at; all by default.
        on_unknown_type: What to do with a value that cannot hold numbers: `error`, `warn` or `ignore`.
        stop_on_inf: Whether infinities end it, too.
        after_batch: Look at each batch.
        after_epoch: Look at the epoch's data.
        kwargs: See `AbstractHook`.
    """

    UNKNOWN_TYPE_ACTIONS = ("error", "warn", "ignore")

    def __init__(
        self,
        variables: Iterable[str] | None = None,
        on_unknown_type: str = "ignore",
        stop_on_inf: bool = False,
        after_batch: bool = False,
        after_epoch: bool = True,
        **kwargs: Any,  # see AbstractHook
    ) -> None:
        super().__init__(**kwargs)
        self._on_unknown_type = check_choice(self, "on_unknown_type", on_unknown_type, self.UNKNOWN_TYPE_ACTIONS)
        if not (after_batch or after_epoch):
            raise HookError("StopOnNaN never looks", hint="set after_batch or after_epoch")
        self._variables = None if variables is None else as_list(self, "variables", variables)
        self._stop_on_inf = stop_on_inf
        self._after_batch, self._after_epoch = after_batch, after_epoch

    def after_batch(self, stream_name: str, batch_data: Mapping[str, Any]) -> None:
        """Look at the batch, if asked to."""
        if self._after_batch:
            self._check(stream_name, batch_data)

    def after_epoch(self, epoch_id: int, epoch_data: EpochData) -> None:
        """Look at the epoch's data, if asked to."""
        if self._after_epoch:
            for stream_name, data in epoch_data.items():
                self._check(stream_name, data)  # type: ignore[arg-type]  # a mapping by construction

    def _check(self, stream: str, data: Mapping[str, Any]) -> None:
        for variable in data if self._variables is None else self._variables:
            if variable not in data:
                raise HookKeyError(
                    f"StopOnNaN finds no variable {variable!r} in stream {stream!r}", hint=f"it has: {', '.join(data)}"
                )
            if self._bad(data[variable], f"{stream} {variable}"):
                raise TrainingTerminated(
                    f"{stream} {variable} is NaN or infinite" if self._stop_on_inf else f"{stream} {variable} is NaN"
                )

    def _bad(self, value: Any, label: str) -> bool:  # whatever batches and hooks hold
        if isinstance(value, Mapping):
            return any(self._bad(item, f"{label} {name}") for name, item in value.items())
        array = np.asarray(value) if not _ragged(value) else None
        if array is None:
            return any(self._bad(item, label) for item in value)
        if array.dtype.kind in "biufc":
            return bool(np.isnan(array).any() or (self._stop_on_inf and np.isinf(array).any()))
        return self._unknown(value, label)

    def _unknown(self, value: Any, label: str) -> bool:  # whatever batches and hooks hold
        message = f"StopOnNaN cannot look for NaN in {label}: it is a {type(value).__name__}"
        if self._on_unknown_type == "error":
            raise HookTypeError(message, hint="name the variables to look at")
        if self._on_unknown_type == "warn":
            log.warning(message)
        return False

    def state_dict(self) -> Mapping[str, Any]:
        """It remembers nothing."""
        return {}


def _ragged(value: Any) -> bool:  # whatever batches and hooks hold
    """Whether a list cannot become an array, as its parts are of different lengths."""
    try:
        np.asarray(value)
    except ValueError:
        return True
    return False
