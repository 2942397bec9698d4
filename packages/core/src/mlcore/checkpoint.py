"""Checkpoints: everything that a run needs to go on, as one bundle a step.

    checkpoints/<step>/manifest.json   written last: without it the checkpoint is not there
                       state.json      JSON values; arrays are referred to by name
                       arrays.npz      the arrays
                       <model>/…       each model with its training state, a bundle of its own

State is JSON and arrays, never pickle. This module knows no run; `mlcore.runs` decides what goes in.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from mlcore.bundle import MANIFEST, Bundle, Manifest
from mlcore.errors import CorruptError, MlcoreError
from mlcore.model import Model, restore_model, save_model
from mlcore.plugins import PluginHost
from mlcore.store import Folder, safe_name, temporary_folder

# JSON values, tuples, bytes, numpy scalars and arrays, nested in dicts and lists.
State: TypeAlias = Any

_STATE, _ARRAYS = "state.json", "arrays.npz"
_RESERVED = (_STATE, _ARRAYS, MANIFEST)
_ADVICE = "state is JSON values and arrays: turn it into these, or leave it out"
# From here on integers are written in hexadecimal: Python refuses to make very long decimals.
_LARGE = 1 << 1024
# What NumPy's `dtype.isbuiltin` says of dtypes that others registered.
_FOREIGN = 2


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint that was read back and verified.

    Args:
        step: The step it was made at, which names its folder.
        state: What was given to `Checkpoints.save`.
        bundle: Where it is.
        manifest: Its files; `manifest.meta` has `best`.
    """

    step: int
    state: State
    bundle: Bundle
    manifest: Manifest

    def model(
        self,
        name: str,
        trusted: Collection[str] = (),
        *,
        into: object | None = None,
        host: PluginHost | None = None,
    ) -> Model:
        """Restore one of the models with its training state; `trusted` and `into` as in `mlcore.restore_model`."""
        return restore_model(Bundle(self.bundle.folder / name), trusted=trusted, into=into, host=host)


class Checkpoints:
    """The checkpoints of one run, in a folder."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def save(
        self,
        step: int,
        state: State,
        models: Mapping[str, object] | None = None,
        *,
        best: bool = False,
        before_commit: Callable[[], None] | None = None,
        host: PluginHost | None = None,
    ) -> Bundle:
        """Write the checkpoint of a step, then drop what no longer has to be kept.

        Args:
            step: Rising within a run.
            state: JSON values and arrays.
            models: Models by name.
            best: Keep this one until a better one comes.
            before_commit: Called when all but the manifest is written; raising leaves no checkpoint.
            host: The plugins to ask for the models' backends.

        Raises:
            MlcoreError: The state holds something that is neither JSON nor an array; the message names the variable.
                Or the step is no whole number, or a model has the name of a file of the checkpoint.
        """
        _check(step, models or {})
        bundle = Bundle(self.folder / str(step))
        with temporary_folder() as directory:
            write_state(state, directory)
            for name, model in (models or {}).items():
                save_model(model, directory / name, training=True, host=host)
            bundle.write(directory, kind="checkpoint", meta={"step": step, "best": best}, before_commit=before_commit)
        self.prune()
        return bundle

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest complete checkpoint, and a line for each newer one that had to be passed over."""
        passed: list[str] = []
        for step in reversed(self.steps()):
            bundle = Bundle(self.folder / str(step))
            try:
                manifest = bundle.verify()
                return Checkpoint(step, read_state(bundle.folder), bundle, manifest), passed
            except CorruptError as error:
                passed.append(f"checkpoint {step} was passed over: {error.what}")
        return None, passed

    def steps(self) -> list[int]:
        """Steps of all checkpoints, complete or not, rising."""
        return sorted(int(entry.key) for entry in self.folder.list() if entry.is_folder and entry.key.isdecimal())

    def manifests(self) -> dict[int, Manifest]:
        """The manifests of the complete ones by step, unverified."""
        found = {step: _manifest(Bundle(self.folder / str(step))) for step in self.steps()}
        return {step: manifest for step, manifest in found.items() if manifest}

    def prune(self) -> None:
        """Keep the last two complete ones and the newest best; older ones go, torn ones with them."""
        complete = self.manifests()
        best = [step for step, manifest in complete.items() if manifest.meta.get("best")]
        keep = {*list(complete)[-2:], *best[-1:]}
        for step in self.steps():
            if step not in keep and step < max(keep, default=0):
                self.folder.remove_tree(str(step))


def _check(step: int, models: Mapping[str, object]) -> None:
    """Refuse what could not be found again."""
    if type(step) is not int or step < 0:
        raise MlcoreError(f"{step!r} is not the step of a checkpoint", hint="steps are whole numbers, 0 or above")
    for name in models:
        if safe_name(name) in _RESERVED:
            raise MlcoreError(f"a model of a checkpoint cannot be called {name!r}", hint="that is a file of its own")


def _manifest(bundle: Bundle) -> Manifest | None:
    try:
        return bundle.manifest()
    except CorruptError:
        return None


def write_state(state: State, directory: Path) -> None:
    """Write `state.json` and `arrays.npz`."""
    import numpy as np

    arrays: dict[str, Any] = {}
    try:
        tree = _encode(state, "state", arrays)
    except RecursionError:
        raise MlcoreError("the state of a checkpoint holds itself, or is nested too deeply", hint=_ADVICE) from None
    (directory / _STATE).write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
    with (directory / _ARRAYS).open("wb") as file:
        np.savez(file, **arrays)


def read_state(folder: Folder) -> State:
    """Read what `write_state` wrote."""
    import numpy as np

    with folder.open(_ARRAYS) as file, np.load(file, allow_pickle=False) as arrays:
        return _decode(json.loads(folder.read_bytes(_STATE)), arrays)


def _encode(value: State, path: str, arrays: dict[str, Any]) -> Any:  # a JSON value
    import numpy as np

    if type(value) in _ENCODERS:
        return _ENCODERS[type(value)](value)
    if isinstance(value, np.ndarray | np.generic):
        return _keep_array(value, path, arrays)
    if isinstance(value, Mapping):
        return _encode_mapping(value, path, arrays)
    if isinstance(value, list | tuple):
        items = [_encode(item, f"{path}[{index}]", arrays) for index, item in enumerate(value)]
        return {"$tuple": items} if isinstance(value, tuple) else items
    raise MlcoreError(f"{path} is a {type(value).__qualname__}, which a checkpoint cannot hold", hint=_ADVICE)


def _encode_mapping(value: Mapping[Any, State], path: str, arrays: dict[str, Any]) -> Any:  # keys as they come
    plain = all(type(key) is str and not key.startswith("$") for key in value)
    if plain:
        return {key: _encode(item, f"{path}.{key}", arrays) for key, item in value.items()}
    pairs = [
        [_encode(key, f"{path} key", arrays), _encode(item, f"{path}[{key!r}]", arrays)] for key, item in value.items()
    ]
    return {"$items": pairs}


def _keep_array(value: Any, path: str, arrays: dict[str, Any]) -> dict[str, str]:  # a numpy array or scalar
    import numpy as np

    if isinstance(value, np.ndarray) and not isinstance(value, np.memmap) and type(value) is not np.ndarray:
        raise MlcoreError(f"{path} is a {type(value).__qualname__}, which a checkpoint cannot hold", hint=_ADVICE)
    if value.dtype.hasobject or value.dtype.isbuiltin == _FOREIGN:
        what = f"{path} is an array of {value.dtype}, which cannot be stored without pickle"
        raise MlcoreError(what, hint="use a dtype of NumPy's own: a number, a text of fixed length, a structure")
    name = f"a{len(arrays)}"
    arrays[name] = value
    return {"$array" if isinstance(value, np.ndarray) else "$scalar": name}


def _decode(tree: Any, arrays: Mapping[str, Any]) -> State:  # a JSON value
    if isinstance(tree, list):
        return [_decode(item, arrays) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if len(tree) == 1:
        (mark, inner), *_ = tree.items()
        if mark in _DECODERS:
            return _DECODERS[mark](inner, arrays)
    return {key: _decode(item, arrays) for key, item in tree.items()}


_ENCODERS: dict[type, Callable[[Any], Any]] = {
    type(None): lambda value: value,
    bool: lambda value: value,
    str: lambda value: value,
    int: lambda value: value if abs(value) < _LARGE else {"$int": hex(value)},
    float: lambda value: value if math.isfinite(value) else {"$float": repr(value)},
    bytes: lambda value: {"$bytes": value.hex()},
}
_DECODERS: dict[str, Callable[[Any, Mapping[str, Any]], State]] = {
    "$int": lambda inner, arrays: int(inner, 16),
    "$float": lambda inner, arrays: float(inner),
    "$bytes": lambda inner, arrays: bytes.fromhex(inner),
    "$array": lambda inner, arrays: arrays[inner],
    "$scalar": lambda inner, arrays: arrays[inner][()],
    "$tuple": lambda inner, arrays: tuple(_decode(item, arrays) for item in inner),
    "$items": lambda inner, arrays: {_decode(key, arrays): _decode(item, arrays) for key, item in inner},
}
