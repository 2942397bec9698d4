"""The smallest object that is a Model by itself: what the backend `native` is checked with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np

from mlcore.model import Batch, Labels
from mlcore.testing.samples import BackendSample


class RunningMean:
    """Predicts the mean of the targets that it has seen.

    Example:
        >>> model = RunningMean()
        >>> model.run({"x": [0, 0], "y": [1.0, 3.0]}, train=True)["prediction"].tolist()
        [2.0, 2.0]
    """

    input_names = ("x",)
    target_names = ("y",)
    output_names = ("prediction",)

    def __init__(self, total: float = 0.0, count: int = 0, labels: Labels | None = None) -> None:
        self.total, self.count, self.labels = total, count, labels

    def run(self, batch: Batch, *, train: bool) -> Batch:
        """Give the mean for each example, after taking the targets in when `train` is true."""
        if train:
            self.total += float(np.sum(batch["y"]))
            self.count += len(batch["y"])
        return {"prediction": np.full(len(batch["x"]), self.total / max(self.count, 1))}

    def save(self, directory: Path, *, training: bool = False) -> None:
        """Write what `load` reads."""
        facts = {"total": self.total, "count": self.count, "labels": dict(self.labels) if self.labels else None}
        (directory / "mean.json").write_text(json.dumps(facts), encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what `save` wrote."""
        facts: Mapping[str, float] = json.loads((directory / "mean.json").read_text(encoding="utf-8"))
        return cls(**facts)  # type: ignore[arg-type]  # as `save` put them in


def make_mean() -> RunningMean:
    """Make one that has seen nothing."""
    return RunningMean()


def backend_samples() -> list[BackendSample]:
    """What `mlcore plugins --check` checks the backend `native` with."""
    batch = {"x": np.zeros((8, 2)), "y": np.arange(8) * 0.25}
    return [BackendSample("mlcore.testing.native:make_mean", batch, {"labels": {"low": 0, "high": 1}})]
