"""A backend made of two plain functions over a state of arrays: for tests, examples and the smallest of models."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from mlcore.errors import ModelError
from mlcore.model import Batch, Labels
from mlcore.signature import Signature

if TYPE_CHECKING:
    from mlcore.bundle import Manifest

State: TypeAlias = Mapping[str, np.ndarray[Any, np.dtype[Any]]]  # of any shape and dtype
TrainStep: TypeAlias = Callable[[State, Batch], State]
Predict: TypeAlias = Callable[[State, Batch], Batch]


def function_backend(train_step: TrainStep, predict: Predict, *, name: str = "functions") -> FunctionBackend:
    """Make a backend whose models are dictionaries of arrays.

    Args:
        train_step: Gives the next state for a state and a batch; it leaves the old one alone.
        predict: Gives the outputs for a state and a batch.
        name: The backend's name.

    Example:
        >>> backend = function_backend(
        ...     lambda state, batch: {"seen": state["seen"] + len(batch["x"])},
        ...     lambda state, batch: {"prediction": np.asarray(batch["x"]) * 2},
        ... )
        >>> model = backend.wrap({"seen": np.array(0)})
        >>> model.run({"x": [1, 2]}, train=True)["prediction"].tolist(), int(model.state["seen"])
        ([2, 4], 2)
    """
    return FunctionBackend(train_step, predict, name=name)


class FunctionModel:
    """A state of arrays, and the two functions that know what to do with it."""

    signature: Signature | None = None

    def __init__(
        self,
        backend: FunctionBackend,
        state: State,
        *,
        input_names: Sequence[str] | None = None,
        target_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
        labels: Labels | None = None,
    ) -> None:
        self.backend, self.state = backend, dict(state)
        self.input_names = ("x",) if input_names is None else tuple(input_names)
        self.target_names = ("y",) if target_names is None else tuple(target_names)
        self.output_names = ("prediction",) if output_names is None else tuple(output_names)
        self.labels = dict(labels) if labels else None

    @property
    def subject(self) -> State:
        """The state, whose class the manifest names."""
        return self.state

    def run(self, batch: Batch, *, train: bool) -> Batch:
        """Compute the outputs, after one training step when `train` is true."""
        if train:
            self.state = dict(self.backend.train_step(self.state, batch))
        outputs = self.backend.predict(self.state, batch)
        return {name: outputs[name] for name in self.output_names if name in outputs}

    def save(self, directory: Path, *, training: bool = False) -> None:
        """Write each array as `<name>.npy`; there is nothing besides that training needs."""
        for name, array in self.state.items():
            if not name.isidentifier():
                raise ModelError(f"the state's array {name!r} cannot name a file", hint="use letters, digits and _")
            np.save(directory / f"{name}.npy", array, allow_pickle=False)


class FunctionBackend:
    """The backend that `function_backend` makes; see there."""

    def __init__(self, train_step: TrainStep, predict: Predict, *, name: str = "functions") -> None:
        self.train_step, self.predict, self.name = train_step, predict, name

    def recognises(self, obj: object) -> bool:
        """Whether the object is a state (a dictionary of arrays, not empty) or a Model of one."""
        if isinstance(obj, dict):
            return bool(obj) and all(isinstance(array, np.ndarray) for array in obj.values())
        return isinstance(obj, FunctionModel)

    def wrap(
        self,
        obj: State | FunctionModel,
        *,
        input_names: Sequence[str] | None = None,
        target_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
        labels: Labels | None = None,
    ) -> FunctionModel:
        """Make a Model of a state; a Model is returned as it is."""
        if isinstance(obj, FunctionModel):
            return obj
        names = {"input_names": input_names, "target_names": target_names, "output_names": output_names}
        return FunctionModel(self, obj, **names, labels=labels)

    def load(self, directory: Path, manifest: Manifest, *, trusted: Collection[str] = ()) -> FunctionModel:
        """Read the arrays back; names and labels are the manifest's."""
        state = {path.stem: np.load(path, allow_pickle=False) for path in sorted(Path(directory).glob("*.npy"))}
        meta = manifest.meta
        names = {key: meta[key] for key in ("input_names", "target_names", "output_names", "labels")}
        return FunctionModel(self, state, **names)

    def rng_state(self) -> None:
        """There is no global generator."""

    def set_rng_state(self, state: Mapping[str, Any]) -> None:  # JSON values and arrays
        """There is no global generator."""
