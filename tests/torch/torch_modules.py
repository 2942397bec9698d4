"""Modules and losses that the tests train: importable, so that a fresh process finds them too."""

from __future__ import annotations

import torch
from torch import nn


class Net(nn.Module):
    """A classifier of 3 classes with dropout; every constructor call initialises it from torch's generator."""

    def __init__(self, hidden: int = 8, dropout: float = 0.25) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 3)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Fixed(Net):
    """The same weights and dropout each time, and no arguments: it can be made again without being told how."""

    def __init__(self) -> None:
        torch.manual_seed(7)
        super().__init__()


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(4, 4)
        self.other = nn.Linear(4, 4)
        self.other.weight = self.one.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.other(self.one(x))


class Named(nn.Module):
    """Two inputs by name, a mapping of outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, *, left: torch.Tensor, right: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"score": self.layer(left - right).squeeze(1), "difference": left - right}


class OwnLoss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        guess = self.layer(x).squeeze(1)
        return {"guess": guess, "loss": ((guess - y) ** 2).mean()}


class Scaled(nn.Module):
    """A loss that learns too."""

    def __init__(self, start: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(start))

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return ((output.squeeze(1) - target) ** 2 / self.scale.exp() + self.scale).mean()


def make_fixed() -> Fixed:
    return Fixed()


def make_net(hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, 3))


def unannotated(hidden):
    return make_net(hidden)


def absolute(output: torch.Tensor, target: torch.Tensor, power: float = 1.0) -> torch.Tensor:
    return ((output.squeeze(1) - target).abs() ** power).mean()
