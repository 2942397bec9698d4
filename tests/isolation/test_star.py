"""The star rule as it is at run time, each time in a fresh interpreter."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

FRAMEWORKS = {"batchflow", "clearml", "dtlpy", "emloop", "joblib", "scipy", "skops", "sklearn", "tensorflow", "torch"}
PLUGINS = {
    entry.name: entry.value for entry in entry_points(group="mlcore.plugins") if entry.dist.name.startswith("mlcore-")
}
OURS = ["mlcore", *sorted({value.split(".")[0] for name, value in PLUGINS.items() if name != "core"})]


def loaded_by(statement: str) -> set[str]:
    program = f"import json, sys; {statement}; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def roots(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_our_plugins_are_found():
    assert {"core", "emloop_compat", "sklearn"} <= set(PLUGINS)


def test_the_core_loads_no_plugin_and_no_framework():
    loaded = roots(loaded_by("import mlcore"))
    assert not loaded & (FRAMEWORKS | set(OURS[1:]))


@pytest.mark.parametrize("name", sorted(PLUGINS))
def test_a_plugin_module_loads_no_framework_and_no_other_plugin(name):
    module = PLUGINS[name]
    loaded = roots(loaded_by(f"import {module}"))
    assert module.partition(".")[0] in loaded
    assert not loaded & (FRAMEWORKS | set(OURS) - {"mlcore", module.partition(".")[0]})


@pytest.mark.parametrize("name", sorted(PLUGINS))
def test_a_plugin_module_alone_loads_nothing_heavy(name):
    loaded = roots(loaded_by(f"import {PLUGINS[name]}"))
    assert not loaded & {"fsspec", "numpy", "pydantic", "ruamel"}


@pytest.mark.parametrize("package", OURS)
def test_no_module_of_a_package_loads_another_plugin(package):
    modules = [info.name for info in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")]
    loaded = roots(loaded_by(f"import importlib; [importlib.import_module(name) for name in {modules}]"))
    assert not loaded & (set(OURS) - {"mlcore", package})


@pytest.mark.parametrize("package", OURS)
def test_what_is_exported_exists(package):
    module = importlib.import_module(package)
    for info in [package, *(info.name for info in pkgutil.iter_modules(module.__path__, f"{package}."))]:
        part = importlib.import_module(info)
        for name in getattr(part, "__all__", ()):
            assert getattr(part, name, None) is not None, f"{info}.__all__ names {name}"
