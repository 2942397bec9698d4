"""A training that takes milliseconds, a folder to run it in, and `mlcore` as a user sees it."""

from __future__ import annotations

import importlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from mlcore.cli.app import app

PARTS = """
import json
import pathlib

import numpy as np


class Data:
    def __init__(self, config_str):
        self.x, self.t = np.arange(12.0).reshape(6, 2), np.arange(6.0)

    def train_stream(self):
        return [{"x": self.x, "t": self.t}] * 2

    valid_stream = train_stream


class BrokenData(Data):
    def __init__(self, config_str):
        raise ValueError("the disk with the pictures is not mounted")


class BreaksOff(Data):
    def train_stream(self):
        yield {"x": self.x, "t": self.t}
        raise OSError("picture 7 is gone")


class EmptyBatch(Data):
    def train_stream(self):
        return [{"x": [], "t": []}]


class NoBatches(Data):
    def train_stream(self):
        return []


class LacksTarget(Data):
    def train_stream(self):
        return [{"x": self.x}]


class Ragged(Data):
    def train_stream(self):
        return [{"x": self.x, "t": self.t[:3]}]


class NoBatch(Data):
    def train_stream(self):
        return [self.x]


class NoStream(Data):
    def train_stream(self):
        return 5


class Line:
    input_names, target_names, output_names = ["x"], ["t"], ["y", "loss"]

    def __init__(self, rate=0.1, nan_after=None):
        self.w, self.rate, self.nan_after, self.seen = np.zeros(2), rate, nan_after, 0

    def run(self, batch, *, train):
        y = batch["x"] @ self.w
        error = y - batch["t"]
        if train:
            self.seen += 1
            self.w = self.w - self.rate * (batch["x"] * error[:, None]).mean(0) / 50
        if self.nan_after is not None and self.seen > self.nan_after:
            error = error * np.nan
        return {"y": y, "loss": error**2}

    def save(self, directory, *, training=False):
        facts = {"w": self.w.tolist(), "seen": self.seen, "rate": self.rate, "nan_after": self.nan_after}
        (pathlib.Path(directory) / "line.json").write_text(json.dumps(facts))

    @classmethod
    def load(cls, directory):
        facts = json.loads((pathlib.Path(directory) / "line.json").read_text())
        model = cls(facts["rate"], facts["nan_after"])
        model.w, model.seen = np.array(facts["w"]), facts["seen"]
        return model


class Heavy(Line):
    def save(self, directory, *, training=False):
        super().save(directory)
        (pathlib.Path(directory) / "ballast").write_bytes(np.random.default_rng(self.seen).bytes(20_000))


class Unlicensed(Line):
    def __init__(self):
        raise RuntimeError("no licence")


class NoModel:
    pass


SETTINGS = {}
"""

CONFIG = """\
seed: 1
dataset:
  class: parts.Data
model:
  name: line
  class: parts.Line
  rate: 0.1
hooks:
  - ComputeStats: {variables: [loss]}
  - SaveLatest
  - StopAfter: {epochs: 3}
main_loop:
  extra_streams: [valid]
  skip_zeroth_epoch: true
"""


@dataclass
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    def ok(self):
        assert self.code == 0, f"exit code {self.code}\n{self.out}\n{self.err}"
        return self

    @property
    def json(self):
        return json.loads(self.out.splitlines()[-1])

    def refused(self, *fragments, code=2):
        """One clear error that has all the fragments, and nothing of our insides."""
        shown = f"exit code {self.code}\n{self.out}\n{self.err}"
        assert self.code == code, shown
        assert sum(line.startswith("error: ") for line in self.err.splitlines()) == 1, shown
        assert "Traceback" not in self.err, shown
        assert "/src/mlcore" not in self.err, shown
        missing = [fragment for fragment in fragments if fragment not in self.err]
        assert not missing, f"{missing} not in\n{shown}"
        return self

    def users(self, *fragments):
        """The traceback of an error in the user's own code, without our frames."""
        shown = f"exit code {self.code}\n{self.out}\n{self.err}"
        assert self.code == 1, shown
        assert self.err.count("Traceback (most recent call last)") == 1, shown
        assert "/src/mlcore" not in self.err, shown
        missing = [fragment for fragment in fragments if fragment not in self.err]
        assert not missing, f"{missing} not in\n{shown}"
        return self


class Desk:
    """A working folder with the job."""

    def __init__(self, path: Path, config: str = CONFIG):
        self.path = path
        (path / "train.yaml").write_text(config)
        (path / "parts.py").write_text(PARTS)
        importlib.invalidate_caches()
        os.chdir(path)

    def mlcore(self, *argv):
        result = CliRunner().invoke(app, [str(word) for word in argv])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    def run(self, *argv):
        return self.mlcore("run", "train.yaml", *argv)

    def runs(self):
        return sorted(self.path.glob(".mlcore/runs/*/*"))

    def untouched(self):
        left = {path.name for path in self.path.iterdir()} - {"train.yaml", "parts.py", "__pycache__"}
        assert not left, f"left behind: {left}"


def flip(path: Path):
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
