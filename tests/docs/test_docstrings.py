"""The examples in docstrings are run, and what is promised to have a docstring has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from importlib.util import find_spec

import pytest

import mlcore

PACKAGES = ["mlcore", "mlcore_emloop_compat", "mlcore_sklearn"]
PACKAGES += ["mlcore_torch"] if find_spec("torch") and find_spec("mlcore_torch") else []


def modules(package: str) -> list[str]:
    path = importlib.import_module(package).__path__
    return [package, *(info.name for info in pkgutil.walk_packages(path, f"{package}."))]


@pytest.mark.parametrize(
    "name", [name for package in PACKAGES for name in modules(package) if not name.endswith("__main__")]
)
def test_examples_in_docstrings(name, tmp_path, monkeypatch, empty_memory):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} does not say what it is for"
    assert doctest.testmod(module, extraglobs={"mlcore": mlcore}, optionflags=doctest.ELLIPSIS).failed == 0


def test_every_hook_is_documented():
    hooks = {
        name: function
        for name, function in inspect.getmembers(importlib.import_module("mlcore.hookspecs"), inspect.isfunction)
        if name.startswith("mlcore_")
    }
    assert len(hooks) == 6
    for name, function in hooks.items():
        text = inspect.getdoc(function) or ""
        for word in ("When:", "How often:", "Process:", "Raising:", "Example:"):
            assert word in text, f"{name} does not say {word}"
