"""A program written for emloop, with nothing of mlcore in it: fits a line to noisy points.

mlcore run examples/compat/line.py --compat -- --epochs 20
"""

import argparse
import json
from pathlib import Path

import emloop as el
import numpy as np
from emloop.hooks import AbstractHook, ComputeStats, StopAfter
from emloop.hooks.abstract_hook import TrainingTerminated
from emloop.main_loop import MainLoop


class Points(el.BaseDataset):
    """Points around y = 3 x - 1."""

    def _configure_dataset(self, output_dir, batch_size=20, **kwargs):
        rng = np.random.RandomState(1)
        self._x = rng.uniform(-1, 1, size=200)
        self._y = 3 * self._x - 1 + rng.normal(scale=0.01, size=200)
        self._batch_size = batch_size

    def _batches(self, begin, end):
        for start in range(begin, end, self._batch_size):
            part = slice(start, min(start + self._batch_size, end))
            yield {"x": self._x[part], "y": self._y[part]}

    def train_stream(self):
        return self._batches(0, 160)

    def valid_stream(self):
        return self._batches(160, 200)


class Line(el.AbstractModel):
    """Learns slope and offset by gradient descent."""

    def __init__(self, dataset, log_dir, restore_from=None, rate=0.2):
        self._log_dir, self._rate = log_dir, rate
        self.weights = np.array(json.loads(Path(restore_from).read_text())) if restore_from else np.zeros(2)

    @property
    def input_names(self):
        return ["x", "y"]

    @property
    def output_names(self):
        return ["prediction", "loss"]

    def run(self, batch, train, stream):
        features = np.stack([batch["x"], np.ones_like(batch["x"])], axis=1)
        prediction = features @ self.weights
        error = prediction - batch["y"]
        if train:
            self.weights -= self._rate * 2 * features.T @ error / len(error)
        return {"prediction": prediction, "loss": error**2}

    def save(self, name_suffix):
        path = Path(self._log_dir, f"line_{name_suffix}.json")
        path.write_text(json.dumps(self.weights.tolist()))
        return str(path)


class StopWhenGood(AbstractHook):
    """Ends the training when the loss is small."""

    def after_epoch(self, epoch_id, epoch_data):
        if epoch_data["valid"]["loss"]["mean"] < 0.0002:
            raise TrainingTerminated(f"good enough after epoch {epoch_id}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()
    dataset = Points("batch_size: 20\noutput_dir: null\n")
    model = Line(dataset, log_dir=None)
    hooks = [ComputeStats({"loss": ["mean"]}), StopWhenGood(), StopAfter(epochs=arguments.epochs)]
    with MainLoop(model=model, dataset=dataset, hooks=hooks, extra_streams=["valid"]) as main_loop:
        main_loop.run_training()
    slope, offset = model.weights
    print(f"y = {slope:.2f} x {offset:+.2f} after {main_loop.training_epochs_done} epochs")


if __name__ == "__main__":
    main()
