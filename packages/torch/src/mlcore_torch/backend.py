"""The backend for torch: which objects are modules, and how they come back from disk."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcore.errors import ModelError, nearest
from mlcore.model import Labels, label_map

if TYPE_CHECKING:
    from mlcore.bundle import Manifest
    from mlcore_torch.model import TorchModel

OPTIONS = ("loss", "optimizer", "device", "arguments")
NAMES = ("input_names", "target_names", "output_names", "labels")


class TorchBackend:
    """Modules of torch, and of anyone who derives from its classes.

    Example:
        >>> import torch
        >>> TorchBackend().wrap(torch.nn.Linear(2, 1), loss="mse").output_names
        ('prediction', 'loss')
    """

    name = "torch"
    packages = ("mlcore-torch", "torch", "safetensors", "numpy")

    def recognises(self, obj: object) -> bool:
        """Whether the object is a module or the Model of one; imports nothing."""
        nn = getattr(sys.modules.get("torch"), "nn", None)
        if type(obj).__module__ == "mlcore_torch.model" and type(obj).__name__ == "TorchModel":
            return True
        return nn is not None and isinstance(obj, nn.Module)

    def wrap(
        self,
        obj: Any,  # a module, or the Model of one
        *,
        input_names: Sequence[str] | None = None,
        target_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
        labels: Labels | Sequence[int | str] | None = None,
        arguments: Mapping[str, Any] | None = None,  # JSON values
        **options: Any,  # loss, optimizer and device
    ) -> TorchModel:
        """Make a Model of a module, which is trained in place.

        Args:
            obj: A module, or a Model of one, which is returned as it is.
            input_names: Sources that it reads; `x` by default.
            target_names: Sources that it learns from; `y` by default, none without a loss.
            output_names: What is computed; see `TorchModel`.
            labels: Class names to target values, which count from 0, or the values alone.
            arguments: What the module's class was called with, so that it can be made again when it is loaded.
            options: `loss`, `optimizer` and `device`; see `TorchModel`.

        Raises:
            ModelError: The object is no module, or something does not fit it.
        """
        from mlcore_torch.model import TorchModel
        from mlcore_torch.rebuilding import origin_of

        for name in options:
            if name not in OPTIONS:
                raise ModelError(f"the torch backend has no option {name!r}", hint=nearest(name, (*OPTIONS, *NAMES)))
        names: dict[str, Any] = {  # values of several types
            "input_names": input_names,
            "target_names": target_names,
            "output_names": output_names,
            "labels": label_map(labels),
        }
        if isinstance(obj, TorchModel):
            return _unchanged(obj, names, options)
        if isinstance(obj, type):
            what = f"{obj.__qualname__} is a class, not an object"
            raise ModelError(what, hint=f"pass an instance: {obj.__name__}(…)")
        if not self.recognises(obj):
            raise ModelError(f"{type(obj).__qualname__} is no torch module")
        model = TorchModel(obj, **names, **options)
        model.origin = origin_of(obj, arguments)
        return model

    def check_options(self, options: Mapping[str, Any]) -> None:  # as in a config
        """Refuse a loss, an optimizer or a device that does not exist, or arguments that they do not take."""
        from mlcore_torch.losses import Loss
        from mlcore_torch.optimizers import named_optimizer
        from mlcore_torch.tensors import find_device

        device = find_device(str(options.get("device", "cpu")))
        if options.get("loss") is not None:
            Loss(options["loss"], device)
        if options.get("optimizer") is not None:
            named_optimizer(options["optimizer"])

    def load(
        self,
        directory: Path,
        manifest: Manifest,
        *,
        trusted: Collection[str] = (),
        into: Any = None,  # a module
    ) -> TorchModel:
        """Make the module again by its class or function, and give it the saved state.

        Args:
            directory: The folder that `TorchModel.save` wrote.
            manifest: Its manifest, which holds names, labels, and how the module was made.
            trusted: Paths of losses and optimizers that are not torch's own and may be used.
            into: A module that is like the saved one, to use instead of making it again.

        Raises:
            ModelError: The module cannot be made again, or its files are damaged.
        """
        from mlcore_torch.rebuilding import load

        return load(directory, manifest, trusted, into)

    def seed(self, value: int) -> None:
        """Seed torch's global generators."""
        import torch

        torch.manual_seed(value)

    def rng_state(self) -> Mapping[str, Any]:  # arrays
        """The states of torch's global generators: the CPU's, and each CUDA device's that is in use."""
        import torch

        in_use = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        cuda = torch.cuda.get_rng_state_all() if in_use else []
        return {"cpu": torch.get_rng_state().numpy(), "cuda": [state.numpy() for state in cuda]}

    def set_rng_state(self, state: Mapping[str, Any]) -> None:  # arrays
        """Put back what `rng_state` returned; devices that are not here are left out."""
        import torch

        torch.set_rng_state(torch.tensor(state["cpu"]))
        if torch.cuda.is_available():
            for index, kept in enumerate(state["cuda"][: torch.cuda.device_count()]):
                torch.cuda.set_rng_state(torch.tensor(kept), index)


def _unchanged(model: TorchModel, names: Mapping[str, Any], options: Mapping[str, Any]) -> TorchModel:
    """The model itself; giving it other names or options than it has is an error rather than ignored."""
    different = list(options)
    for name, value in names.items():
        own = getattr(model, name)
        if value is not None and (own is None or list(own) != list(value)):
            different.append(name)
    if different:
        hint = "wrap the module itself: as_model(model.module, …)"
        raise ModelError(f"this module is a Model already: {different[0]} cannot be set any more", hint=hint)
    return model
