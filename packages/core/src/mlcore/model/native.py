"""The backend that is always there: objects that are Models already."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlcore.bundle import Manifest
from mlcore.errors import ModelError
from mlcore.model.importing import import_object
from mlcore.model.protocol import Labels, Model


class NativeBackend:
    """Objects that are Models by themselves: the protocol's members, and `load(directory)` on their class."""

    name = "native"

    def recognises(self, obj: object) -> bool:
        """Whether the object has every member of the protocol."""
        return isinstance(obj, Model)

    def wrap(
        self,
        obj: Any,  # has the protocol's members
        *,
        input_names: Sequence[str] | None = None,
        target_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
        labels: Labels | None = None,
        **options: Any,  # none are understood
    ) -> Model:
        """Return the object; it names its inputs and outputs itself."""
        given = dict(input_names=input_names, target_names=target_names, output_names=output_names, **options)
        for name, value in given.items():
            own = getattr(obj, name, None)
            if value is not None and (own is None or list(own) != list(value)):
                raise ModelError(f"{type(obj).__qualname__} is a Model already: {name} cannot be set from outside")
        if labels is not None:
            obj.labels = labels
        model: Model = obj
        return model

    def check_storable(self, model: Model) -> None:
        """Refuse what could be saved but never loaded."""
        kind = type(model)
        if not callable(getattr(kind, "load", None)):
            what = f"{kind.__qualname__} has no `load(directory)` class method, so what it saves could not be loaded"
            raise ModelError(what, hint="add one, or register a backend for it")
        if "<locals>" in kind.__qualname__:
            what = f"{kind.__qualname__} is defined inside a function, where nothing could find it to load it"
            raise ModelError(what, hint="define the class at the top of a module")

    def load(self, directory: Path, manifest: Manifest, *, trusted: Collection[str] = ()) -> Model:
        """Ask the class named in the manifest; its module must be importable."""
        path = str(manifest.meta.get("class"))
        kind = import_object(path)
        if not callable(getattr(kind, "load", None)):
            raise ModelError(f"{path} has no `load(directory)` class method", hint="add one, or register a backend")
        model: Model = kind.load(directory)
        return model

    def rng_state(self) -> None:
        """No framework, no generator."""

    def set_rng_state(self, state: Mapping[str, Any]) -> None:
        """No framework, no generator."""
