"""The Model protocol, and the one door through which every object becomes a Model.

A model maps a batch of named arrays to a batch of named arrays. Frameworks are known only to backends, which plugins
register. What a model is stored as is a bundle (see `mlcore.bundle`) of kind `model`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from mlcore.bundle import Bundle, Manifest
from mlcore.errors import ModelError
from mlcore.plugins import PluginHost, current_host
from mlcore.store import Folder

# A value is whatever array type the model's framework uses: numpy, torch, a list of strings.
Batch: TypeAlias = Mapping[str, Any]
# Class names to the values that stand for them in targets.
Labels: TypeAlias = Mapping[str, int | str]


@runtime_checkable
class Model(Protocol):
    """What all layers need of a model.

    A model may also have `labels`, a mapping of class names to the values that stand for them in the targets.
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


class Backend(Protocol):
    """Knows one kind of model object. Registered by `mlcore_register_backends`; see `mlcore.hookspecs`.

    For the same state a backend writes the same bytes, in any process.
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

    def load(self, directory: Path, manifest: Manifest) -> Model:
        """Restore what `Model.save` wrote. The files were verified; `manifest.meta` holds names and labels."""

    def rng_state(self) -> Mapping[str, Any] | None:
        """The state of the framework's global generators as JSON values and arrays; None where there are none."""

    def set_rng_state(self, state: Mapping[str, Any]) -> None:
        """Put back what `rng_state` returned."""


def as_model(
    obj: object,
    *,
    input_names: Sequence[str] | None = None,
    target_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    labels: Labels | Sequence[int | str] | None = None,
    host: PluginHost | None = None,
    **options: Any,  # handed to the backend
) -> Model:
    """Make a Model of any object that an installed backend recognises.

    Args:
        obj: For example a scikit-learn estimator, a torch module, or a Model.
        input_names: Names of the batch's arrays that the model reads.
        target_names: Names of the arrays that it learns from.
        output_names: Names of what it computes; the backend says which it knows.
        labels: Class names to target values, or the target values alone.
        host: The plugins to ask; those of the current process by default.
        options: What the backend understands besides.

    Raises:
        ModelError: No backend recognises the object; the message says what to install.
    """
    return backend_of(obj, host).wrap(
        obj,
        input_names=input_names,
        target_names=target_names,
        output_names=output_names,
        labels=label_map(labels),
        **options,
    )


def label_map(labels: Labels | Sequence[int | str] | None) -> Labels | None:
    """Labels as a mapping of names to values; a plain sequence names each value by itself."""
    if labels is None or isinstance(labels, Mapping):
        return labels
    return {str(value): value for value in labels}
