"""Small models, datasets and hooks that the tests of this package share."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mlcore.checkpoint import read_state, write_state
from mlcore.plugins import PluginHost, use_host
from mlcore.runs import RunView, execute_job, find_run, plan_job, resume_job, start_job
from mlcore.store import Store, as_folder
from mlcore_emloop_compat import AbstractDataset, AbstractHook, AbstractModel, ArrayStream, BaseDataset, MainLoop

HERE = __name__


class Lists(AbstractDataset):
    """Streams of ready-made batches."""

    def __init__(self, **streams):
        for name, batches in streams.items():
            setattr(self, f"{name}_stream", lambda batches=batches: batches)


class Doubler(AbstractModel):
    """Doubles x, and remembers how it was called."""

    input_names, output_names = ["x"], ["y"]

    def __init__(self, dataset=None, log_dir=None, restore_from=None):
        self.calls = []

    def run(self, batch, train, stream):
        self.calls.append((stream.name if stream else None, train, list(batch["x"])))
        return {"y": [2 * value for value in batch["x"]]}

    def save(self, name_suffix):
        return name_suffix


class Diary(AbstractHook):
    """Writes down every event, and raises `error` at the n-th one of its name."""

    def __init__(self, event=None, number=1, error=None, **kwargs):
        super().__init__(**kwargs)
        self.lines, self._event, self._left, self._error = [], event, number, error

    def _note(self, event, *facts):
        self.lines.append((event, *facts))
        if event == self._event:
            self._left -= 1
            if not self._left:
                raise self._error

    def before_training(self):
        self._note("before_training")

    def after_batch(self, stream_name, batch_data):
        self._note("after_batch", stream_name, list(batch_data["x"]), list(batch_data["y"]))

    def after_epoch(self, epoch_id, epoch_data):
        self._note("after_epoch", epoch_id, list(epoch_data))

    def after_epoch_profile(self, epoch_id, profile, streams):
        self._note("after_epoch_profile", epoch_id, streams, {name: len(times) for name, times in profile.items()})

    def after_training(self, success):
        self._note("after_training", success)


class Points(BaseDataset):
    """Points of a line with a little noise; `train_stream` is shuffled and has a state."""

    def _configure_dataset(self, output_dir, batch_size=4, seed=0, bare=False):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(20, 2))
        y = x @ [1.0, -2.0] + rng.normal(size=20) / 10
        self.output_dir, self._bare = output_dir, bare
        self._train = ArrayStream({"x": x[:14], "y": y[:14]}, batch_size, shuffle=True, seed=seed)
        self._valid = ArrayStream({"x": x[14:], "y": y[14:]}, batch_size)

    def train_stream(self):
        return list(self._train) if self._bare else self._train

    def valid_stream(self):
        return self._valid


class Line(AbstractModel):
    """A linear regression by gradient descent with momentum, saved as a file, a folder or several files.

    It also draws random numbers from NumPy's global generator: a resumed run must bring that back, too.
    """

    input_names, output_names = ["x", "y"], ["loss"]

    def __init__(self, dataset, log_dir, restore_from=None, rate=0.1, form="file"):
        self._log_dir, self._rate, self._form = log_dir, rate, form
        self.weights, self.momentum = np.zeros(2), np.zeros(2)
        if restore_from is not None:
            self._restore(Path(restore_from))

    def run(self, batch, train, stream):
        error = np.asarray(batch["x"]) @ self.weights - batch["y"]
        if train:
            gradient = error @ np.asarray(batch["x"]) / len(error) + np.random.normal(size=2) / 100
            self.momentum = 0.5 * self.momentum + gradient
            self.weights = self.weights - self._rate * self.momentum
        return {"loss": error**2}

    def save(self, name_suffix):
        path = Path(self._log_dir) / f"line_{name_suffix}"
        state = {"weights": self.weights.tolist(), "momentum": self.momentum.tolist()}
        if self._form == "file":
            path.write_text(json.dumps(state))
        for name, values in state.items() if self._form != "file" else ():
            part = path / name if self._form == "folder" else Path(f"{path}.{name}")
            part.parent.mkdir(exist_ok=True)
            part.write_text(json.dumps(values))
        return str(path)

    def _restore(self, path):
        if self._form == "file":
            state = json.loads(path.read_text())
        else:
            names = {
                name: path / name if self._form == "folder" else Path(f"{path}.{name}")
                for name in ("weights", "momentum")
            }
            state = {name: json.loads(part.read_text()) for name, part in names.items()}
        self.weights, self.momentum = np.array(state["weights"]), np.array(state["momentum"])


class Forgetful(AbstractHook):
    """A hook of a user who has not thought of resuming."""

    def after_batch(self, stream_name, batch_data):
        """Do nothing."""


@pytest.fixture
def host():
    """This package's plugin and the core's own, whatever else is installed."""
    found = PluginHost(allow=("emloop_compat",))
    found.load()
    with use_host(found):
        yield found


class Desk:
    """A folder with a config and a store, and what one does there."""

    def __init__(self, path):
        self.path, self.config, self.store = path, path / "train.yaml", Store(str(path / "store"))

    def write(self, hooks="[]", loop="{}", model="", dataset=""):
        self.config.write_text(
            f"seed: 5\ndataset: {{class: {HERE}.Points{dataset}}}\nmodel: {{class: {HERE}.Line{model}}}\n"
            f"hooks: {hooks}\nmain_loop: {loop}\n"
        )
        return self

    def run(self, *overrides, during=lambda run: None):
        """Run the config; `during` may listen to the run."""
        return self._execute(*self._started(overrides), during)

    def _started(self, overrides):
        job = plan_job(self.config, overrides)
        return job, start_job(job, store=self.store)

    def resume(self, view, *overrides, during=lambda run: None):
        job, run = resume_job(find_run(self.store, view.id), overrides)
        return self._execute(job, run, during)

    def _execute(self, job, run, during):
        during(run)
        execute_job(job, run)
        return RunView(run.store, run.folder)

    def weights(self, view, step):
        """Of the model in a checkpoint, as text."""
        return (
            self.path
            / "store"
            / view.folder.local.relative_to(self.path / "store")
            / f"checkpoints/{step}/model/saved/line_mlcore"
        ).read_text()


@pytest.fixture
def desk(tmp_path, host):
    return Desk(tmp_path)


def batches(*values):
    """Batches of one source each."""
    return [{"x": list(value)} for value in values]


def make_loop(hooks=(), train=((1, 2), (3,)), valid=((4,),), model=None, **arguments):
    """A main loop over lists, with one training epoch unless told otherwise."""
    dataset = Lists(train=batches(*train), valid=batches(*valid))
    arguments = {"extra_streams": ["valid"], "epochs_count": 1, **arguments}
    return MainLoop(model or Doubler(), dataset, hooks, **arguments)


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def profile(**counts):
    """The shape of a profile: how many seconds are in each list."""
    parts = ("read_batch", "eval_batch", "after_batch_hooks")
    return {f"{part}_{stream}": count for stream, count in counts.items() for part in parts} | {"after_epoch_hooks": 1}


def after_epoch(hook, epoch_id=1, **streams):
    """Call a hook after an epoch, and return the epoch's data."""
    data = {name: dict(stream) for name, stream in streams.items()}
    hook.after_epoch(epoch_id=epoch_id, epoch_data=data)
    return data


def revived(hook, fresh, tmp_path):
    """A fresh hook with the state of another, which went through a checkpoint's file."""
    tmp_path.mkdir(exist_ok=True)
    write_state(hook.state_dict(), tmp_path)
    fresh.load_state_dict(read_state(as_folder(tmp_path)))
    return fresh
