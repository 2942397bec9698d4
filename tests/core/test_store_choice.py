"""Which store is used."""

from __future__ import annotations

import pytest

from mlcore.errors import ConfigError
from mlcore.store import StoreChoice, find_store, use_store


@pytest.fixture
def project(tmp_path):
    """A project with a store of its own, and a working folder inside it."""
    (tmp_path / "pyproject.toml").write_text('[tool.mlcore]\nstore = "../shared store"\n')
    work = tmp_path / "deep" / "er"
    work.mkdir(parents=True)
    return work


def test_what_was_asked_for_comes_first(project, monkeypatch):
    monkeypatch.setenv("MLCORE_STORE", "/from/environment")
    assert find_store("asked", project) == StoreChoice(str(project / "asked"), "--store")
    assert find_store("../asked", project).url == str(project.parent / "asked")
    assert find_store("s3://bucket/x", project).url == "s3://bucket/x"


def test_then_the_run_that_the_code_is_in(project, monkeypatch):
    monkeypatch.setenv("MLCORE_STORE", "/from/environment")
    with use_store("memory://run"):
        assert find_store(None, project) == StoreChoice("memory://run", "the current run")
        assert find_store("asked", project).reason == "--store"
    assert find_store(None, project).reason == "MLCORE_STORE"


def test_then_the_environment(project, monkeypatch):
    monkeypatch.setenv("MLCORE_STORE", "~/mine")
    monkeypatch.setenv("HOME", "/home/me")
    assert find_store(None, project) == StoreChoice("/home/me/mine", "MLCORE_STORE")
    monkeypatch.setenv("MLCORE_STORE", "")
    assert find_store(None, project).reason == "[tool.mlcore] in pyproject.toml"


def test_then_the_nearest_project_whose_paths_are_relative_to_its_file(project, tmp_path):
    assert find_store(None, project) == StoreChoice(
        str(tmp_path.parent / "shared store"), "[tool.mlcore] in pyproject.toml"
    )
    (tmp_path / "pyproject.toml").write_text('[tool.mlcore]\nstore = "memory://shelf"\n')
    assert find_store(None, project).url == "memory://shelf"


def test_then_the_default_beside_the_nearest_project(project, tmp_path):
    (tmp_path / "deep" / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert find_store(None, project) == StoreChoice(str(tmp_path / "deep" / ".mlcore"), "default")


def test_else_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_store() == StoreChoice(str(tmp_path / ".mlcore"), "default")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[tool.mlcore]\nstore = \n", ":2:9"),
        ("[tool.mlcore\nstore = 1", ":1:13"),
        ('a = 1\nb = """\n', ""),
        ("a = 1\na = 2\n", ":2:6"),
    ],
)
def test_a_malformed_project_file_is_named_with_line(project, tmp_path, text, place):
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(ConfigError, match="not valid TOML") as caught:
        find_store(None, project)
    assert caught.value.where.startswith(f"{tmp_path / 'pyproject.toml'}{place}")
    assert "--store" in caught.value.hint
    assert find_store("asked", project).reason == "--store"


@pytest.mark.parametrize("value", ["3", "['a']", '""', "{url = 'x'}"])
def test_a_store_that_is_no_text(project, tmp_path, value):
    (tmp_path / "pyproject.toml").write_text(f"[tool.mlcore]\nstore = {value}\n")
    with pytest.raises(ConfigError, match="not a path or URL") as caught:
        find_store(None, project)
    assert caught.value.where == str(tmp_path / "pyproject.toml")


@pytest.mark.parametrize("text", ["tool = 3", "[tool]\nmlcore = 3"])
def test_sections_of_another_kind(project, tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text)
    if text == "tool = 3":
        assert find_store(None, project).reason == "default"
    else:
        with pytest.raises(ConfigError, match="not a path or URL"):
            find_store(None, project)


def test_a_project_file_of_bytes(project, tmp_path):
    (tmp_path / "pyproject.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        find_store(None, project)
