"""What `mlcore plugins --check` checks the backend with."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from mlcore.testing.samples import BackendSample


class Network(nn.Module):
    """A small classifier whose first weights are always the same."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From 4 features to scores of 3 classes."""
        scores: torch.Tensor = self.layers(x)
        return scores


def make_network() -> Network:
    """Make a classifier."""
    return Network()


def backend_samples() -> list[BackendSample]:
    """A classifier trained with Adam."""
    batch = {"x": np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32), "y": np.arange(12) % 3}
    options = {"loss": "cross_entropy", "optimizer": {"name": "Adam", "lr": 0.01}, "device": "cpu"}
    labels = {"labels": {"a": 0, "b": 1, "c": 2}}
    return [BackendSample("mlcore_torch.samples:make_network", batch, {**options, **labels})]
