"""A job that takes a tenth of a second: a line fitted to forty points, with a table that grows by an epoch a line."""

from __future__ import annotations

import numpy as np

from mlcore import current_run
from mlcore_emloop_compat import AbstractHook, ArrayStream, BaseDataset


class Points(BaseDataset):
    def _configure_dataset(self, output_dir=None, batch_size=8, seed=0):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(40, 3))
        y = x @ [1.0, -2.0, 0.5] + rng.normal(size=40) / 10
        self._parts = {"train": (x[:32], y[:32]), "valid": (x[32:], y[32:])}
        self._streams = {
            name: ArrayStream({"x": a, "y": b}, batch_size, shuffle=name == "train", seed=seed)
            for name, (a, b) in self._parts.items()
        }

    def train_stream(self):
        return self._streams["train"]

    def valid_stream(self):
        return self._streams["valid"]


class Line:
    input_names, target_names, output_names = ("x",), ("y",), ("loss",)

    def __init__(self, rate=0.1):
        self.rate, self.w = rate, np.zeros(3)

    def run(self, batch, *, train):
        error = batch["x"] @ self.w - batch["y"]
        if train:
            self.w = self.w - self.rate * batch["x"].T @ error / len(error)
        return {"loss": error**2}

    def save(self, directory, *, training=False):
        np.save(directory / "w.npy", np.append(self.w, self.rate))

    @classmethod
    def load(cls, directory):
        model = cls()
        *model.w, model.rate = np.load(directory / "w.npy")
        model.w = np.array(model.w)
        return model


class Table(AbstractHook):
    def after_epoch(self, epoch_id, epoch_data):
        current_run().append("table.csv").write(f"{epoch_id},{epoch_data['valid']['loss']['mean']}\n")
