"""`mlcore plugins --check` runs the suites on what a plugin registers, and says what it cannot check."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner

from mlcore.cli.app import app
from mlcore.errors import PluginError
from mlcore.hookspecs import hookimpl
from mlcore.plugins import PluginHost
from mlcore.testing.plugins import plugin_checks
from mlcore.testing.samples import BackendSample, RunnerSample

PLUGIN = """
from mlcore.hookspecs import hookimpl

@hookimpl
def mlcore_register_backends(register):
    {registration}
"""


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Run `mlcore plugins …` with a plugin of that source, and the core, and nothing else."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MLCORE_PLUGINS", "mine")
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mlcore.plugins]\nmine = mine_plugin\n")

    def run(source, *arguments):
        (tmp_path / "mine_plugin.py").write_text(source)
        return CliRunner().invoke(app, ["plugins", *arguments])

    yield run
    for name in set(sys.modules) - before:
        del sys.modules[name]


def registering(registration):
    return PLUGIN.format(registration=registration)


NATIVE = "mlcore.model:NativeBackend"


def test_the_suites_run_and_pass(plugins):
    source = registering(f'register("mine", "{NATIVE}", samples="mlcore.testing.native:backend_samples")')
    done = plugins(source, "mine", "--check")
    assert done.exit_code == 0, done.output
    assert [line.split()[-1] for line in done.stdout.splitlines()[1:-1]] == ["ok"] * 11
    assert "mine            backend mine                        same_bytes" in done.stdout
    assert done.stdout.endswith("11 passed, 0 failed, 0 not checked\n")


def test_a_failure_is_told_and_ends_with_1(plugins):
    source = (
        registering(f'register("mine", "{NATIVE}", samples="mine_plugin:samples")')
        + """
from mlcore.testing.native import RunningMean
from mlcore.testing.samples import BackendSample

class Odd(RunningMean):
    def run(self, batch, *, train):
        print("noise")
        return {**super().run(batch, train=train), "odd": 1}

def samples():
    return [BackendSample("mine_plugin:Odd", {"x": [0.0] * 4, "y": [1.0] * 4})]
"""
    )
    done = plugins(source, "mine", "--check", "--json")
    assert done.exit_code == 1
    (failed, *_) = [each for each in json.loads(done.stdout) if each["status"] == "failed"]
    assert failed["plugin"] == "mine"
    assert (failed["subject"], failed["check"]) == ("backend mine", "outputs")
    assert failed["error"] == "outputs ['odd'] are not among output_names"


@pytest.mark.parametrize(
    ("registration", "told"),
    [
        (f'register("mine", "{NATIVE}")', 'not checked: register it with samples="module:function"'),
        (f'register("mine", "{NATIVE}", samples="builtins:list")', "not checked: builtins:list gives no sample"),
        (
            f'register("mine", "{NATIVE}", samples="nowhere:list")',
            "failed: ModuleNotFoundError: No module named 'nowhere'",
        ),
        (
            f'register("mine", "{NATIVE}", samples="nowhere")',
            "failed: backend 'mine': samples: 'nowhere' is not of the form",
        ),
        ("raise ValueError('odd')", "failed: ValueError: odd"),
    ],
)
def test_what_cannot_be_checked_is_told(plugins, registration, told):
    done = plugins(registering(registration), "mine", "--check")
    assert told in done.stdout
    assert done.exit_code == ("failed:" in told)


def test_a_blocked_plugin_is_not_checked(plugins):
    done = plugins(registering("pass"), "mine", "--check", "--no-plugin", "mine")
    assert done.exit_code == 0
    assert "not checked: switched off by --no-plugin" in done.stdout


def test_an_unknown_name_is_a_mistake(plugins):
    done = plugins(registering("pass"), "mien", "--check")
    assert done.exit_code == 2
    assert "there is no plugin 'mien'\n  hint: did you mean 'mine'?" in done.stderr


def test_names_choose_what_is_listed(plugins):
    done = plugins(registering(f'register("other", "{NATIVE}")'), "mine")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["plugin", "mine"]


class Everything:
    @hookimpl
    def mlcore_register_runners(self, register):
        register("walk", f"{__name__}:Everything", samples=f"{__name__}:walks")

    @hookimpl
    def mlcore_register_executors(self, register):
        register("again", "mlcore.execution:SerialExecutor")

    @hookimpl
    def mlcore_register_standins(self, register):
        register("old", "json")

    @hookimpl
    def mlcore_subscribe(self, run):
        pass


def walks():
    return [RunnerSample({"steps": 1}, "short"), RunnerSample({"steps": 9}, "long")]


def test_every_kind_has_its_suite():
    host = PluginHost(allow=("mine",)).load()
    host.add("mine", Everything())
    checks = plugin_checks(host, "mine")
    subjects = dict.fromkeys(check.subject for check in checks)
    assert list(subjects) == ["runner walk (short)", "runner walk (long)", "executor again", "stand-in old", "listener"]
    assert [str(check) for check in checks if check.subject == "stand-in old"] == ["stand-in old: imports"]


def test_what_is_not_checked_does_not_pass_as_a_test():
    class Unsampled:
        @hookimpl
        def mlcore_register_backends(self, register):
            register("mine", NATIVE)

    host = PluginHost(allow=()).load()
    host.add("mine", Unsampled())
    (unchecked,) = plugin_checks(host, "mine")
    assert str(unchecked) == "backend mine: not checked"
    with pytest.raises(AssertionError, match="backend mine is not checked: register it with samples="):
        unchecked()


def test_a_plugin_that_is_not_there_has_no_checks():
    host = PluginHost(allow=()).load()
    with pytest.raises(PluginError, match="there is no plugin 'mine'"):
        plugin_checks(host, "mine")


def test_a_sample_is_called_by_its_function():
    assert str(BackendSample("package.samples:make_it", {})) == "make_it"


@pytest.mark.parametrize("name", [record.name for record in PluginHost().load().records])
def test_our_own_plugins_leave_nothing_unchecked(name):
    checks = plugin_checks(PluginHost(strict=True).load(), name)
    assert [str(check) for check in checks if check.run is None] == []
    assert checks


@pytest.mark.parametrize("check", plugin_checks(PluginHost(allow=()).load(), "core"), ids=str)
def test_the_core_keeps_its_own_contracts(check):
    check()
