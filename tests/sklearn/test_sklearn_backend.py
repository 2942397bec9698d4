"""The sklearn backend keeps the contract of all backends, and costs nothing until an estimator shows up."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import SGDRegressor
from sklearn.neural_network import MLPClassifier

from mlcore.plugins import PluginHost
from mlcore.testing.backends import BackendConformance

X = np.random.default_rng(0).normal(size=(12, 2, 3))


def make_classifier():
    return MLPClassifier((8,), random_state=0)


def make_regressor():
    return SGDRegressor(random_state=0, average=True)


class TestClassifier(BackendConformance):
    backend = "mlcore_sklearn.backend:SklearnBackend"
    make_object = f"{__name__}:make_classifier"
    batch = {"x": X, "y": np.arange(12) % 3}
    options = {
        "output_names": ["loss", "prediction", "probability"],
        "labels": {"none": 0, "one": 1, "two": 2},
    }


class TestRegressor(BackendConformance):
    backend = "mlcore_sklearn.backend:SklearnBackend"
    make_object = f"{__name__}:make_regressor"
    batch = {"size": X, "age": np.arange(12.0), "price": np.arange(12) * 0.1}
    options = {"input_names": ["age", "size"], "target_names": ["price"]}


def test_the_plugin_registers_the_backend():
    from mlcore_sklearn import plugin

    host = PluginHost(allow=["sklearn"])
    host.add("sklearn", plugin)
    assert host.backends["sklearn"].options == {"frameworks": ("sklearn",)}
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
