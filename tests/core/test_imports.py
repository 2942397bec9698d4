"""What an import may load. Counted in a fresh process: nothing that the tests imported hides a mistake."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("fsspec", "numpy", "pydantic", "rich", "ruamel", "sklearn", "torch", "typer")


def loaded_by(code):
    told = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{told}"], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["mlcore", "mlcore.errors", "mlcore.events", "mlcore.plugins", "mlcore.execution"])
def test_light_modules_load_neither_a_framework_nor_pluggy(module):
    loaded = loaded_by(f"import {module}")
    assert "mlcore" in loaded
    assert loaded.isdisjoint({*HEAVY, "pluggy"})


def test_import_mlcore_loads_a_handful_of_modules():
    code = "import sys; before = set(sys.modules); import mlcore; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [name for name in done.stdout.split() if name.startswith("mlcore")] == ["mlcore"]
    assert len(done.stdout.split()) <= 40, "more than typing needs"


def test_hookspecs_load_pluggy_and_nothing_heavy():
    loaded = loaded_by("import mlcore.hookspecs")
    assert "pluggy" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_loading_the_core_plugin_imports_nothing_heavy():
    code = "from mlcore.plugins import PluginHost; host = PluginHost(allow=()).load(); assert 'native' in host.backends"
    assert loaded_by(code).isdisjoint(HEAVY)


def test_names_of_commands_are_read_without_pluggy():
    loaded = loaded_by("from mlcore.plugins import command_entry_points; command_entry_points()")
    assert loaded.isdisjoint({*HEAVY, "pluggy"})
