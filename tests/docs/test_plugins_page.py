"""docs/plugins.md is complete: every hook with its arguments, every option, switch, kind, suite and fixture."""

from __future__ import annotations

import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import mlcore.cli.new
import mlcore.testing
from mlcore import hookspecs
from mlcore.plugins.hooks import NAMES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
# Modules that only serve the suites.
INTERNAL = {"calls", "fresh", "native", "rehearsal", "suites", "walk", "faulty"}


@pytest.mark.parametrize("hook", NAMES)
def test_every_hook_has_a_heading_with_its_arguments(hook):
    arguments = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
    assert f"\n### {hook}({arguments})\n" in PAGE


@pytest.mark.parametrize("hook", [hook for hook in NAMES if hook.startswith("mlcore_register")])
def test_every_option_is_explained(hook):
    section = PAGE.split(f"\n### {hook}(")[1].split("\n### ")[0]
    options = inspect.getdoc(getattr(hookspecs, hook)).split("Options:")[1].split("Example:")[0]
    for option in re.findall(r"^\s*`(\w+)`,", options, re.MULTILINE):
        assert f"| `{option}=" in section, f"{hook} has the option {option}"


def test_every_switch_is_explained():
    source = inspect.getsource(mlcore.plugins.host) + inspect.getsource(mlcore.cli.options)
    for switch in {*re.findall(r'"(MLCORE_\w*PLUGINS)"', source), "--no-plugin"}:
        assert f"| `{switch}" in PAGE, switch


@pytest.mark.parametrize("kind", [kind.value for kind in mlcore.cli.new.Kind])
def test_every_kind_is_shown(kind):
    assert f"--kind {kind}\n" in PAGE


def test_every_module_for_tests_is_told():
    modules = {info.name for info in pkgutil.iter_modules(mlcore.testing.__path__)} - INTERNAL
    assert {name for name in modules if f"mlcore.testing.{name}" not in PAGE} == set()


def test_every_fixture_is_told():
    source = (ROOT / "packages/core/src/mlcore/testing/pytest_plugin.py").read_text()
    for fixture in re.findall(r"@pytest.fixture\ndef (\w+)", source):
        assert f"| `{fixture}` |" in PAGE, fixture
