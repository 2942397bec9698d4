"""One torch module as a Model: named arrays in, named arrays out, learning by gradient steps."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mlcore.errors import ModelError, nearest
from mlcore.model import Batch, Labels, Origin
from mlcore.signature import Signature
from mlcore_torch.losses import Loss, LossSpec
from mlcore_torch.optimizers import OptimizerSpec, keep_changes, make_optimizer
from mlcore_torch.outputs import (
    KNOWN,
    NEED_TARGET,
    READINGS,
    accuracy,
    by_example,
    check_labels,
    check_outputs,
    default_outputs,
    repeated,
)
from mlcore_torch.storage import (
    FACTS,
    TRAINING,
    WEIGHTS,
    read_json,
    read_tensors,
    set_weights,
    write_json,
    write_tensors,
)
from mlcore_torch.tensors import Array, find_device, floating_dtype, to_array, to_tensor
from mlcore_torch.training_state import read_training, write_training


class TorchModel:
    """A torch module that reads and writes named arrays.

    Inputs are handed to `forward` by its own names for them where it has these, else in their order. What it returns is
    one tensor, whose meaning follows from the loss, or a mapping of names to tensors, which are outputs by these names.

    Example:
        >>> module = torch.nn.Linear(2, 1)
        >>> model = TorchModel(module, loss="mse", optimizer={"name": "SGD", "lr": 0.1})
        >>> sorted(model.run({"x": [[0.0, 1.0]], "y": [1.0]}, train=True))
        ['loss', 'prediction']

    Args:
        module: The module; it is trained in place.
        input_names: Sources that it reads; `x` by default.
        target_names: Sources that it learns from; `y` by default, none without a loss.
        output_names: Of `prediction`, `output`, `probability`, `loss` and `accuracy`, and of what the module returns.
        labels: Class names to target values, which count from 0.
        loss: A name from torch.nn.functional (`cross_entropy`, `mse`), the path of any function of output and target,
            a mapping of either with arguments, or the function itself.
        optimizer: A name from torch.optim, a mapping of name and arguments, or an optimizer of the module's parameters.
        device: `auto`, which is the first CUDA device or else the CPU, or the name of one.
        reading: How outputs are read, when there is no loss to tell: see `outputs.READINGS`.
    """

    signature: Signature | None = None

    def __init__(
        self,
        module: torch.nn.Module,
        *,
        input_names: Sequence[str] | None = None,
        target_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
        labels: Labels | None = None,
        loss: LossSpec | Loss | None = None,
        optimizer: OptimizerSpec | None = None,
        device: str = "auto",
        reading: str | None = None,
    ) -> None:
        self.wanted_device, self.device = str(device), find_device(str(device))
        self.module = module.to(self.device)
        self.loss = loss if loss is None or isinstance(loss, Loss) else Loss(loss, self.device)
        self.optimizer = None if optimizer is None else self._make_optimizer(optimizer)
        self.optimizer_spec = plain({"name": optimizer} if isinstance(optimizer, str) else optimizer)
        self.labels = dict(labels) if labels else None
        self.reading = (self.loss and self.loss.reading) or reading or ("classes" if labels else "values")
        self.origin: Origin | None = None
        self.input_names = ("x",) if input_names is None else tuple(input_names)
        self.target_names = (("y",) if self.loss else ()) if target_names is None else tuple(target_names)
        defaults = default_outputs(self.reading, learns=self.loss is not None, targets=len(self.target_names))
        self.output_names = defaults if output_names is None else tuple(output_names)
        self._check()
        self._dtype = floating_dtype(module)
        self._by_name = _by_name(module, self.input_names)
        self._fit = self.loss.fit if self.loss else None

    @property
    def subject(self) -> torch.nn.Module:
        """The module, whose class the manifest names."""
        return self.module

    # --- running ---

    def run(self, batch: Batch, *, train: bool) -> dict[str, Array]:
        """Compute the outputs of a batch, and take a step against the gradient of its loss when `train` is true.

        Outputs are those of before the step.

        Raises:
            ModelError: The batch lacks a source, or there is no loss or no optimizer to learn with.
        """
        module = self.module
        if module.training is not train:
            module.train(train)
        if train:
            return self._learn(batch)
        with torch.inference_mode():
            inputs = self._tensors(batch, self.input_names)
            output = self._forward(inputs)
            known = all(name in batch for name in self.target_names)
            target = self._target(batch, output) if known else None
            return self._results(output, target, len(inputs[0]))

    def _learn(self, batch: Batch) -> dict[str, Array]:
        optimizer = self.optimizer
        if optimizer is None:
            raise ModelError(f"{self._name} has no optimizer", hint="give one: optimizer={'name': 'Adam', 'lr': 0.001}")
        inputs = self._tensors(batch, self.input_names)
        output = self._forward(inputs)
        target = self._target(batch, output)
        loss = self._total(output, target)
        # What optimizer.zero_grad() does, without its profiler's record: 4 of a small step's 58 microseconds.
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if not self.output_names:
            return {}
        return self._results(_detached(output), target, len(inputs[0]))

    def _tensors(self, batch: Batch, names: Sequence[str]) -> list[torch.Tensor]:
        try:
            return [to_tensor(batch[name], name, self.device, self._dtype) for name in names]
        except KeyError as error:
            name = next(name for name in names if name not in batch)
            raise ModelError(f"the batch has no {name!r}", hint=nearest(name, map(str, batch))) from error

    def _forward(self, inputs: list[torch.Tensor]) -> Any:  # a tensor or a mapping of them
        module = self.module
        output = module(**dict(zip(self.input_names, inputs, strict=True))) if self._by_name else module(*inputs)
        if isinstance(output, torch.Tensor | Mapping):
            return output
        what = f"{self._name} returned a {type(output).__name__}"
        raise ModelError(what, hint="let forward return a tensor, or a mapping of names to tensors")

    def _target(self, batch: Batch, output: Any) -> Any:  # tensors or mappings of them
        """The target, or a mapping of them where there are several or none."""
        found = self._tensors(batch, self.target_names)
        if len(found) != 1:
            return dict(zip(self.target_names, found, strict=True))
        return self._fit(output, found[0]) if self._fit and isinstance(output, torch.Tensor) else found[0]

    def _total(self, output: Any, target: Any) -> torch.Tensor:  # tensors or mappings of them
        """What training follows: one number."""
        if self.loss is None:
            total = output.get("loss") if isinstance(output, Mapping) else None
            if total is None:
                raise ModelError(f"{self._name} has no loss", hint="give one: loss='cross_entropy'")
        else:
            total = self._judged(self.loss.function, output, target)
        return total if total.ndim == 0 else total.mean()

    def _judged(self, loss: Callable[[Any, Any], torch.Tensor], output: Any, target: Any) -> torch.Tensor:
        """Compute a loss; torch's complaint about a target becomes ours, a user's own function keeps its errors."""
        try:
            judged = loss(output, target)
        except (IndexError, RuntimeError, ValueError) as error:
            if self._fit is None or isinstance(error, torch.OutOfMemoryError):
                raise
            told = str(error).partition("\n")[0]
            what = f"the loss takes no output {_shown(output)} with a target {_shown(target)}: {told}"
            raise ModelError(what, where=self._name, hint="look at the targets, and at the last layer") from error
        if not isinstance(judged, torch.Tensor):
            raise ModelError(f"the loss returned a {type(judged).__name__}", hint="let it return a tensor")
        return judged

    # --- what is given back ---

    def _results(self, output: Any, target: Any, examples: int) -> dict[str, Array]:  # tensors or mappings of them
        names = self.output_names
        if target is None:
            given = output if isinstance(output, Mapping) else ()
            names = tuple(name for name in names if name not in NEED_TARGET or name in given)
        return {name: to_array(self._result(name, output, target, examples)) for name in names}

    def _result(self, name: str, output: Any, target: Any, examples: int) -> torch.Tensor:
        if name == "loss" and self.loss is not None:
            return by_example(self._judged(self.loss.each or self.loss.function, output, target), examples)
        if isinstance(output, Mapping):
            if name not in output:
                raise self._no_output(name, output)
            return repeated(output[name], examples)
        if name == "accuracy":
            return accuracy(READINGS[self.reading], output, target)
        if name == "output":
            found: torch.Tensor = output
            return found
        read = getattr(READINGS[self.reading], name, None)
        if read is None:
            raise self._no_output(name, output)
        value: torch.Tensor = read(output)
        return value

    def _no_output(self, name: str, output: object) -> ModelError:
        given = map(str, output if isinstance(output, Mapping) else KNOWN)
        what = f"{self._name} gives no output {name!r}"
        return ModelError(what, hint=f"{nearest(name, given)}; what is computed is chosen by output_names, `outputs:`")

    # --- keeping ---

    def save(self, directory: Path, *, training: bool = False) -> None:
        """Write the module's state, the same bytes for the same state in any process.

        Args:
            directory: An existing, empty folder.
            training: Also write the optimizer's state. Generators belong to the process: see `TorchBackend.rng_state`.

        Raises:
            ModelError: The module or the optimizer holds what is no tensor.
        """
        tied = write_tensors(self.module.state_dict(), directory / WEIGHTS)
        facts = {"format": 1, "reading": self.reading, "device": self.wanted_device, "tied": tied}
        loss = self.loss and (plain(self.loss.description) or {"name": None})
        write_json({**facts, "loss": loss, "optimizer": self.optimizer_spec}, directory / FACTS)
        if training and self.optimizer is not None:
            write_training(directory, self.module, self.loss, self.optimizer)

    def restore(self, directory: Path) -> None:
        """Take back what `save` wrote: the weights, and the optimizer's state where both have one.

        Raises:
            ModelError: It was another module's, or is damaged.
        """
        facts = read_json(directory / FACTS)
        set_weights(self.module, read_tensors(directory / WEIGHTS), facts.get("tied") or {})
        self._dtype = floating_dtype(self.module)
        if self.optimizer is not None and (directory / TRAINING).exists():
            read_training(directory, self.module, self.loss, self.optimizer)
            keep_changes(self.optimizer, self.optimizer_spec, facts.get("optimizer"))

    # --- construction ---

    def _make_optimizer(self, spec: OptimizerSpec) -> torch.optim.Optimizer:
        parameters = [*self.module.parameters()]
        if self.loss is not None and self.loss.module is not None:
            parameters += self.loss.module.parameters()
        if not parameters:
            raise ModelError(f"{self._name} has no parameters to optimize", hint="leave the optimizer out")
        return make_optimizer(spec, parameters)

    def _check(self) -> None:
        if not self.input_names:
            raise ModelError(f"{self._name} has no inputs", hint="name at least one: input_names=['x']")
        clash = set(self.output_names) & {*self.input_names, *self.target_names}
        if clash:
            raise ModelError(f"{min(clash)!r} names both an output and a source of the batch", hint="rename the source")
        check_outputs(self.output_names, self.reading, targets=len(self.target_names))
        check_labels(self.labels, self.reading)

    @property
    def _name(self) -> str:
        return type(self.module).__name__


def _detached(output: Any) -> Any:  # a tensor or a mapping of them
    if isinstance(output, torch.Tensor):
        return output.detach()
    return {name: value.detach() if isinstance(value, torch.Tensor) else value for name, value in output.items()}


def _shown(value: Any) -> str:  # a tensor or a mapping of them
    if isinstance(value, torch.Tensor):
        return f"of shape {tuple(value.shape)} and type {str(value.dtype).removeprefix('torch.')}"
    return f"with the names {', '.join(value) or 'none'}"


def _by_name(module: torch.nn.Module, names: Sequence[str]) -> bool:
    """Whether forward takes the inputs by their names; otherwise it takes them in their order.

    Raises:
        ModelError: It takes another number of them.
    """
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):  # compiled modules do not tell
        return False
    in_order = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    if set(names) <= {*in_order, *(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)}:
        return list(names) != in_order[: len(names)]
    most = len([p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)])
    least = len([p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)])
    if any(p.kind is p.VAR_POSITIONAL for p in parameters) or least <= len(names) <= most:
        return False
    found = f"{type(module).__name__}.forward takes {', '.join(map(str, parameters)) or 'nothing'}"
    raise ModelError(f"{found}; the inputs are {', '.join(names)}", hint="name one input for each argument of forward")


def plain(value: Any) -> Any:  # JSON, or None
    """The value where it is JSON; None where it is not, as a tensor among the arguments."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return None
    return value
