"""What a module learns by: a loss of torch by its name, or any function of output and target."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, TypeAlias

import torch
from torch.nn import functional

from mlcore.errors import ModelError, nearest
from mlcore.model import import_object

# Output and target: each a tensor, or a mapping of names to tensors where there are several.
Function: TypeAlias = Callable[[Any, Any], torch.Tensor]
# A name, a name with arguments, or the function itself.
LossSpec: TypeAlias = str | Mapping[str, Any] | Function

# How the output that a loss is made for is read; the others of torch compare values.
READ_BY = {
    "cross_entropy": "classes",
    "multi_margin_loss": "classes",
    "nll_loss": "log_classes",
    "binary_cross_entropy_with_logits": "logits",
    "multilabel_soft_margin_loss": "logits",
    "binary_cross_entropy": "probabilities",
}
CLASS_NAMES = {
    "CrossEntropyLoss": "cross_entropy",
    "MultiMarginLoss": "multi_margin_loss",
    "NLLLoss": "nll_loss",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
    "MultiLabelSoftMarginLoss": "multilabel_soft_margin_loss",
    "BCELoss": "binary_cross_entropy",
    "MSELoss": "mse_loss",
    "L1Loss": "l1_loss",
    "SmoothL1Loss": "smooth_l1_loss",
    "HuberLoss": "huber_loss",
    "PoissonNLLLoss": "poisson_nll_loss",
}


class Loss:
    """A loss and what follows from it.

    Args:
        spec: What the user gave.
        device: Where its own tensors belong.

    Attributes:
        function: What training follows, just as the user gave it: `function(output, target)`.
        each: The same with a value an example; None when only the whole is known.
        name: Of the loss in torch.nn.functional that it is; None for any other.
        description: JSON that makes it again; None for an object.
        module: Itself, where it has a state.
    """

    def __init__(self, spec: LossSpec, device: torch.device) -> None:
        self.description: dict[str, Any] | None = None  # JSON values
        if isinstance(spec, str | Mapping):
            self.description = {"name": spec} if isinstance(spec, str) else dict(spec)
            spec = _named(self.description, device)
        if isinstance(spec, type) or not callable(spec):
            raise ModelError(
                f"{spec!r} is no loss", hint="give a name like 'cross_entropy', or a function of output and target"
            )
        self.module = spec.to(device) if isinstance(spec, torch.nn.Module) else None
        self.function: Function = spec
        self.each, self.name = _each(spec), _name_of(spec)
        if self.description is None and spec in named_losses().values():
            self.description = {"name": self.name}

    @property
    def reading(self) -> str | None:
        """How the output is read; None when the loss does not tell."""
        return READ_BY.get(self.name, "values") if self.name else None

    @property
    def fit(self) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None:
        """What brings a target into the shape and type that the loss needs; None for a loss that we do not know."""
        if self.name is None or self.name == "multilabel_margin_loss":
            return None
        return fit_classes if self.reading in ("classes", "log_classes") else fit_values


@cache
def named_losses() -> dict[str, Function]:
    """Every loss of torch.nn.functional that takes an output and a target."""
    found = {}
    for name, function in vars(functional).items():
        if name.endswith("_loss") or name in READ_BY or name == "kl_div":
            parameters = _parameters(function)
            required = [p.name for p in parameters.values() if p.default is p.empty]
            if required == ["input", "target"]:
                found[name] = function
    return found


def _named(given: Mapping[str, Any], device: torch.device) -> Function:  # name and arguments
    arguments = {key: _tensors(value, device) for key, value in given.items() if key != "name"}
    name = str(given.get("name"))
    made: Any = import_object(name) if "." in name or ":" in name else _of_torch(name)
    names = [key for key in _parameters(made) if key not in ("input", "target", "reduce", "size_average")]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in _parameters(made).values())
    for key in arguments:
        if key not in names and not takes_any:
            raise ModelError(f"the loss {name} takes no argument {key!r}", hint=nearest(key, names))
    function: Function = made(**arguments) if isinstance(made, type) else _partly(made, arguments)
    return function


def _of_torch(name: str) -> Function:
    losses = named_losses()
    found = losses.get(name) or losses.get(f"{name}_loss")
    if found is None:
        hint = f"{nearest(name, losses)}; or the path of a function of output and target: package.module.function"
        raise ModelError(f"torch has no loss {name!r} of an output and a target", hint=hint)
    return found


def _partly(function: Function, arguments: Mapping[str, Any]) -> Function:  # arguments of the user's
    return partial(function, **arguments) if arguments else function


def _tensors(value: Any, device: torch.device) -> Any:  # a JSON value
    """Weights come as a list in a config, and losses take them as tensors."""
    return torch.tensor(value, dtype=torch.float32, device=device) if isinstance(value, list) else value


def _each(function: Function) -> Function | None:
    """The same loss without its last step, the mean or sum over the examples."""
    if isinstance(function, torch.nn.Module):
        if not isinstance(getattr(function, "reduction", None), str):
            return None
        alike: Any = copy.copy(function)  # shares weights and buffers; torch's types know no reduction
        alike.reduction = "none"
        each: Function = alike
        return each
    return _partly(function, {"reduction": "none"}) if "reduction" in _parameters(function) else None


def _name_of(function: Any) -> str | None:  # a module, a function or a part of one
    if isinstance(function, torch.nn.Module):
        names = [cls.__name__ for cls in type(function).__mro__ if cls.__module__ == "torch.nn.modules.loss"]
        return next((CLASS_NAMES[name] for name in names if name in CLASS_NAMES), None)
    inner = function.func if isinstance(function, partial) else function
    return next((name for name, known in named_losses().items() if known is inner), None)


def _parameters(function: Any) -> Mapping[str, inspect.Parameter]:  # anything callable
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-ins tell nothing
        return {}


def fit_classes(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Make a target of class numbers: 64 bit integers, without a last axis of length 1."""
    if target.ndim == output.ndim and target.shape[1:2] == (1,) and output.shape[1] != 1:
        target = target.squeeze(1)
    return target if target.is_floating_point() else target.long()


def fit_values(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Make a target of values: of the output's type and shape.

    Raises:
        ModelError: Its shape is another; torch would repeat one along the other.
    """
    if target.dtype != output.dtype:
        target = target.to(output.dtype)
    if target.shape == output.shape:
        return target
    if [size for size in target.shape if size != 1] == [size for size in output.shape if size != 1]:
        return target.reshape(output.shape)
    raise ModelError(f"the output has the shape {tuple(output.shape)}, but the target {tuple(target.shape)}")
