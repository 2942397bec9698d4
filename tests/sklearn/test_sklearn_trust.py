"""A file can name anything; only what is trusted by its exact name is loaded."""

from __future__ import annotations

import json
import zipfile
from importlib import import_module

import numpy as np
import pytest
import skops
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import SGDClassifier
from skops.io._protocol import PROTOCOL

from mlcore.bundle import Bundle
from mlcore.errors import ModelError
from mlcore.model import restore_model, save_model
from mlcore.store import as_folder
from mlcore_sklearn import SklearnBackend, trust
from mlcore_sklearn.model import FILE


def text(value):
    return {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": json.dumps(value)}


def container(kind, loader, content, **more):
    return {"__class__": kind, "__module__": "builtins", "__loader__": loader, "content": content, **more}


def crafted(path, node, protocol=PROTOCOL):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", json.dumps(node | {"protocol": protocol, "_skops_version": skops.__version__}))
    return path


def node(loader, module, name, argument):
    """A node that makes skops take, make or call `module.name`."""
    arguments = container("tuple", "TupleNode", [text(argument)])
    empty = container("dict", "DictNode", {}, key_types=container("list", "ListNode", []))
    function = {"__class__": name, "__module__": module, "__loader__": "FunctionNode"}
    made = {"__class__": name, "__module__": module, "__loader__": loader}
    if loader == "ConstructorFromReduceNode":
        return made | {"content": arguments}
    if loader == "ObjectNode":
        return made | {"content": empty}
    if loader in {"LossNode", "TreeNode"}:
        return made | {"content": empty, "__reduce__": {"args": arguments}}
    if loader == "PartialNode":
        content = {"func": function, "args": arguments, "kwds": empty, "namespace": text(None)}
        return {"__class__": "partial", "__module__": "functools", "__loader__": loader, "content": content}
    return made


CALLS = [
    ("numpy", "load"),
    ("numpy", "fromfile"),
    ("numpy.ctypeslib", "load_library"),
    ("os", "system"),
    ("posix", "system"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "__import__"),
    ("builtins", "getattr"),
    ("subprocess", "Popen"),
    ("pickle", "loads"),
    ("joblib", "load"),
    ("sklearn.utils._joblib", "load"),
    ("sklearn.datasets", "fetch_openml"),
    ("sklearn.utils", "all_estimators"),
    ("skops.io", "load"),
    ("my_code", "Estimator"),
]
LOADERS = ["FunctionNode", "TypeNode", "ObjectNode", "ConstructorFromReduceNode", "LossNode", "PartialNode"]


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(("module", "name"), CALLS)
def test_what_is_not_trusted_is_refused(module, name, loader, tmp_path):
    mark = tmp_path / "executed"
    path = crafted(tmp_path / "evil.skops", node(loader, module, name, f"touch {mark}"))
    with pytest.raises(ModelError, match="which mlcore does not trust; nothing was loaded") as told:
        trust.load(path)
    assert f"{module}.{name}" in told.value.what
    assert f"{module}.{name}" in (told.value.hint or "")
    assert not mark.exists()


def test_an_untrusted_part_of_a_trusted_whole_is_refused(tmp_path):
    evil = node("ConstructorFromReduceNode", "os", "system", f"touch {tmp_path / 'executed'}")
    state = container("dict", "DictNode", {"alpha": evil}, key_types=container("list", "ListNode", []))
    whole = {"__class__": "SGDClassifier", "__module__": SGDClassifier.__module__, "__loader__": "ObjectNode"}
    path = crafted(tmp_path / "evil.skops", whole | {"content": state})
    with pytest.raises(ModelError, match=r"the file uses os\.system, which mlcore does not trust"):
        trust.load(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("protocol", [0, 1])
def test_an_old_protocol_opens_no_back_door(protocol, tmp_path):
    old = node("FunctionNode", "numpy", "log1p", "") | {"content": {"module_path": "os", "function": "system"}}
    path = crafted(tmp_path / "evil.skops", old | {"__class__": "load"}, protocol)
    with pytest.raises(ModelError):
        trust.load(path)


def test_every_helper_is_one_exact_name():
    for name in trust.HELPERS:
        assert all(part.isidentifier() for part in name.split("."))
        assert name.partition(".")[0] in {"numpy", "scipy", "sklearn"} or name == "builtins.frozenset"
    assert {name.rpartition(".")[2] for name in trust.HELPERS}.isdisjoint(
        {"load", "loads", "system", "eval", "exec", "open", "fromfile", "memmap", "getattr", "partial", "Popen"}
    )


def test_no_helper_is_a_module():
    for name in sorted(trust.HELPERS):
        with pytest.raises(ModuleNotFoundError):
            import_module(name)


def test_estimators_are_trusted_by_full_name():
    assert f"{SGDClassifier.__module__}.SGDClassifier" in trust.estimators()
    assert all(name.startswith("sklearn.") for name in trust.estimators())


class Home(BaseEstimator, ClassifierMixin):
    """A user's class."""

    def partial_fit(self, table, target, classes=None):
        self.classes_ = np.unique(target)
        return self

    def predict(self, table):
        return np.full(len(table), self.classes_[0])


def test_a_users_class_is_loaded_only_when_named(tmp_path):
    model = SklearnBackend().wrap(Home(), labels=[0, 1])
    model.run({"x": [[0.0], [1.0]], "y": [1, 1]}, train=True)
    name = f"{__name__}.Home"
    manifest = save_model(model, tmp_path)
    with pytest.raises(ModelError, match=f"the file uses {name}, which mlcore does not trust") as told:
        restore_model(Bundle(as_folder(tmp_path)))
    assert f"trusted=['{name}']" in (told.value.hint or "")
    restored = SklearnBackend().load(tmp_path, manifest, trusted=[name])
    assert restored.run({"x": [[5.0]]}, train=False)["prediction"].tolist() == [1]


def test_trusting_one_name_trusts_no_other(tmp_path):
    path = crafted(tmp_path / "evil.skops", node("FunctionNode", "os", "system", ""))
    with pytest.raises(ModelError, match=r"os\.system"):
        trust.load(path, trusted=["os", "os.*", "os.system.call"])


def test_a_trusted_name_that_is_gone_is_told(tmp_path):
    path = crafted(tmp_path / "old.skops", node("ObjectNode", "sklearn.linear_model._old", "Old", ""))
    with pytest.raises(ModelError, match="cannot be restored with what is installed: No module named"):
        trust.load(path, trusted=["sklearn.linear_model._old.Old"])


@pytest.mark.parametrize(
    "content",
    [b"", b"no zip", b"PK\x05\x06" + bytes(18)],
    ids=["empty", "text", "empty-zip"],
)
def test_what_is_no_skops_file_is_told(content, tmp_path):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ModelError, match="this is no readable skops file"):
        trust.load(tmp_path / FILE)


def test_a_file_that_swells_when_read_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / FILE, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", "{}")
        archive.writestr("array.npy", bytes(1_000_000))
    with pytest.raises(ModelError, match="this is no readable skops file: its members have 1000002 bytes"):
        trust.load(tmp_path / FILE)


@pytest.mark.parametrize("schema", [[], {}, {"protocol": 2}, {"protocol": True}, {"protocol": 99}, {"__loader__": "X"}])
def test_a_malformed_schema_is_told(schema, tmp_path):
    with zipfile.ZipFile(tmp_path / FILE, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    with pytest.raises(ModelError, match="this is no readable skops file"):
        trust.load(tmp_path / FILE)
