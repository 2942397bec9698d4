"""A torch module trained by the main loop, from a config: run, stopped, resumed, loaded again, and mistaken."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch_modules import Net

import mlcore
from mlcore.errors import ConfigError

pytest.importorskip("mlcore_emloop_compat")

MODULE = """
import numpy as np
import torch
from torch import nn

from mlcore_emloop_compat.datasets import ArrayStream, BaseDataset


class Data(BaseDataset):
    def _configure_dataset(self, output_dir, **kwargs):
        draw = np.random.default_rng(0)
        x = draw.normal(size=(60, 4))
        self.stream = ArrayStream({"x": x, "y": (x[:, 0] > 0) + (x[:, 1] > 0)}, 16, shuffle=True)

    def train_stream(self):
        return self.stream


class Net(nn.Module):
    def __init__(self, hidden, dropout=0.5):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 3))

    def forward(self, x):
        return self.layers(x)


def make(hidden: int) -> nn.Sequential:
    return Net(hidden).layers


def silent(hidden):
    return Net(hidden)


class Bare(nn.Module):
    def forward(self, x):
        return x
"""
CONFIG = """
seed: 5
dataset:
  class: {module}.Data
model:
  class: {module}.Net
  hidden: 8
  inputs: [x]
  targets: [y]
  outputs: [loss, accuracy]
  loss: cross_entropy
  optimizer: {{name: Adam, lr: 0.01}}
  device: cpu
hooks:
  - ComputeStats: {{variables: {{loss: [mean]}}}}
  - SaveLatest
main_loop:
  epochs_count: 4
  skip_zeroth_epoch: true
"""


@pytest.fixture
def module(request):
    """Each test has a module of its own name, as modules stay imported."""
    return f"nets_{request.node.name.translate(str.maketrans('[]-=., ', '_______'))}"[:60]


@pytest.fixture
def config(tmp_path, monkeypatch, module):
    (tmp_path / f"{module}.py").write_text(MODULE)
    path = tmp_path / "train.yaml"
    path.write_text(CONFIG.format(module=module))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return path


def weights():
    return {name: value.clone() for name, value in mlcore.load_model("model:train").module.state_dict().items()}


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_config_trains_a_module(config):
    view = mlcore.run(config)
    losses = view.journal.series()["train.loss"].values
    assert view.status == "finished"
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    assert mlcore.load_model("model:train").origin.arguments == {"hidden": 8}


def test_the_seed_decides_the_first_weights_and_all_that_follows(config):
    mlcore.run(config, ["main_loop.epochs_count=1"])
    first = weights()
    mlcore.run(config, ["main_loop.epochs_count=1"])
    assert equal(weights(), first)
    mlcore.run(config, ["main_loop.epochs_count=1", "seed=6"])
    assert not equal(weights(), first)


def test_a_run_goes_on_at_the_border_of_an_epoch_bit_for_bit(config):
    from mlcore.runs import execute_job, resume_job

    mlcore.run(config)
    whole = weights()
    view = mlcore.run(config, ["main_loop.epochs_count=2"])
    assert not equal(weights(), whole)
    torch.rand(5)  # another process would have other generators
    execute_job(*resume_job(view, ["main_loop.epochs_count=4"]))
    assert equal(weights(), whole)


def test_a_resumed_run_takes_a_changed_learning_rate(config):
    from mlcore.runs import execute_job, resume_job

    view = mlcore.run(config, ["main_loop.epochs_count=1"])
    before = weights()
    execute_job(*resume_job(view, ["main_loop.epochs_count=2", "model.optimizer.lr=0.0"]))
    assert equal(weights(), before)


def test_a_function_may_make_the_module(config, module):
    mlcore.run(config, [f"model.class={module}.make"])
    assert type(mlcore.load_model("model:train").module) is torch.nn.Sequential


def test_options_may_be_left_out(config):
    view = mlcore.run(config, ["model.device=auto", "model.optimizer=SGD", "model.outputs=[]", "hooks=[]"])
    assert view.status == "finished"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "model.loss=cross_entropi",
            r"model.loss: torch has no loss 'cross_entropi'[\s\S]*did you mean 'cross_entropy'",
        ),
        ("model.loss.name=mse", "model.loss"),
        ("model.optimizer.name=Adan", "model.optimizer: torch has no optimizer 'Adan'"),
        ("model.optimizer.learning_rate=1", "takes no argument 'learning_rate'"),
        ("model.device=gpu", "model.device: there is no device 'gpu' here"),
        ("model.devise=cpu", r"Net takes no argument 'devise'[\s\S]*did you mean 'device'"),
        ("model.class=MODULE.silent", "silent is a function that does not say what it makes"),
        ("model.class=MODULE.np", "is no class but a module"),
        ("model.class=MODULE.Bare", "Bare takes no argument 'hidden'"),
        ("model.class=torch.nn.Linear", "Linear takes no argument 'hidden'"),
    ],
)
def test_a_mistake_in_the_config_is_told_before_anything_is_created(override, message, config, module, tmp_path):
    with pytest.raises(ConfigError, match=message):
        mlcore.run(config, [override.replace("MODULE", module)])
    assert not (tmp_path / ".mlcore").exists()


def test_the_loop_asks_for_nothing_that_is_not_wanted():
    from mlcore_emloop_compat import MainLoop

    class Dataset:
        def train_stream(self):
            return [{"x": torch.randn(6, 4), "y": torch.arange(6) % 3}] * 3

    model = mlcore.as_model(Net(), loss="cross_entropy", optimizer="SGD", output_names=[], device="cpu")
    MainLoop(model, Dataset(), epochs_count=1, skip_zeroth_epoch=True).run_training()
    assert model.module.training
