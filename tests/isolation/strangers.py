"""A stranger's packages, as `mlcore new` writes them: built, installed beside our wheels, checked and used.

One environment serves all tests. Its own are the wheels; what they need besides is borrowed from the environment that
runs the tests, so that no network is needed. It takes a minute, so it is not among the ordinary tests: `nox -s build`
runs it, and `pytest tests/isolation/strangers.py` where hatchling is installed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("core", "emloop_compat", "sklearn")
KINDS = ("backend", "runner", "executor", "listener")
TRAIN = """
seed: 7
dataset: {class: digits.Digits, batch_size: 16, seed: 7}
model:
  class: a_backend.model.Softmax
  name: digits
  classes: 10
  inputs: [images]
  targets: [labels]
  labels: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
hooks:
  - ComputeStats: {variables: [loss, accuracy]}
  - SaveBest: {variable: loss, stream: valid}
  - StopAfter: {epochs: 3}
main_loop: {extra_streams: [valid]}
"""


def done(command, **options):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLCORE_", "PYTHON"))}
    found = subprocess.run(
        [str(part) for part in command], env=environment, capture_output=True, text=True, check=False, **options
    )
    assert found.returncode == 0, f"{command}\n{found.stdout}\n{found.stderr}"
    return found.stdout


def build(package, wheels):
    """Build a wheel from a copy, so that nothing is left in the source."""
    copy = wheels / "sources" / package.name
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__", "dist"))
    done([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", wheels], cwd=copy)


class Environment:
    """A fresh environment with wheels of ours and of strangers."""

    def __init__(self, folder):
        self.desk = folder / "desk"
        self._env, self._wheels = folder / "env", folder / "wheels"
        self.desk.mkdir()
        done([sys.executable, "-m", "venv", self._env])
        site = next(self._env.glob("lib/python*/site-packages"))
        (site / "borrowed.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
        for name in OURS:
            build(ROOT / "packages" / name, self._wheels)
        self._install()

    def _install(self):
        wheels = self._wheels.glob("*.whl")
        # Without a look at dependencies: they are borrowed. By force: those of ours that are borrowed are editable.
        options = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--ignore-installed"]
        done([self._env / "bin" / "python", "-m", "pip", "install", *options, *wheels])

    def add(self, *packages):
        for package in packages:
            build(package, self._wheels)
        self._install()

    def run(self, *command, cwd=None):
        return done([self._env / "bin" / command[0], *command[1:]], cwd=cwd or self.desk)

    def python(self, *arguments, cwd=None):
        return self.run("python", *arguments, cwd=cwd)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    found = Environment(tmp_path_factory.mktemp("strangers"))
    for kind in KINDS:
        found.run("mlcore", "new", "plugin", f"a-{kind}", "--kind", kind)
    found.run("mlcore", "new", "project", "some-trainings")
    found.add(*(found.desk / f"a-{kind}" for kind in KINDS))
    return found


def test_what_runs_is_the_wheels(environment):
    program = (
        "import a_backend, mlcore, mlcore_sklearn; print(a_backend.__file__, mlcore.__file__, mlcore_sklearn.__file__)"
    )
    for file in environment.python("-c", program).split():
        assert "/env/lib/" in file


def test_they_are_listed(environment):
    plugins = {each["name"]: each for each in json.loads(environment.run("mlcore", "plugins", "--json"))}
    assert {plugin["status"] for plugin in plugins.values()} == {"loaded"}
    assert plugins["a_backend"]["distribution"] == "a-backend"
    assert plugins["a_backend"]["offers"] == [{"kind": "backend", "name": "a_backend"}]
    assert plugins["a_runner"]["offers"] == [{"kind": "runner", "name": "a_runner"}]
    assert plugins["a_executor"]["offers"] == [{"kind": "executor", "name": "a_executor"}]
    assert plugins["a_listener"]["hooks"] == ["mlcore_subscribe"]


def test_they_pass_the_checks(environment):
    names = [f"a_{kind}" for kind in KINDS]
    checks = json.loads(environment.run("mlcore", "plugins", *names, "--check", "--json"))
    assert [check for check in checks if check["status"] != "ok"] == []
    assert {check["plugin"] for check in checks} == set(names)


@pytest.mark.parametrize("folder", [*(f"a-{kind}" for kind in KINDS), "some-trainings"])
def test_their_own_tests_pass(environment, folder):
    last = environment.python("-m", "pytest", "-q", "-W", "error", cwd=environment.desk / folder).splitlines()[-1]
    assert " passed" in last
    assert "skipped" not in last


def test_the_backend_trains_the_main_job_and_the_listener_follows(environment):
    folder = environment.desk / "digits"
    shutil.copytree(ROOT / "examples" / "digits", folder)
    (folder / "softmax.yaml").write_text(TRAIN)
    run = json.loads(environment.run("mlcore", "run", "softmax.yaml", "--store", "store", "--json", cwd=folder))
    assert run["status"] == "finished"
    best = {(metric["stream"], metric["name"]): metric["best"] for metric in run["metrics"]}
    assert best["valid", "accuracy"] > 0.85
    lines = Path(folder, run["path"], "files", "epochs.csv").read_text().splitlines()
    assert lines[0] == "epoch,stream,name,value"
    assert [line.split(",")[0] for line in lines if ",valid,accuracy," in line] == ["0", "1", "2", "3"]
    program = "import mlcore; print(type(mlcore.load_model('model:digits@best').subject).__name__)"
    command = ["-c", f"import os; os.environ['MLCORE_STORE'] = 'store'; {program}"]
    assert environment.python(*command, cwd=folder) == "Softmax\n"


def test_the_runner_runs_and_the_executor_opens(environment):
    run = json.loads(environment.run("mlcore", "run", "example.yaml", "--json", cwd=environment.desk / "a-runner"))
    assert run["status"] == "finished"
    program = (
        "from mlcore.execution import open_executor\n"
        "with open_executor('a_executor://2') as executor:\n"
        "    print(sorted(key for key, _ in executor.map('math:sqrt', [1, 4])))"
    )
    assert environment.python("-c", program) == "[0, 1]\n"


def test_a_project_trains_at_once(environment):
    folder = environment.desk / "some-trainings"
    printed = environment.run("mlcore", "run", "train.yaml", cwd=folder)
    assert "finished: " in printed
    assert "model some_trainings v" in printed
    assert (folder / ".mlcore" / "mlcore.json").exists()
