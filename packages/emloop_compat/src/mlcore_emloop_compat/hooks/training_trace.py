"""A small file that says when a training began and ended, and how far it came."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from mlcore_emloop_compat.constants import EL_FULL_DATE_FORMAT, EL_TRACE_FILE
from mlcore_emloop_compat.hooks.abstract_hook import AbstractHook
from mlcore_emloop_compat.types import EpochData
from mlcore_emloop_compat.utils.yaml import dump


class TrainingTrace(AbstractHook):
    """Keeps `trace.yaml` in the output folder: train_begin, train_end, epochs_done, exit_status (0 or 1).

    Args:
        output_dir: Where the main loop writes files; without one nothing is written.
        kwargs: See `AbstractHook`.
    """

    def __init__(self, output_dir: str | None = None, **kwargs: Any) -> None:  # see AbstractHook
        super().__init__(output_dir=output_dir, **kwargs)
        self._output_dir = output_dir
        self._trace: dict[str, Any] = dict.fromkeys(("train_begin", "train_end", "epochs_done", "exit_status"))

    def _write(self, **news: Any) -> None:  # fields of the trace
        self._trace.update(news)
        if self._output_dir is not None:
            (Path(self._output_dir) / EL_TRACE_FILE).write_text(dump(self._trace), encoding="utf-8")

    def before_training(self) -> None:
        """Note the beginning."""
        self._write(train_begin=self._trace["train_begin"] or _now(), epochs_done=self._trace["epochs_done"] or 0)

    def after_epoch(self, epoch_id: int, epoch_data: EpochData) -> None:
        """Note the epoch."""
        self._write(epochs_done=epoch_id)

    def after_training(self, success: bool) -> None:
        """Note the end."""
        self._write(train_end=_now(), exit_status=0 if success else 1)

    def state_dict(self) -> Mapping[str, Any]:
        """The trace so far."""
        return {"trace": self._trace}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the trace."""
        self._trace.update(state["trace"])


def _now() -> str:
    return datetime.now().strftime(EL_FULL_DATE_FORMAT)
