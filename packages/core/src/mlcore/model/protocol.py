"""What a model and a backend are. Nobody checks for these by isinstance: everything enters through `as_model`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from mlcore.bundle import Manifest

# A value is whatever array type the model's framework uses: numpy, torch, a list of strings.
Batch: TypeAlias = Mapping[str, Any]
# Class names to the values that stand for them in targets.
Labels: TypeAlias = Mapping[str, int | str]


@runtime_checkable
class Model(Protocol):
    """What all layers need of a model.

    A model may also have `labels`, a mapping of class names to the values that stand for them in the targets;
    `origin`, an Origin or None, where its backend needs that to make it again; `restore(directory)`, which takes back
    in place what `save` wrote; and `signature`, None in its class, for what its batches look like (`mlcore.signature`).
    """

    @property
    def input_names(self) -> Sequence[str]:
        """Names that every batch must hold."""

    @property
    def target_names(self) -> Sequence[str]:
        """Names that a batch must hold to train on it; without them `run(train=False)` gives predictions only."""

    @property
    def output_names(self) -> Sequence[str]:
        """Names that `run` can compute."""

    def run(self, batch: Batch, *, train: bool) -> Batch:
        """Compute the outputs of a batch, and learn from it when `train` is true.

        Args:
            batch: Arrays by name; their first axis counts the examples.
            train: Whether to update the model.

        Returns:
            Outputs by name; none of the names is an input's.
        """

    def save(self, directory: Path, *, training: bool = False) -> None:
        """Write the model into an existing, empty folder.

        Args:
            directory: The folder.
            training: Also write what only further training needs: optimizer and generator states.
        """


@dataclass(frozen=True)
class Origin:
    """How the object behind a model was made.

    Args:
        path: Of its class, or of the function that returned it.
        arguments: What that was called with; JSON values, `${env:NAME}` standing for what was not to be stored.
    """

    path: str
    arguments: Mapping[str, Any]


class Backend(Protocol):
    """Knows one kind of model object. Registered by `mlcore_register_backends`; see `mlcore.hookspecs`.

    For the same state a backend writes the same bytes, in any process. It may also have `seed(value)`, which seeds the
    framework's global generators and is called by a run with a seed, and `check_options(options)`, which refuses wrong
    values of the options it was registered with (a ModelError) before there is an object; and its `load` may take
    `into`, an object to load into instead of making one.
    """

    name: str

    def recognises(self, obj: object) -> bool:
        """Whether the object (an instance, or a Model that `wrap` returned) is of this kind; imports no framework."""

    def wrap(
        self,
        obj: Any,  # of the framework's own kind
        *,
        input_names: Sequence[str] | None,
        target_names: Sequence[str] | None,
        output_names: Sequence[str] | None,
        labels: Labels | None,
        **options: Any,  # what this kind of model understands besides
    ) -> Model:
        """Make a Model of it. A Model that `wrap` returned is returned as it is."""

    def load(self, directory: Path, manifest: Manifest, *, trusted: Collection[str] = ()) -> Model:
        """Restore what `Model.save` wrote. The files were verified.

        Args:
            directory: The files.
            manifest: Its `meta` holds names and labels.
            trusted: Full names of types that the user allows in these files, besides those that a backend always
                trusts; ignored by backends whose files cannot name any.
        """

    def rng_state(self) -> Mapping[str, Any] | None:
        """The state of the framework's global generators as JSON values and arrays; None where there are none."""

    def set_rng_state(self, state: Mapping[str, Any]) -> None:
        """Put back what `rng_state` returned."""
