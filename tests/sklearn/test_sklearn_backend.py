"""The sklearn backend keeps the contract of all backends, and costs nothing until an estimator shows up."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlcore.plugins import PluginHost
from mlcore.testing.plugins import plugin_checks

HOST = PluginHost(allow=("sklearn",), strict=True).load()


@pytest.mark.parametrize("check", plugin_checks(HOST, "sklearn"), ids=str)
def test_conformance(check):
    check()


def test_the_plugin_registers_the_backend():
    from mlcore_sklearn import plugin

    host = PluginHost(allow=["sklearn"])
    host.add("sklearn", plugin)
    assert host.backends["sklearn"].options["frameworks"] == ("sklearn",)
    assert host.backends.resolve("sklearn")().name == "sklearn"


PROGRAM = """
import sys
import mlcore_sklearn, mlcore_sklearn.plugin
assert not {"numpy", "sklearn", "skops", "scipy"} & set(sys.modules), "the plugin is heavy"
from mlcore_sklearn import SklearnBackend
assert not SklearnBackend().recognises({"predict": print})
assert not {"sklearn", "skops", "scipy"} & set(sys.modules), "a foreign object loads the framework"
"""


def test_neither_the_plugin_nor_a_foreign_object_loads_the_framework():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_of_the_package_is_told():
    import mlcore_sklearn

    for name in mlcore_sklearn.__all__:
        assert getattr(mlcore_sklearn, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        mlcore_sklearn.Nothing
