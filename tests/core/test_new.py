"""`mlcore new` writes whole packages or nothing, under names that can be installed and imported."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from mlcore.cli import scaffold
from mlcore.cli.app import app
from mlcore.config import Config
from mlcore.errors import MlcoreError

KINDS = ("backend", "runner", "executor", "listener")
CORE = Path(__file__).parents[2] / "packages" / "core" / "pyproject.toml"


@pytest.fixture
def new(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["new", *arguments])


def tree(folder):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", KINDS)
def test_a_plugin_is_a_whole_package(new, kind):
    done = new("plugin", "My-own.thing", "--kind", kind)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == f"{kind} My-own.thing is in My-own.thing"
    assert "mlcore plugins --check my_own_thing" in done.stdout
    files = tree("My-own.thing")
    wanted = {".gitignore", "README.md", "pyproject.toml", "src/my_own_thing/py.typed", "tests/test_conformance.py"}
    assert wanted <= set(files)
    project = tomllib.loads(Path("My-own.thing/pyproject.toml").read_text())["project"]
    assert project["name"] == "My-own.thing"
    assert project["entry-points"]["mlcore.plugins"] == {"my_own_thing": "my_own_thing.plugin"}
    assert [path.name for path in Path().iterdir()] == ["My-own.thing"], "something else was left"


@pytest.mark.parametrize("arguments", [*(("plugin", "thing", "--kind", kind) for kind in KINDS), ("project", "thing")])
def test_what_is_written_has_no_placeholder_left_and_is_python(new, arguments):
    assert new(*arguments).exit_code == 0
    for name in tree("thing"):
        text = Path("thing", name).read_text()
        assert "$" not in text.replace("${seed}", ""), name
        assert "__module__" not in name
        if name.endswith(".py"):
            compile(text, name, "exec")


def test_a_project_is_a_whole_package(new):
    done = new("project", "my-trainings")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[1] == "next: cd my-trainings && mlcore run train.yaml"
    assert {"train.yaml", "my_trainings/data.py", "tests/test_training.py"} <= set(tree("my-trainings"))
    document = tomllib.loads(Path("my-trainings/pyproject.toml").read_text())
    assert document["tool"]["mlcore"]["store"] == ".mlcore"
    assert Config.read("my-trainings/train.yaml").resolve()["dataset"]["seed"] == 1


def test_the_core_that_is_asked_for_is_this_one(new):
    new("plugin", "thing", "--kind", "runner")
    major, minor, _ = tomllib.loads(CORE.read_text())["project"]["version"].split(".")
    needed = tomllib.loads(Path("thing/pyproject.toml").read_text())["project"]["dependencies"]
    assert f"mlcore-core>={major}.{minor},<{major}.{int(minor) + 1}" in needed


@pytest.mark.parametrize(
    ("name", "why", "instead"),
    [
        ("my plugin!", "it begins with a letter and has letters, digits, - and _ only", "my-plugin"),
        ("../up", "it begins with a letter", "up"),
        ("Übung 1", "it begins with a letter", "ubung-1"),
        ("1st", "it begins with a letter", "plugin-1st"),
        ("", "it begins with a letter", "my-plugin"),
        ("!!!", "it begins with a letter", "my-plugin"),
        ("-", "it begins with a letter", "my-plugin"),
        ("thing-", "it begins with a letter", "thing"),
        ("import", "import is a word of Python itself", "import-plugin"),
        ("match", "match is a word of Python itself", "match-plugin"),
        ("Json", "json is the name of something else that is always there", "json-plugin"),
        ("core", "core is the name of something else that is always there", "core-plugin"),
        ("mlcore", "mlcore is the name of something else", "mlcore-plugin"),
        ("numpy", "a package numpy is installed here", "numpy-plugin"),
        ("a" * 61, "it has more than 60 characters", "a" * 48),
    ],
)
def test_a_name_that_cannot_be_one_is_refused_with_one_that_can(new, name, why, instead):
    done = new("plugin", "--kind", "backend", "--", name)
    assert done.exit_code == 2
    assert f"cannot name a plugin: {why}" in done.stderr
    assert done.stderr.endswith(f"  hint: try {instead}\n")
    assert not list(Path().iterdir())
    assert new("plugin", instead, "--kind", "backend").exit_code == 0


@given(st.text(max_size=80))
def test_every_suggestion_can_be_a_name(name):
    try:
        scaffold.named(name, "project", "")
    except MlcoreError as error:
        scaffold.named(error.hint.removeprefix("try "), "project", "")


def test_a_folder_with_something_in_it_is_left_alone(new):
    Path("thing").mkdir()
    Path("thing/mine.txt").write_text("mine")
    done = new("project", "thing")
    assert done.exit_code == 2
    assert "the folder thing is not empty: it has mine.txt\n  hint: choose another one by --directory" in done.stderr
    assert tree(".") == ["thing/mine.txt"]


@pytest.mark.parametrize("make", [lambda path: path.write_text(""), lambda path: path.symlink_to("nowhere")])
def test_what_is_no_folder_is_left_alone(new, make):
    make(Path("thing"))
    done = new("project", "thing")
    assert done.exit_code == 2
    assert "thing exists, and is no folder" in done.stderr
    assert [path.name for path in Path().iterdir()] == ["thing"]


@pytest.mark.parametrize("directory", ["empty", ".", "new/and/deep"])
def test_a_folder_of_ones_choice(new, directory):
    if directory == "empty":
        Path("empty").mkdir()
    done = new("project", "thing", "--directory", directory)
    assert done.exit_code == 0, done.output
    assert "train.yaml" in tree(directory)
    assert not list(Path().glob(".mlcore-new-*"))


def test_a_folder_below_a_file_cannot_be_written(new):
    Path("file").write_text("mine")
    done = new("project", "thing", "--directory", "file/thing")
    assert done.exit_code == 2
    assert "file/thing cannot be written: " in done.stderr
    assert tree(".") == ["file"]


@pytest.mark.parametrize("directory", ["empty", "new"])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_failure_in_the_middle_leaves_nothing(new, monkeypatch, directory, after):
    Path("empty").mkdir()
    left = [after]
    method = "rename" if directory == "empty" else "write_text"
    original = getattr(Path, method)

    def fails(self, *args, **kwargs):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Path, method, fails)
    done = new("project", "thing", "--directory", directory)
    assert done.exit_code == 2
    assert f"{directory} cannot be written: No space left on device" in done.stderr
    assert [path.name for path in Path().iterdir()] == ["empty"]
    assert not list(Path("empty").iterdir())


def test_the_json_says_what_was_written_and_where(new, tmp_path):
    done = new("project", "a-thing", "--directory", "here now", "--json")
    path = str(tmp_path / "here now")
    assert json.loads(done.stdout) == {"name": "a-thing", "module": "a_thing", "kind": "project", "path": path}
    assert "next: cd 'with space' && " in new("project", "thing", "--directory", "with space").stdout


def test_an_unknown_kind_is_told(new):
    done = new("plugin", "thing", "--kind", "tracker")
    assert done.exit_code == 2
    assert "'backend', 'runner', 'executor', 'listener'" in done.stderr
