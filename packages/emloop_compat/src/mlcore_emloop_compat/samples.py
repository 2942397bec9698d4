"""What `mlcore plugins --check` checks the backend and the runner with: a line through noisy points."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlcore.testing.samples import BackendSample, RunnerSample
from mlcore_emloop_compat.datasets import AbstractDataset, ArrayStream, BaseDataset, StreamWrapper
from mlcore_emloop_compat.models import AbstractModel
from mlcore_emloop_compat.types import Batch


class Points(BaseDataset):
    """Streams of `x` (n, 2) and `y` (n,)."""

    def _configure_dataset(  # type: ignore[override]  # each dataset takes the arguments that it wants
        self, output_dir: str | None, batch_size: int, seed: int = 0
    ) -> None:
        x = np.random.default_rng(seed).normal(size=(48, 2))
        sources = {"x": x, "y": x @ [2.0, -1.0] + 0.5}
        self._train = ArrayStream({name: s[:32] for name, s in sources.items()}, batch_size, shuffle=True, seed=seed)
        self._valid = ArrayStream({name: s[32:] for name, s in sources.items()}, batch_size)

    def train_stream(self) -> ArrayStream:
        """What the model learns from."""
        return self._train

    def valid_stream(self) -> ArrayStream:
        """What it has not seen."""
        return self._valid


class Line(AbstractModel):
    """A linear regression, trained by gradient steps with momentum."""

    input_names, output_names = ("x", "y"), ("prediction", "loss")

    def __init__(
        self,
        dataset: AbstractDataset | None,
        log_dir: str | None,
        restore_from: str | None = None,
        rate: float = 0.1,
        **kwargs: Any,  # there are none
    ) -> None:
        self._log_dir = tempfile.TemporaryDirectory(prefix="mlcore-") if log_dir is None else Path(log_dir)
        self._rate, self.el_config = rate, {"rate": rate}
        self._weights, self._speed = np.zeros(3), np.zeros(3)
        if restore_from is not None:
            facts = json.loads(Path(restore_from).read_text(encoding="utf-8"))
            self._weights, self._speed = np.array(facts["weights"]), np.array(facts["speed"])

    def run(self, batch: Batch, train: bool, stream: StreamWrapper | None) -> Mapping[str, Any]:
        """Predict, after a step when `train` is true; without `y` there is no loss."""
        x = np.column_stack([np.asarray(batch["x"]), np.ones(len(batch["x"]))])
        if train:
            gradient = x.T @ (x @ self._weights - batch["y"]) / len(x)
            self._speed = 0.5 * self._speed - self._rate * gradient
            self._weights = self._weights + self._speed
        outputs = {"prediction": x @ self._weights}
        return {**outputs, "loss": (outputs["prediction"] - batch["y"]) ** 2} if "y" in batch else outputs

    def save(self, name_suffix: str) -> str:
        """Write weights and momentum."""
        folder = self._log_dir if isinstance(self._log_dir, Path) else Path(self._log_dir.name)
        path = folder / f"line_{name_suffix}.json"
        path.write_text(json.dumps({"weights": self._weights.tolist(), "speed": self._speed.tolist()}))
        return str(path)


def make_line() -> Line:
    """Make one that has seen nothing."""
    return Line(dataset=None, log_dir=None)


def backend_samples() -> list[BackendSample]:
    """A model with momentum."""
    x = np.random.default_rng(1).normal(size=(8, 2))
    options = {"target_names": ["y"], "labels": {"low": 0, "high": 1}}
    return [BackendSample("mlcore_emloop_compat.samples:make_line", {"x": x, "y": x.sum(axis=1)}, options)]


def runner_samples() -> list[RunnerSample]:
    """A training with a dataset that is shuffled, hooks with a state, and versions of the model."""
    config = {
        "dataset": {"class": "mlcore_emloop_compat.samples.Points", "batch_size": 8},
        "model": {"class": "mlcore_emloop_compat.samples.Line", "rate": 0.05},
        "hooks": [
            {"ComputeStats": {"variables": ["loss"]}},
            {"SaveBest": {"variable": "loss", "stream": "valid"}},
            {"StopAfter": {"epochs": 4}},
        ],
        "main_loop": {"extra_streams": ["valid"]},
    }
    return [RunnerSample(config)]
