"""What only further training needs: the optimizer's state, and that of a loss that has one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn, optim

from mlcore.errors import ModelError
from mlcore_torch.losses import Loss
from mlcore_torch.optimizers import make_optimizer
from mlcore_torch.storage import (
    TRAINING,
    TRAINING_TENSORS,
    decode,
    encode,
    read_json,
    read_tensors,
    write_json,
    write_tensors,
)


def write_training(directory: Path, module: nn.Module, loss: Loss | None, optimizer: optim.Optimizer) -> None:
    """Write the two files of the training state.

    Raises:
        ModelError: The optimizer holds what cannot be kept.
    """
    tensors: dict[str, torch.Tensor] = {}
    own = {"optimizer": optimizer.state_dict(), "loss": loss.module.state_dict() if loss and loss.module else {}}
    state = {name: encode(value, name, tensors) for name, value in own.items()}
    write_json(
        {"class": type(optimizer).__name__, "groups": _groups(module, loss, optimizer), **state}, directory / TRAINING
    )
    write_tensors(tensors, directory / TRAINING_TENSORS)


def read_training(directory: Path, module: nn.Module, loss: Loss | None, optimizer: optim.Optimizer) -> None:
    """Put the training state back.

    Raises:
        ModelError: It is another optimizer's.
    """
    kept, tensors = read_json(directory / TRAINING), read_tensors(directory / TRAINING_TENSORS)
    saved, own = kept.get("class"), type(optimizer).__name__
    if saved != own or kept.get("groups") != _groups(module, loss, optimizer):
        what = f"the saved training state is of {saved}" + (
            f", not of {own}" if saved != own else " for other parameters"
        )
        raise ModelError(what, where=str(directory), hint="give the model the optimizer that it was trained with")
    try:
        optimizer.load_state_dict(decode(kept["optimizer"], tensors))
        if loss is not None and loss.module is not None:
            loss.module.load_state_dict(decode(kept["loss"], tensors))
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(f"the training state does not fit: {error}", where=str(directory)) from error


def remake_optimizer(
    directory: Path, module: nn.Module, loss: Loss | None, spec: Mapping[str, Any] | None
) -> optim.Optimizer | None:
    """Make the optimizer whose state stands in a folder, by its spec, or else by its class.

    Returns:
        None when only somebody who has its object can: it is no optimizer of torch, or has foreign parameters.
    """
    kept = read_json(directory / TRAINING)
    known = _parameters(module, loss)
    groups = kept.get("groups") or []
    if not spec and not isinstance(getattr(optim, str(kept.get("class")), None), type):
        return None
    if any(name not in known for group in groups for name in group):
        return None
    # The state brings the arguments along; a learning rate is what some versions of torch ask for.
    found = spec or {"name": kept["class"], "lr": 0.001}
    return make_optimizer(found, [{"params": [known[name] for name in group]} for group in groups])


def _groups(module: nn.Module, loss: Loss | None, optimizer: optim.Optimizer) -> list[list[str | None]]:
    """The names of the optimizer's parameters; None for one that is not ours."""
    names = {id(parameter): name for name, parameter in _parameters(module, loss).items()}
    return [[names.get(id(parameter)) for parameter in group["params"]] for group in optimizer.param_groups]


def _parameters(module: nn.Module, loss: Loss | None) -> dict[str, nn.Parameter]:
    of_loss = loss.module.named_parameters(prefix="(loss)") if loss and loss.module else ()
    return {**dict(of_loss), **dict(module.named_parameters())}
