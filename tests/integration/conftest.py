"""Folders with a store in which real `mlcore` commands are run, killed, and looked at."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from mlcore.runs import find_run
from mlcore.store import Store

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits" / "train.yaml"
# How often the tests kill a run at a random moment; 50 is what the project promises.
KILLS = int(os.environ.get("MLCORE_TEST_KILLS", "12"))
WORKERS = 2
PATIENCE = 240  # seconds; only a hanging command takes so long


@dataclass
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """The object that is the last line of the output."""
        return json.loads(self.out.splitlines()[-1])

    def ok(self):
        assert self.code == 0, f"exit code {self.code}\n{self.out}\n{self.err}"
        return self


class Desk:
    """A working folder with a store, and `mlcore` on it."""

    def __init__(self, path: Path, zygote=None):
        path.mkdir(parents=True, exist_ok=True)
        self.path, self.store, self.zygote = path, path / "store", zygote

    def command(self, *argv):
        return [
            sys.executable,
            "-c",
            "from mlcore.cli import main; main()",
            *map(str, argv),
            "--store",
            str(self.store),
        ]

    def start(self, *argv, **env):
        """Begin a command as a real process."""
        return self.started(self.command(*argv), **env)

    def started(self, command, **env):
        return subprocess.Popen(
            command, cwd=self.path, text=True, env={**os.environ, "PYTHONSAFEPATH": "1", **env},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def wait(self, process):
        out, err = process.communicate(timeout=PATIENCE)
        return Done(process.returncode, out, err)

    def mlcore(self, *argv, **env):
        """Run a command: in a fork of the zygote where there is one, else as a real process."""
        if self.zygote is None:
            return self.wait(self.start(*argv, **env))
        return self.zygote.run([*map(str, argv), "--store", str(self.store)], self.path)

    def killed(self, *argv, after):
        """Begin a command, and kill it after so many seconds."""
        process = self.start(*argv)
        try:
            process.wait(timeout=after)
        except subprocess.TimeoutExpired:
            process.kill()
        return self.wait(process)

    def write(self, files):
        """Write texts by file name, and give the path of the last one."""
        for name, text in files.items():
            (self.path / name).write_text(text)
        return self.path / name

    def runs(self):
        """Folders of the runs, the oldest first."""
        return sorted(path.parent for path in self.store.glob("runs/*/*/run.json"))

    def torn(self):
        """Checkpoints without a manifest."""
        found = self.store.glob("runs/*/*/checkpoints/[0-9]*")
        return sorted(int(path.name) for path in found if not (path / "manifest.json").exists())

    def facts(self, run):
        """All that must not depend on how often a run was killed."""
        view = find_run(Store(self.store), str(run))
        shown = json.loads(json.dumps(view.details()))
        series = {name: {"steps": s.steps, "values": list(s.values)} for name, s in view.journal.series().items()}
        return {
            "status": shown["status"],
            "metrics": shown["metrics"],
            "epochs": [(epoch["epoch"], epoch["metrics"]) for epoch in shown["epochs"]],
            "series": {name: (points["steps"], points["values"]) for name, points in series.items()},
            "models": [{**model, "url": None} for model in shown["models"]],
            "checkpoints": [(checkpoint["step"], checkpoint["best"]) for checkpoint in shown["checkpoints"]],
            "warnings": shown["warnings"],
        }


class Zygote:
    """The other end of `zygote.py`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.folder.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(Path(__file__).parent / "zygote.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, argv, cwd, *, deadly=None, tell=None):
        out, err = self.folder / "out", self.folder / "err"
        job = {"argv": [*map(str, argv)], "cwd": str(cwd), "out": str(out), "err": str(err), "deadly": deadly}
        self.process.stdin.write(json.dumps({**job, "tell": tell and str(tell)}) + "\n")
        self.process.stdin.flush()
        int(self.process.stdout.readline())
        code = int(self.process.stdout.readline())
        return Done(code, out.read_text(), err.read_text())

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=PATIENCE)
        self.process.stdout.close()


class Zygotes:
    """Two of them; whoever runs a command takes one, and puts it back."""

    def __init__(self, folder: Path):
        self._made = [Zygote(folder / str(number)) for number in range(WORKERS)]
        self._free = queue.SimpleQueue()
        for zygote in self._made:
            self._free.put(zygote)

    def run(self, argv, cwd, **options):
        zygote = self._free.get(timeout=PATIENCE)
        try:
            return zygote.run(argv, cwd, **options)
        finally:
            self._free.put(zygote)

    def close(self):
        for zygote in self._made:
            zygote.close()


@pytest.fixture(scope="session")
def zygote(tmp_path_factory):
    """Runs commands in forks of a process that has imported everything."""
    made = Zygotes(tmp_path_factory.mktemp("zygotes"))
    yield made
    made.close()


@pytest.fixture
def desk(tmp_path):
    """Commands are real processes, as a user starts them."""
    return Desk(tmp_path / "desk")


@pytest.fixture
def quick(tmp_path, zygote):
    """Commands are forks of a process that has imported everything."""
    return Desk(tmp_path / "desk", zygote)


def each(work, items):
    """Call `work` for every item, two at a time; the first failure is raised."""
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(work, items))


def until(condition, process=None):
    """Wait for something that will happen, unless the process ends."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        if process is not None and process.poll() is not None:
            raise AssertionError(f"it ended: {process.communicate()}")
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
    return found


def distribution(place, name, group, points, code=""):
    """Install a distribution with entry points into a folder; its modules are what these name."""
    info = place / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"[{group}]", *(f"{point} = {target}" for point, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for target in points.values():
        (place / f"{target.partition(':')[0]}.py").write_text(code)


def hook_index(name):
    """Where a hook stands in the digits example."""
    hooks = YAML(typ="safe").load(DIGITS)["hooks"]
    return next(index for index, hook in enumerate(hooks) if hook == name or name in hook)


def epochs(number):
    """The override that says how long the digits example trains."""
    return f"hooks.{hook_index('StopAfter')}.StopAfter.epochs={number}"


def small(number=4):
    """The digits example made short: so many epochs, of a small network, in few batches."""
    return [str(DIGITS), epochs(number), "model.hidden_layer_sizes=[16]", "dataset.batch_size=128"]


# A job that waits in its third epoch as long as the file GATE is there, and then has a file beside it.
GATED = {
    "gated.py": '''
import os
import signal
import time
from pathlib import Path

from mlcore_emloop_compat import AbstractHook, ArrayStream, BaseDataset
from sklearn.datasets import load_digits


class Gated(ArrayStream):
    def __iter__(self):
        batches = super().__iter__()
        return self.held(batches)

    def held(self, batches):
        gate = Path(os.environ.get("GATE", "no gate"))
        for number, batch in enumerate(batches):
            while self._epoch == 3 and number == 1 and gate.exists():
                gate.with_suffix(".held").touch()
                time.sleep(0.01)
            yield batch


class Digits(BaseDataset):
    def _configure_dataset(self, output_dir=None, size=50):
        images, labels = load_digits(return_X_y=True)
        self.train = Gated({"images": images[:300] / 16, "labels": labels[:300]}, size, shuffle=True, seed=1)
        self.valid = ArrayStream({"images": images[300:500] / 16, "labels": labels[300:500]}, size)

    def train_stream(self):
        return self.train

    def valid_stream(self):
        return self.valid


class Interrupt(AbstractHook):
    """Ctrl+C by the job itself, when an epoch is over."""

    def __init__(self, at=0, **kwargs):
        super().__init__(**kwargs)
        self.at = at

    def after_epoch_profile(self, epoch_id, profile, streams):
        if epoch_id == self.at:
            os.kill(os.getpid(), signal.SIGINT)

    def state_dict(self):
        return {}
''',
    "train.yaml": """
seed: 5
dataset: {class: gated.Digits}
model:
  name: gated
  class: sklearn.linear_model.SGDClassifier
  inputs: [images]
  targets: [labels]
  labels: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
  loss: log_loss
  alpha: 0.001
  random_state: ${seed}
hooks:
  - ComputeStats: {variables: [loss, accuracy]}
  - SaveBest
  - SaveLatest
  - StopAfter: {epochs: 4}
  - gated.Interrupt: {at: 0}
main_loop: {extra_streams: [valid], skip_zeroth_epoch: true}
""",
}
