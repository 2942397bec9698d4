"""Whatever stands in a file of a store, reading it runs nothing: only errors of mlcore come out."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

import mlcore
from mlcore.config import Config
from mlcore.errors import MlcoreError
from mlcore.runs import find_run, list_runs, plan_job, resume_job
from mlcore.runs.collect import collect
from mlcore.store import Store

WRITTEN = Path(__file__).parents[1] / "data" / "store-format-1"
EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"
FILES = sorted(str(path.relative_to(WRITTEN)) for path in WRITTEN.rglob("*") if path.is_file())

pytestmark = pytest.mark.filterwarnings("ignore:saved with scikit-learn")


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def zipped(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return stream.getvalue()


def object_array(path):
    stream = io.BytesIO()
    np.save(stream, np.array([Trap(path)], dtype=object), allow_pickle=True)
    return stream.getvalue()


def payloads(path):
    facts = {"__class__": "mkdir", "__module__": "os", "__loader__": "FunctionNode", "__id__": 1, "content": str(path)}
    return {
        "pickle": pickle.dumps(Trap(path)),
        "npz": zipped(a0__npy=object_array(path)),
        "npy": object_array(path),
        "skops": zipped(schema__json=json.dumps(facts)),
        "zip": zipped(data__pkl=pickle.dumps(Trap(path)), archive__data=b""),
        "yaml": f"a: !!python/object/apply:os.mkdir ['{path}']\n".encode(),
        "json": b'{"format": 1, "kind": "model", "meta": {"backend": "native", "class": "os:mkdir"}, "files": {}}',
    }


def read_everything(store):
    """All that a person may do with a store; each thing may fail on its own."""
    runs = []
    for look in (
        lambda: runs.extend(list_runs(store.open())),
        lambda: find_run(store, "first").details(),
        lambda: [view.details() for view in runs],
        lambda: mlcore.load_model("model:digits@best", store=store),
        lambda: mlcore.load_model("model:digits@v1", store=store),
        lambda: collect(store, dry_run=True),
        lambda: resume(store),
    ):
        with contextlib.suppress(MlcoreError):
            look()


def resume(store):
    """As far as a resume reads: the checkpoint and its model; training on would only take time."""
    _, run = resume_job(find_run(store, "first"), ["hooks.5.StopAfter.epochs=3"], takeover=True)
    with run:
        restored = run.restore()
        if restored is not None:
            restored.model("model")
            restored.generators()


@pytest.mark.parametrize("kind", sorted(payloads("x")))
def test_nothing_planted_in_a_store_runs(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(EXAMPLE)
    trap = tmp_path / "sprung"
    for number, name in enumerate(FILES):
        place = tmp_path / str(number)
        shutil.copytree(WRITTEN, place)
        (place / name).write_bytes(payloads(trap)[kind])
        read_everything(Store(place))
        assert not trap.exists(), name
        shutil.rmtree(place)


def test_the_traps_are_sharp(tmp_path):
    trap = tmp_path / "sprung"
    for number, data in enumerate((pickle.dumps(Trap(trap)), object_array(trap)), 1):
        pickle.loads(data) if number == 1 else np.load(io.BytesIO(data), allow_pickle=True)
        assert trap.exists()
        trap.rmdir()


@pytest.mark.parametrize("value", ["!!python/object/apply:os.mkdir [TRAP]", "!!python/name:os.mkdir", "!x {a: 1}"])
def test_nothing_planted_in_a_config_runs(value, tmp_path):
    trap = tmp_path / "sprung"
    value = value.replace("TRAP", f"'{trap}'")
    (tmp_path / "c.yaml").write_text(f"a: {value}\n")
    with pytest.raises(MlcoreError, match="tag"):
        plan_job(tmp_path / "c.yaml")
    with pytest.raises(MlcoreError, match="tag"):
        Config.parse("a: 1", overrides=[f"a={value}"])
    assert not trap.exists()
