"""A module's weights and an optimizer's state as safetensors and JSON: the same bytes for the same state, no pickle.

Files:
    weights.safetensors: The module's state; a tensor that has several names is there once.
    module.json: How to use it: loss, optimizer, device, and the other names of tied tensors.
    training.safetensors: For further training: the tensors of the optimizer's state.
    training.json: The rest of that state; a tensor is referred to by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from mlcore.errors import ModelError, nearest

UNSHAPED = (UninitializedBuffer, UninitializedParameter)  # of lazy modules
Tensors: TypeAlias = dict[str, torch.Tensor]

WEIGHTS, FACTS = "weights.safetensors", "module.json"
TRAINING, TRAINING_TENSORS = "training.json", "training.safetensors"


def write_tensors(tensors: Mapping[str, Any], path: Path) -> dict[str, str]:  # a state: tensors, if all is well
    """Write tensors; one that is there under several names is written once.

    Returns:
        The other names, each with the name that it is written under.

    Raises:
        ModelError: One of them is no tensor, or has no shape yet.
    """
    kept: dict[object, str] = {}
    tied: dict[str, str] = {}
    for name in sorted(tensors):
        first = kept.setdefault(_identity(name, tensors[name]), name)
        if first != name:
            tied[name] = first
    alone = {name: tensors[name].detach().cpu().clone(memory_format=torch.contiguous_format) for name in kept.values()}
    try:
        save_file(alone, path)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelError(f"the tensors cannot be written: {error}", where=path.name) from error
    return tied


def _identity(name: str, tensor: object) -> object:
    if not isinstance(tensor, torch.Tensor):
        what = f"the state {name!r} is a {type(tensor).__qualname__}, and only tensors are kept"
        raise ModelError(what, hint="let get_extra_state return a tensor")
    if isinstance(tensor, UNSHAPED):
        raise ModelError(f"the weight {name!r} has no shape yet", hint="run the module on a batch before it is wrapped")
    if tensor.layout != torch.strided:
        raise ModelError(f"the state {name!r} is a sparse tensor, which cannot be kept", hint="make it dense")
    if tensor.numel() == 0:
        return name
    return tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride()


def read_tensors(path: Path) -> Tensors:
    """Read what `write_tensors` wrote.

    Raises:
        ModelError: The file is missing or no safetensors file.
    """
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, KeyError) as error:
        what = f"this is no readable safetensors file: {error}"
        raise ModelError(what, where=str(path), hint="save the model again; other formats are never read") from error


def write_json(value: object, path: Path) -> None:
    """Write JSON, the same bytes for the same value."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:  # JSON values
    """Read an object of JSON.

    Raises:
        ModelError: The file is missing or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"this is no readable JSON: {error}", where=str(path), hint="save the model again") from error
    if not isinstance(value, dict):
        raise ModelError(f"this holds a {type(value).__name__}, not an object", where=str(path))
    return value


def set_weights(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], tied: Mapping[str, str]) -> None:
    """Put weights into a module, which takes over their types; it keeps its own tensors, so that optimizers do.

    Raises:
        ModelError: They are not this module's; nothing was changed.
    """
    state = {**tensors, **{name: tensors[first] for name, first in tied.items() if first in tensors}}
    own = module.state_dict(keep_vars=True)
    _compare(state, own)
    for name, tensor in state.items():
        if own[name].dtype != tensor.dtype:
            own[name].data = own[name].data.to(tensor.dtype)
    module.load_state_dict(state)


def _compare(state: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> None:
    hint = "restore it into a module that is made as the saved one was"
    for name in sorted(state.keys() - own.keys()):
        raise ModelError(f"the module has no weight {name!r}, which was saved", hint=f"{nearest(name, own)}; {hint}")
    for name in sorted(own.keys() - state.keys()):
        raise ModelError(f"no weight {name!r} was saved, which the module has", hint=hint)
    for name, tensor in state.items():
        if not isinstance(own[name], UNSHAPED) and own[name].shape != tensor.shape:
            shapes = f"{tuple(tensor.shape)}, but in the module {tuple(own[name].shape)}"
            raise ModelError(f"the saved weight {name!r} has the shape {shapes}", hint=hint)


def encode(value: Any, path: str, tensors: Tensors) -> Any:  # a state, to a JSON value
    """Take the tensors out of a state and leave JSON, with the tensors' names in their places.

    Raises:
        ModelError: It holds something else; the message says where.
    """
    if value is None or isinstance(value, bool | str | int | float):
        return value
    if isinstance(value, torch.Tensor):
        tensors[path] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"$tensor": path}
    if isinstance(value, Mapping):
        items = sorted(value.items(), key=lambda item: (str(type(item[0])), item[0]))
        return {"$items": [[key, encode(item, f"{path}.{key}", tensors)] for key, item in items]}
    if isinstance(value, list | tuple):
        found = [encode(item, f"{path}.{index}", tensors) for index, item in enumerate(value)]
        return found if isinstance(value, list) else {"$tuple": found}
    what = f"{path} is a {type(value).__qualname__}, which cannot be kept"
    raise ModelError(what, hint="a state is tensors, numbers, texts, lists and mappings")


def decode(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:  # a JSON value, to a state
    """Make the state that `encode` took apart.

    Raises:
        ModelError: A tensor that it names is missing.
    """
    if isinstance(value, list):
        return [decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        if value["$tensor"] not in tensors:
            raise ModelError(f"the tensor {value['$tensor']!r} is missing", hint="save the model again")
        return tensors[value["$tensor"]]
    if "$tuple" in value:
        return tuple(decode(item, tensors) for item in value["$tuple"])
    return {key: decode(item, tensors) for key, item in value.get("$items", ())}
