"""What every attempt keeps of its surroundings: code, packages, machine, variables."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import mlcore
from mlcore.cli.app import app
from mlcore.config import hide, hide_command, hide_setting
from mlcore.runs import environment, resume_run
from mlcore.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


def git(folder, *words):
    who = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A repository with one commit, and the working folder."""
    folder = tmp_path / "code"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "trunk")
    (folder / "a.py").write_text("x = 1\n")
    git(folder, "add", "a.py")
    git(folder, "commit", "-q", "-m", "first")
    monkeypatch.chdir(folder)
    return folder


def started(store):
    with mlcore.start_run(store=store, name="it") as run:
        pass
    return mlcore.find_run(store, run.id)


def difference(view, attempt=1):
    return view.folder.read_bytes(f"attempts/{attempt}.diff").decode()


def test_a_clean_commit_is_recorded(store, code):
    view = started(store)
    facts = {"commit": git(code, "rev-parse", "HEAD"), "branch": "trunk", "dirty": False}
    assert view.attempts[0].environment["git"] == facts
    assert not view.folder.exists("attempts/1.diff")


def test_what_differs_from_the_commit_is_a_file_of_the_attempt(store, code):
    (code / "a.py").write_text("x = 2\npassword = 'hunter2'\n")
    (code / "new.py").write_text("not tracked")
    view = started(store)
    assert view.attempts[0].environment["git"]["dirty"]
    assert "-x = 1\n+x = 2\n" in difference(view)
    assert "hunter2" not in difference(view)
    assert "new.py" not in difference(view)


def test_before_the_first_commit(store, tmp_path, monkeypatch):
    (tmp_path / "young").mkdir()
    git(tmp_path / "young", "init", "-q", "-b", "trunk")
    (tmp_path / "young" / "a.py").write_text("x = 1\n")
    git(tmp_path / "young", "add", "a.py")
    monkeypatch.chdir(tmp_path / "young")
    view = started(store)
    assert view.attempts[0].environment["git"] == {"commit": None, "branch": "trunk", "dirty": True}
    assert "+x = 1" in difference(view)


def test_a_long_difference_is_cut(store, code):
    (code / "a.py").write_text("".join(f"x{number} = {number}\n" for number in range(100_000)))
    text = difference(started(store))
    assert text.endswith("\n(cut here: it is longer than 1 MB)\n")
    assert len(text) < environment.DIFF_LIMIT + 100


def test_outside_of_a_repository(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert started(store).attempts[0].environment["git"] is None


def test_without_git(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert started(store).attempts[0].environment["git"] is None


def test_git_is_asked_once_a_process_and_folder(store, code, monkeypatch):
    (code / "a.py").write_text("x = 2\n")
    asked = []
    real = subprocess.run
    monkeypatch.setattr(environment.subprocess, "run", lambda *a, **k: asked.append(a) or real(*a, **k))
    for _ in range(5):
        assert difference(started(store))
    assert len(asked) == 2  # status, diff


def test_the_code_of_a_script_is_what_counts(store, code, tmp_path, monkeypatch, capfd):
    (code / "train.py").write_text("pass\n")
    monkeypatch.chdir(tmp_path)
    view = mlcore.run("code/train.py", store=store)
    assert view.attempts[0].environment["git"]["branch"] == "trunk"


def test_a_resume_records_its_own(store, code):
    with pytest.raises(KeyboardInterrupt), mlcore.start_run(store=store) as run:
        raise KeyboardInterrupt
    (code / "a.py").write_text("x = 3\n")
    environment._git.cache_clear()
    environment.difference.cache_clear()
    with resume_run(mlcore.find_run(store, run.id)):
        pass
    view = mlcore.find_run(store, run.id)
    assert [attempt.environment["git"]["dirty"] for attempt in view.attempts] == [False, True]
    assert "+x = 3" in difference(view, 2)


def test_variables_are_recorded_without_secrets(store, monkeypatch):
    monkeypatch.setenv("SOME_SETTING", "seven")
    monkeypatch.setenv("SOME_TOKEN", "hunter2")
    monkeypatch.setenv("DATABASE_URL", "db://me:hunter2@host/x")
    monkeypatch.setenv("EMPTY_TOKEN", "")
    monkeypatch.setenv("ODD", "\udcff")
    view = started(store)
    variables = view.attempts[0].environment["variables"]
    assert variables["SOME_SETTING"] == "seven"
    assert variables["SOME_TOKEN"] == "<redacted>"
    assert variables["DATABASE_URL"] == "db<redacted>host/x"
    assert variables["EMPTY_TOKEN"] == ""
    assert variables["ODD"] == "\udcff"
    assert b"hunter2" not in view.folder.read_bytes("attempts/1.json")


def test_packages_and_machine_are_recorded(store):
    found = started(store).attempts[0].environment
    assert found["packages"]["mlcore-core"] == mlcore.__version__
    assert found["machine"]["cpus"] >= 1
    assert found["python"] == sys.version.split()[0]


def test_show_prints_the_commit(store, code):
    (code / "a.py").write_text("x = 2\n")
    started(store)
    commit = git(code, "rev-parse", "HEAD")
    shown = CliRunner().invoke(app, ["show", "it", "--store", store.url]).stdout
    assert f"commit  {commit}, changed since: attempts/1.diff" in shown
    details = json.loads(CliRunner().invoke(app, ["show", "it", "--store", store.url, "--json"]).stdout)
    assert details["attempts"][0]["environment"]["git"]["commit"] == commit


@pytest.mark.parametrize(
    "name",
    ["GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "MYSQL_PWD", "OPENAI_API_KEY", "SSHPASS", "SIGNING_KEY"],
)
def test_names_of_secret_variables(name):
    assert hide_setting(name, "x") == "<redacted>"


@pytest.mark.parametrize(
    "name", ["PWD", "OLDPWD", "PATH", "MAX_TOKENS", "KEYMAP", "SSH_AUTH_SOCK", "TOKENIZERS_PARALLELISM"]
)
def test_names_of_plain_variables(name):
    assert hide_setting(name, "x") == "x"


def test_the_command_line_has_no_secrets():
    words = ["mlcore", "run", "--password", "a", "--api-key=b", "--token", "--next", "db.passwd=c", "--tokens", "3"]
    assert hide_command(words) == [
        "mlcore", "run", "--password", "<redacted>", "--api-key=<redacted>", "--token", "--next",
        "db.passwd=<redacted>", "--tokens", "3",
    ]  # fmt: skip


def test_a_long_word_is_searched_in_linear_time():
    assert hide("a" * (1 << 20)) == "a" * (1 << 20)
