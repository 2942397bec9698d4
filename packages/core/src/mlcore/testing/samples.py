"""What a plugin is checked with: the objects and configs that a registration's `samples` gives.

In the plugin:

    register("mine", "my_package.backend:MyBackend", samples="my_package.samples:backend_samples")

In `my_package/samples.py`, which nothing imports until somebody checks:

    def backend_samples() -> list[BackendSample]:
        batch = {"x": np.zeros((8, 3)), "y": np.arange(8) % 2}
        return [BackendSample("my_package.samples:make_object", batch, {"labels": [0, 1]})]

Then `mlcore plugins --check`, or `mlcore.testing.plugins.plugin_checks` in a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlcore.model import Batch


@dataclass(frozen=True, slots=True)
class BackendSample:
    """An object that the backend wraps, and a batch to train it on; see `mlcore.testing.backends`.

    Attributes:
        make_object: Path of a function (`module:function`) that makes it, without arguments and the same each time.
        batch: Inputs and targets, at least 4 examples.
        options: Names, labels and whatever else `as_model` takes.
    """

    make_object: str
    batch: Batch
    options: Mapping[str, Any] = field(default_factory=dict)  # what the backend's `wrap` takes

    def __str__(self) -> str:
        return self.make_object.partition(":")[2]


@dataclass(frozen=True, slots=True)
class RunnerSample:
    """A config that the runner runs in a second or two; see `mlcore.testing.runners`.

    Attributes:
        config: Its sections, without `runner` and `seed`. What it names must be importable.
        name: Tells the samples of one runner apart.
    """

    config: Mapping[str, Any]  # YAML values
    name: str = "sample"

    def __str__(self) -> str:
        return self.name
