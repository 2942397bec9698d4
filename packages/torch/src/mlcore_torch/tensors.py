"""From the values of a batch to tensors on the model's device, and back to arrays."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch

from mlcore.errors import ModelError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]  # of any shape and dtype: the user's


def to_tensor(
    value: Any,  # a tensor, an array, or whatever numpy makes an array of
    name: str,
    device: torch.device,
    dtype: torch.dtype | None,
) -> torch.Tensor:
    """Make a tensor of a source; memory is shared where nothing has to change.

    Args:
        value: A tensor keeps its dtype.
        name: Of the source, for messages.
        device: Where it has to be.
        dtype: That of the module's weights: arrays of other floating types are converted to it.

    Raises:
        ModelError: It holds no numbers, or is ragged.
    """
    if isinstance(value, torch.Tensor):
        return value if value.device == device else value.to(device)
    tensor = _shared(_array(value, name), name)
    return tensor.to(device, dtype if dtype and tensor.is_floating_point() else tensor.dtype)


def _array(value: Any, name: str) -> Array:  # whatever numpy makes an array of
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ModelError(f"{name!r} is ragged: its examples differ in shape", hint="pad or crop them") from error
    if array.ndim == 0:
        raise ModelError(f"{name!r} is one value", hint="give an array whose first axis counts the examples")
    if array.dtype.kind not in "biufc":
        raise ModelError(f"{name!r} holds {array.dtype}, torch takes numbers", hint="encode it in the dataset")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _shared(array: Array, name: str) -> torch.Tensor:
    # torch takes neither negative strides nor memory that it must not write to.
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()
    try:
        return torch.from_numpy(array)
    except (TypeError, ValueError) as error:
        what = f"{name!r} holds {array.dtype}, which torch does not take"
        raise ModelError(what, hint="convert it in the dataset, for example to float32") from error


def to_array(tensor: torch.Tensor) -> Array:
    """Make an array of a tensor; it shares the memory of one on the CPU."""
    if tensor.dtype == torch.bfloat16:  # numpy knows no such type; float32 holds each of its values
        tensor = tensor.float()
    array: Array = tensor.numpy(force=True)
    return array


def floating_dtype(module: torch.nn.Module) -> torch.dtype | None:
    """The type of the module's first floating weight; None without any."""
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), None)


def find_device(wanted: str) -> torch.device:
    """The device of that name; `auto` is the first CUDA device, or else the CPU.

    Raises:
        ModelError: There is no such device here.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise ModelError(f"there is no device {wanted!r} here", hint="use auto, cpu, cuda, cuda:1 or mps") from error
    if device.type == "meta":
        raise ModelError("on the device 'meta' nothing is computed", hint="use auto, cpu, cuda, cuda:1 or mps")
    return device
