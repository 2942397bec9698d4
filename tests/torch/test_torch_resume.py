"""Killed at every step of a training in mid-epoch, then resumed: the same weights, bit for bit.

The loop is the one of the resume ruler's plug. Processes are forked from this one, which has imported torch already.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import signal
import sys
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("mlcore_emloop_compat")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forking is safe with torch on Linux only")

STEPS, EVERY, BATCH, EPOCHS = 24, 2, 8, 3
PLUG = Path(__file__).parents[2] / "benchmarks" / "plugs" / "resume.py"


def plug():
    spec = importlib.util.spec_from_file_location("resume_plug", PLUG)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def work(train, directory, kill_at, result):
    """One process: train to the end, or die as a step begins."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 1))
    draw = np.random.default_rng(7)
    arrays = {"x": draw.normal(size=(64, 10)), "y": draw.normal(size=(64, 1)), "id": np.arange(64)}
    seen = []

    def on_batch(ids):
        seen.append(ids)
        if len(seen) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    train(net, arrays, directory, on_batch, batch_size=BATCH, epochs=EPOCHS, every=EVERY)
    weights = hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in net.parameters())).hexdigest()
    result.write_text(json.dumps({"weights": weights, "seen": seen}))


def in_process(*arguments):
    process = get_context("fork").Process(target=work, args=arguments)
    process.start()
    process.join()
    return process.exitcode


@pytest.fixture(scope="module")
def train():
    return plug().train


@pytest.fixture(scope="module")
def reference(train, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    assert in_process(train, folder / "store", 0, folder / "result") == 0
    return json.loads((folder / "result").read_text())


def test_the_same_training_twice_is_the_same(train, reference, tmp_path):
    assert in_process(train, tmp_path / "store", 0, tmp_path / "result") == 0
    assert json.loads((tmp_path / "result").read_text()) == reference
    assert len(reference["seen"]) == STEPS


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_killed_at_a_step(step, train, reference, tmp_path):
    assert in_process(train, tmp_path / "store", step, tmp_path / "result") == -signal.SIGKILL
    assert in_process(train, tmp_path / "store", 0, tmp_path / "result") == 0
    result = json.loads((tmp_path / "result").read_text())
    assert result["seen"] == reference["seen"][(step - 1) // EVERY * EVERY :]
    assert result["weights"] == reference["weights"]


def test_killed_again_and_again(train, reference, tmp_path):
    for steps in (3, 4, 1, 5, 2):
        assert in_process(train, tmp_path / "store", steps, tmp_path / "result") == -signal.SIGKILL
    assert in_process(train, tmp_path / "store", 0, tmp_path / "result") == 0
    assert json.loads((tmp_path / "result").read_text())["weights"] == reference["weights"]
