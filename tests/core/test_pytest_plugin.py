"""The fixtures that `mlcore.testing.pytest_plugin` brings, in a pytest session of their own."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

TESTS = """
import os
import pytest
import mlcore
from mlcore.errors import PluginError
from mlcore.hookspecs import hookimpl
from mlcore.plugins import current_host
from mlcore.store import find_store

class Listener:
    runs = []

    @hookimpl
    def mlcore_subscribe(self, run):
        self.runs.append(run.name)

@pytest.fixture
def listener(mlcore_host):
    mlcore_host.add("listener", Listener())

def test_the_store_is_empty_and_used(mlcore_store, tmp_path):
    assert find_store().url == mlcore_store.url == str(tmp_path / "store")
    with mlcore.start_run(name="by itself") as run:
        pass
    assert mlcore.find_run(mlcore_store, "by itself").id == run.id

def test_the_host_has_the_core_only(mlcore_host):
    assert current_host() is mlcore_host
    assert [record.name for record in mlcore_host.records if record.status == "loaded"] == ["core"]

def test_the_run_has_the_plugins_that_were_added_before(listener, mlcore_run):
    assert mlcore.current_run() is mlcore_run
    assert (Listener.runs, mlcore_run.seed) == (["test"], 1)

def test_nothing_is_left_of_the_tests_before():
    assert mlcore.current_run() is None
    assert "MLCORE_STORE" not in os.environ
    assert current_host().allow is None

def test_a_broken_plugin_is_raised(mlcore_host):
    with pytest.raises(PluginError):
        mlcore_host.add("broken", Listener)
"""


def test_the_fixtures(tmp_path):
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["mlcore.testing.pytest_plugin"]\n')
    (tmp_path / "test_fixtures.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


def test_nobody_gets_them_unasked():
    assert not [point.value for point in entry_points(group="pytest11") if point.value.startswith("mlcore")]
