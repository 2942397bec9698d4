"""Fills the slot of the ruler `loops.py`: the main loop on its ready-made batches.

    loops.py --plug benchmarks/plugs/loops.py:make --plug-name mlcore
    loops.py --plug benchmarks/plugs/loops.py:make --plug-name mlcore --work noop

The ruler's callbacks have a batch-begin and a batch-end event: two calls a batch. Here each is a loop hook and a
listener of the run's bus, which are two calls a batch as well. Batches are made into mappings beforehand, as a dataset
would hand them out; nothing else is left out of the loop: it checks, times and counts every batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlcore.events import BatchFinished
from mlcore.runs import start_run
from mlcore_emloop_compat import AbstractHook, MainLoop


class Dataset:
    """One stream of ready-made batches."""

    def __init__(self, batches: list[Any]) -> None:
        empty = ([0], [0])  # for the ruler's None: a batch must have an example
        self._batches = [dict(zip("xy", batch or empty, strict=True)) for batch in batches]

    def train_stream(self) -> list[dict[str, Any]]:
        return self._batches


class Nothing:
    """The step of `--work noop`."""

    input_names, target_names, output_names = ("x",), ("y",), ()

    def run(self, batch: dict[str, Any], *, train: bool) -> dict[str, Any]:
        return {}


class Tiny(Nothing):
    """The ruler's model and its step, as a user would write it."""

    output_names = ("loss",)

    def __init__(self) -> None:
        import torch

        torch.manual_seed(0)
        self._module = torch.nn.Linear(10, 1)
        self._optimizer = torch.optim.SGD(self._module.parameters(), lr=1e-3)
        self._criterion = torch.nn.MSELoss()

    def run(self, batch: dict[str, Any], *, train: bool) -> dict[str, Any]:
        self._optimizer.zero_grad()
        loss = self._criterion(self._module(batch["x"]), batch["y"])
        loss.backward()
        self._optimizer.step()
        return {"loss": loss}


class Callback(AbstractHook):
    """A callback of two calls a batch that do nothing."""

    def after_batch(self, stream_name: str, batch_data: dict[str, Any]) -> None:
        pass

    def batch_finished(self, event: BatchFinished) -> None:
        pass


def make(batches: list[Any], n_callbacks: int, work: str) -> Callable[[], None]:
    """See the ruler: what is returned goes once through all batches."""
    callbacks = [Callback() for _ in range(n_callbacks)]
    model = Nothing() if work == "noop" else Tiny()
    loop = MainLoop(model, Dataset(batches), callbacks, epochs_count=1, skip_zeroth_epoch=True)
    if not callbacks:
        return loop.run_training

    def run() -> None:
        with start_run(store="memory://loops") as started:
            for callback in callbacks:
                started.bus.on(BatchFinished, callback.batch_finished)
            loop.run_training()

    return run
