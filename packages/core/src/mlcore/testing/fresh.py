"""A model made, trained and saved in a fresh process: the part of the backend suite that one process cannot show."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlcore.bundle import Bundle
from mlcore.model import Batch, Model, as_model, import_object, restore_model
from mlcore.plugins import PluginHost
from mlcore.store import as_folder

_PROGRAM = "import sys; from mlcore.testing.fresh import main; main(sys.argv[1])"


class Registration:
    """A plugin that registers one backend, as a stranger's does."""

    def __init__(self, name: str, target: str) -> None:
        self.name, self.target = name, target

    def host(self) -> PluginHost:
        """A host with this plugin alone."""
        host = PluginHost(allow=("conformance",))
        host.add("conformance", self._plugin())
        return host

    def _plugin(self) -> object:
        from mlcore.hookspecs import Register, hookimpl

        class Plugin:
            @staticmethod
            @hookimpl
            def mlcore_register_backends(register: Register) -> None:
                register(self.name, self.target)

        return Plugin()


def train(model: Model, batch: Batch) -> None:
    """Take three steps: on the batch, its first half and its second."""
    for part in parts(batch):
        model.run(part, train=True)


def parts(batch: Batch) -> list[Batch]:
    """The batch, its first half and its second."""
    half = len(next(iter(batch.values()))) // 2
    cuts = (slice(None), slice(None, half), slice(half, None))
    return [{name: value[cut] for name, value in batch.items()} for cut in cuts]


def saved(model: Model, directory: Path, *, training: bool) -> dict[str, bytes]:
    """Save a model into a new folder and read its files."""
    directory.mkdir(parents=True)
    model.save(directory, training=training)
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


def in_fresh_process(
    directory: Path, *, backend: tuple[str, str], make_object: str, batch: Batch, options: Mapping[str, Any]
) -> None:
    """Let a fresh process train and save a model (`made`), and save the bundle's model again (`restored`).

    Args:
        directory: Holds the bundle under `bundle`, and receives the two folders.
        backend: Its name and its path.
        make_object: Path of the function that makes the object to wrap.
        batch: What to train on.
        options: What `as_model` takes besides.
    """
    spec: dict[str, Any] = {"backend": backend, "make_object": make_object, "batch": {}, "options": dict(options)}
    for number, (name, value) in enumerate(batch.items()):
        spec["batch"][name] = _write(value, directory / f"{number}.npy")
    (directory / "spec.json").write_text(json.dumps(spec))
    command = [sys.executable, "-c", _PROGRAM, str(directory)]
    roots = [_root(path.partition(":")[0]) for path in (backend[1], make_object)]
    path = os.pathsep.join([*filter(None, [*sys.path, *roots])])
    environment = os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "12345"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"a fresh process fails where this one does not:\n{done.stderr}")


def _root(name: str) -> str:
    """The folder from which a module can be imported; test runners import files from folders that are on no path."""
    module = importlib.import_module(name)
    depth = name.count(".") + hasattr(module, "__path__")
    return str(Path(module.__file__).parents[depth]) if module.__file__ else ""


def main(argument: str) -> None:
    """Do in the fresh process what `in_fresh_process` says."""
    directory = Path(argument)
    spec = json.loads((directory / "spec.json").read_text())
    host = Registration(*spec["backend"]).host()
    batch = {name: _read(value) for name, value in spec["batch"].items()}
    model = as_model(import_object(spec["make_object"])(), host=host, **spec["options"])
    train(model, batch)
    saved(model, directory / "made", training=True)
    restored = restore_model(Bundle(as_folder(directory / "bundle")), host=host)
    saved(restored, directory / "restored", training=True)


def _write(value: Any, path: Path) -> dict[str, Any]:  # an array, or a list of JSON values
    if isinstance(value, np.ndarray) and value.dtype != object:
        np.save(path, value, allow_pickle=False)
        return {"array": str(path)}
    return {"list": list(value)}


def _read(value: dict[str, Any]) -> Any:  # what was given to `_write`
    return np.load(value["array"], allow_pickle=False) if "array" in value else value["list"]
