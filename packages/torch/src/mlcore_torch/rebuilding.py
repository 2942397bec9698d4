"""Making a module again: by the class or function that it was made by, and the files that were saved."""

from __future__ import annotations

import inspect
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mlcore.config import fill_environment
from mlcore.errors import ModelError
from mlcore.model import Origin, import_object, made_class
from mlcore_torch.losses import Loss
from mlcore_torch.model import TorchModel
from mlcore_torch.storage import FACTS, TRAINING, read_json
from mlcore_torch.tensors import find_device
from mlcore_torch.training_state import remake_optimizer

if TYPE_CHECKING:
    from mlcore.bundle import Manifest

NAMES = ("input_names", "target_names", "output_names", "labels")
HINT = "make the module yourself and load into it: mlcore.load_model(reference, into=module)"


def origin_of(module: torch.nn.Module, arguments: Mapping[str, Any] | None) -> Origin | None:  # JSON values
    """How a module can be made again; None when that is not known.

    Raises:
        ModelError: The arguments cannot be kept.
    """
    if arguments is None and _takes_arguments(type(module)):
        return None
    try:
        kept = json.loads(json.dumps(dict(arguments or {})))
    except (TypeError, ValueError) as error:
        what = f"the arguments of {type(module).__name__} cannot be kept: {error}"
        raise ModelError(what, hint="let it take numbers, texts, lists and mappings") from error
    return Origin(f"{type(module).__module__}:{type(module).__qualname__}", kept)


def _takes_arguments(cls: type[torch.nn.Module]) -> bool:
    constructor = cls.__init__
    return constructor is not torch.nn.Module.__init__ and len(inspect.signature(constructor).parameters) > 1


def load(
    directory: Path, manifest: Manifest, trusted: Collection[str], into: torch.nn.Module | None = None
) -> TorchModel:
    """See `TorchBackend.load`."""
    facts = read_json(directory / FACTS)
    module, device = make_module(manifest) if into is None else into, _device(str(facts.get("device")))
    names = {name: manifest.meta.get(name) for name in NAMES}
    loss = Loss(facts["loss"], find_device(device)) if _may_use(facts.get("loss"), trusted) else None
    if facts.get("loss") and loss is None:  # it was an object, or is somebody's function
        names["output_names"] = [name for name in names["output_names"] or () if name != "loss"]
    optimizer = facts["optimizer"] if _may_use(facts.get("optimizer"), trusted) else None
    if (directory / TRAINING).exists():
        optimizer = remake_optimizer(directory, module, loss, optimizer)
    model = TorchModel(module, **names, loss=loss, optimizer=optimizer, device=device, reading=facts.get("reading"))
    model.restore(directory)
    origin = Origin(**manifest.meta["origin"]) if manifest.meta.get("origin") else None
    model.optimizer_spec, model.origin = facts.get("optimizer"), origin
    return model


def make_module(manifest: Manifest) -> torch.nn.Module:
    """Call what a manifest names, if it makes modules: a class of them, or a function whose annotation says so.

    Raises:
        ModelError: How the module was made is not known, or it cannot be made again.
    """
    origin = manifest.meta.get("origin")
    if not origin:
        what = f"how the module {manifest.meta.get('class')} was made is not recorded, so it cannot be made again"
        raise ModelError(what, hint=f"{HINT}; to record it, give as_model its `arguments`, or use mlcore.build_model")
    path = str(origin.get("path"))
    try:
        maker = import_object(path)
        made = made_class(maker, path)
    except ModelError as error:
        raise ModelError(error.what, hint=f"{error.hint}; or {HINT}") from error
    # A function of torch itself may load whatever its arguments name; nothing there makes a module and is annotated so.
    if not issubclass(made, torch.nn.Module) or (not isinstance(maker, type) and _root(maker) == "torch"):
        raise ModelError(f"{path}, which the manifest names, makes no torch module", hint=HINT)
    try:
        module = maker(**fill_environment(origin.get("arguments") or {}))
    except TypeError as error:
        raise ModelError(f"{path} cannot be called as it was: {error}", hint=HINT) from error
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"{path} returned a {type(module).__name__}, which is no torch module", hint=HINT)
    return module


def _root(maker: Any) -> str:  # a function
    return str(maker.__module__).partition(".")[0]


def _may_use(spec: Mapping[str, Any] | None, trusted: Collection[str]) -> bool:  # a name with arguments
    """Whether a file may name this: torch's own losses and optimizers have plain names, all else is a path."""
    name = (spec or {}).get("name")
    return isinstance(name, str) and (name.isidentifier() or name in trusted)


def _device(wanted: str) -> str:
    """The device that the model was made for, or `auto` where that is not here."""
    try:
        find_device(wanted)
    except ModelError:
        return "auto"
    return wanted
