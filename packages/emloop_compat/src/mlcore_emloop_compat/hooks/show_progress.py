"""A progress bar for programs without a run; in a run, whoever executes it shows the progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from mlcore.runs import current_run
from mlcore_emloop_compat.hooks.abstract_hook import AbstractHook
from mlcore_emloop_compat.types import EpochData

# Redrawing more often than eyes can follow only costs time.
_REDRAW = 0.1
_WIDTH = 30


class ShowProgress(AbstractHook):
    """Draws a bar for each stream on standard output: batches done, of how many, and the time left.

    How many there are comes from the dataset's `num_batches`, or from the epoch before.

    Args:
        dataset: May have a mapping `num_batches` of stream names to batches.
        kwargs: See `AbstractHook`.
    """

    def __init__(self, dataset: Any = None, **kwargs: Any) -> None:  # any dataset; see AbstractHook
        super().__init__(dataset=dataset, **kwargs)
        self._totals: dict[str, int] = dict(getattr(dataset, "num_batches", None) or {})
        self._done: dict[str, int] = {}
        self._stream: str | None = None
        self._began = self._drawn = 0.0

    def after_batch(self, stream_name: str, batch_data: Mapping[str, Any]) -> None:
        """Move the bar on."""
        now = time.monotonic()
        if stream_name != self._stream:
            self._stream, self._began, self._drawn = stream_name, now, 0.0
        self._done[stream_name] = self._done.get(stream_name, 0) + 1
        if now - self._drawn >= _REDRAW and current_run() is None:
            self._drawn = now
            sys.stdout.write(f"\r{self.bar(stream_name, now - self._began)}")
            sys.stdout.flush()

    def bar(self, stream: str, seconds: float) -> str:
        """The bar as text.

        Args:
            stream: The stream.
            seconds: Since its first batch.
        """
        done, total = self._done.get(stream, 0), self._totals.get(stream)
        if not total:
            return f"{stream} {done} batches"
        share = min(done / total, 1.0)
        left = seconds / max(done - 1, 1) * max(total - done, 0)
        filled = int(share * _WIDTH)
        return f"{stream} [{'#' * filled}{'.' * (_WIDTH - filled)}] {done}/{total} {share:4.0%} ETA {left:.0f}s"

    def after_epoch(self, epoch_id: int, epoch_data: EpochData) -> None:
        """End the line, and remember how long the streams were."""
        if self._drawn and current_run() is None:
            sys.stdout.write("\n")
        self._totals |= self._done
        self._done, self._stream, self._drawn = {}, None, 0.0

    def state_dict(self) -> Mapping[str, Any]:
        """How long the streams are."""
        return {"totals": self._totals}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Know the lengths again."""
        self._totals |= state["totals"]
