"""Saving the model each epoch, and when it has become better."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

from mlcore.errors import nearest
from mlcore_emloop_compat.hooks.abstract_hook import AbstractHook
from mlcore_emloop_compat.hooks.arguments import check_choice
from mlcore_emloop_compat.hooks.saving import ON_FAILURE_ACTIONS, save
from mlcore_emloop_compat.types import EpochData, HookError, HookKeyError, HookTypeError


class SaveBest(AbstractHook):
    """Saves the model when a value has become strictly better.

    Args:
        model: The model.
        model_name: The name to save it under; in a run also the version alias.
        variable: Which variable of `epoch_data`.
        condition: `min` or `max`.
        stream: Of which stream.
        aggregation: Which aggregate of the variable, when it has several.
        on_save_failure: `error`, `warn` or `ignore`.
        output_dir: Where the main loop writes files.
        kwargs: See `AbstractHook`.
    """

    OBJECTIVES = ("min", "max")

    def __init__(
        self,
        model: Any,  # anything that `mlcore.as_model` takes
        model_name: str = "best",
        variable: str = "loss",
        condition: str = "min",
        stream: str = "valid",
        aggregation: str = "mean",
        on_save_failure: str = "error",
        output_dir: str | None = None,
        **kwargs: Any,  # see AbstractHook
    ) -> None:
        super().__init__(model=model, output_dir=output_dir, **kwargs)
        check_choice(self, "condition", condition, self.OBJECTIVES)
        self._model, self._model_name, self._output_dir = model, model_name, output_dir
        self._variable, self._condition, self._stream, self._aggregation = variable, condition, stream, aggregation
        self._on_save_failure = check_choice(self, "on_save_failure", on_save_failure, ON_FAILURE_ACTIONS)
        self._best_value: float | None = None

    def _get_value(self, epoch_data: EpochData) -> float:
        """The value to judge by."""
        data = self._part(epoch_data, self._stream, "stream")
        value = self._part(data, self._variable, "variable")
        if isinstance(value, Mapping):
            value = self._part(value, self._aggregation, "aggregation")
        if not isinstance(value, numbers.Real):
            raise HookError(f"SaveBest needs a number, but {self._stream} {self._variable} is a {type(value).__name__}")
        return float(value)

    def _part(self, data: object, name: str, kind: str) -> Any:  # whatever hooks wrote
        if not isinstance(data, Mapping):
            raise HookTypeError(
                f"SaveBest looks for the {kind} {name!r} in a {type(data).__name__}, which has no parts"
            )
        if name not in data:
            raise HookKeyError(f"SaveBest finds no {kind} {name!r} in the epoch's data", hint=nearest(name, data))
        return data[name]

    def _is_value_better(self, value: float) -> bool:
        """Strictly; a NaN never is, and anything is better than nothing or NaN."""
        if math.isnan(value):
            return False
        if self._best_value is None or math.isnan(self._best_value):
            return True
        return value < self._best_value if self._condition == "min" else value > self._best_value

    def after_epoch(self, epoch_id: int, epoch_data: EpochData) -> None:
        """Save if better."""
        value = self._get_value(epoch_data)
        if self._is_value_better(value):
            self._best_value = value
            save(self._model, self._model_name, epoch_id, self._output_dir, self._on_save_failure)

    def state_dict(self) -> Mapping[str, Any]:
        """The best value so far."""
        return {"best_value": self._best_value}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the best value."""
        self._best_value = state["best_value"]


class SaveLatest(AbstractHook):
    """Saves the model after each epoch under the name `latest`; in a run also the version alias.

    Args:
        model: The model.
        on_save_failure: `error`, `warn` or `ignore`.
        output_dir: Where the main loop writes files.
        kwargs: See `AbstractHook`.
    """

    def __init__(
        self,
        model: Any,  # anything that `mlcore.as_model` takes
        on_save_failure: str = "error",
        output_dir: str | None = None,
        **kwargs: Any,  # see AbstractHook
    ) -> None:
        super().__init__(model=model, output_dir=output_dir, **kwargs)
        self._model, self._output_dir = model, output_dir
        self._on_save_failure = check_choice(self, "on_save_failure", on_save_failure, ON_FAILURE_ACTIONS)

    def after_epoch(self, epoch_id: int, epoch_data: EpochData) -> None:
        """Save."""
        save(self._model, "latest", epoch_id, self._output_dir, self._on_save_failure)

    def state_dict(self) -> Mapping[str, Any]:
        """It remembers nothing."""
        return {}
