"""Ending the training after so many epochs, batches or minutes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from mlcore_emloop_compat.constants import EL_DEFAULT_TRAIN_STREAM
from mlcore_emloop_compat.hooks.abstract_hook import AbstractHook
from mlcore_emloop_compat.hooks.arguments import check_limit
from mlcore_emloop_compat.types import EpochData, HookError, TrainingTerminated


class StopAfter(AbstractHook):
    """Ends the training at the first of the limits; a resumed training goes on counting.

    Args:
        epochs: Training epochs.
        iterations: Batches of the training stream.
        minutes: Since the training began, without the time between a stop and a resume.
        train_stream_name: The stream whose batches count.
        kwargs: See `AbstractHook`.

    Raises:
        ValueError: No limit is given.
    """

    def __init__(
        self,
        epochs: int | None = None,
        iterations: int | None = None,
        minutes: float | None = None,
        train_stream_name: str = EL_DEFAULT_TRAIN_STREAM,
        **kwargs: Any,  # see AbstractHook
    ) -> None:
        super().__init__(**kwargs)
        if epochs is None and iterations is None and minutes is None:
            raise HookError("StopAfter has no limit", hint="give it epochs, iterations or minutes")
        self._epochs = check_limit(self, "epochs", epochs)
        self._iterations = check_limit(self, "iterations", iterations)
        self._minutes = check_limit(self, "minutes", minutes)
        self._train_stream_name = train_stream_name
        self._iters_done, self._seconds_before = 0, 0.0
        self._began = time.monotonic()

    def before_training(self) -> None:
        """Start the clock."""
        self._began = time.monotonic()

    def after_batch(self, stream_name: str, batch_data: Mapping[str, Any]) -> None:
        """Check batches and minutes."""
        if stream_name == self._train_stream_name:
            self._iters_done += 1
            if self._iterations is not None and self._iters_done >= self._iterations:
                raise TrainingTerminated(f"training terminated after {self._iters_done} iterations")
        if self._minutes is not None:
            self._check_minutes()

    def after_epoch(self, epoch_id: int, epoch_data: EpochData) -> None:
        """Check epochs and minutes."""
        if self._epochs is not None and epoch_id >= self._epochs:
            raise TrainingTerminated(f"training terminated after epoch {epoch_id}")
        if self._minutes is not None:
            self._check_minutes()

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._began

    def _check_minutes(self) -> None:
        if self._seconds() / 60 > self._minutes:  # type: ignore[operator]  # only called with a limit
            raise TrainingTerminated(f"training terminated after {self._seconds() / 60:.1f} minutes")

    def state_dict(self) -> Mapping[str, Any]:
        """Batches and seconds so far."""
        return {"iterations": self._iters_done, "seconds": self._seconds()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting."""
        self._iters_done, self._seconds_before = state["iterations"], state["seconds"]
