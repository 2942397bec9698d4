"""The backend of models that derive from AbstractModel, so that other layers can use them."""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlcore.bundle import Manifest
from mlcore.config import fill_environment
from mlcore.errors import ModelError, nearest
from mlcore.model import Batch, Labels, Model, import_object
from mlcore.signature import Signature, remember
from mlcore_emloop_compat.models import AbstractModel
from mlcore_emloop_compat.utils.reflection import constructor_parameters

_FACTS = "emloop.json"
_SAVED = "saved"


class EmloopModel:
    """An AbstractModel as a Model of the core.

    Args:
        subject: The model.
        target_names: Those of its inputs that are targets; emloop does not tell them apart.
        labels: Class names to target values.
    """

    def __init__(self, subject: AbstractModel, target_names: Sequence[str] = (), labels: Labels | None = None) -> None:
        self.subject, self.labels = subject, labels
        self.target_names = tuple(target_names)

    @property
    def input_names(self) -> Sequence[str]:
        """Its inputs without the targets."""
        return tuple(name for name in self.subject.input_names if name not in self.target_names)

    @property
    def output_names(self) -> Sequence[str]:
        """Its outputs."""
        return tuple(self.subject.output_names)

    @property
    def signature(self) -> Signature | None:
        """What its batches look like; the model keeps it, as `el_signature`, for whoever wraps it the next time."""
        return Signature.read(getattr(self.subject, "el_signature", None))

    @signature.setter
    def signature(self, signature: Signature | None) -> None:
        self.subject.el_signature = signature.record() if signature else None  # type: ignore[attr-defined]  # an addition

    def run(self, batch: Batch, *, train: bool) -> Batch:
        """Run it without a stream."""
        return self.subject.run(batch, train, None)

    def save(self, directory: Path, *, training: bool = False) -> None:
        """Let the model save itself, and take what it wrote into the folder."""
        path = self.subject.save("mlcore")
        if not path:
            kind = type(self.subject).__qualname__
            raise ModelError(f"{kind}.save returned no path", hint="let it return what it wrote")
        (directory / _SAVED).mkdir()
        for part in _written(Path(path)):
            shutil.move(part, directory / _SAVED / part.name)
        (directory / _FACTS).write_text(self._facts(Path(path).name), encoding="utf-8")

    def _facts(self, name: str) -> str:
        """What is needed to restore it, besides its files."""
        fallback = self.subject.restore_fallback()
        path = fallback and f"{fallback.__module__}:{fallback.__qualname__}"
        facts = {"path": name, "config": getattr(self.subject, "el_config", {}), "fallback": path}
        try:
            return json.dumps(facts, sort_keys=True) + "\n"
        except TypeError as error:
            what = f"an argument of {type(self.subject).__qualname__} cannot be stored: {error}"
            raise ModelError(
                what, hint="let `el_config` hold JSON values: numbers, texts, lists and mappings"
            ) from error


def _written(path: Path) -> Iterable[Path]:
    """What a save wrote: the file or folder itself, or all files that begin with its name, as some frameworks do."""
    siblings = path.parent.iterdir() if path.parent.is_dir() else ()
    found = [path] if path.exists() else sorted(part for part in siblings if part.name.startswith(path.name))
    if not found:
        raise ModelError(f"a model said it was saved to {path}, but there is nothing", hint="return the path from save")
    return found


def looked_at(model: object, step: Callable[[Batch], Any]) -> Callable[[Batch], Any]:  # what the model gives
    """A step of the main loop, which also looks at an AbstractModel's first batches; other models do so themselves."""
    if not isinstance(model, AbstractModel):
        return step
    wrapped, more = EmloopModel(model), True

    def look(batch: Batch) -> Any:  # what the model gives
        nonlocal more
        outputs = step(batch)
        more = more and isinstance(outputs, Mapping) and remember(wrapped, batch, outputs)
        return outputs

    known = wrapped.signature
    return look if known is None or known.incomplete else step


def restore_path(directory: Path) -> str:
    """What to hand to a model's `restore_from`, given the folder that `EmloopModel.save` filled."""
    return str(directory / _SAVED / _read_facts(directory)["path"])


def _read_facts(directory: Path) -> dict[str, Any]:  # JSON values
    facts: dict[str, Any] = json.loads((directory / _FACTS).read_text(encoding="utf-8"))
    return facts


class EmloopBackend:
    """Recognises AbstractModel and what it was wrapped in."""

    name = "emloop"

    def recognises(self, obj: object) -> bool:
        """Whether it is one."""
        return isinstance(obj, AbstractModel | EmloopModel)

    def wrap(
        self,
        obj: Any,  # an AbstractModel or an EmloopModel
        *,
        input_names: Sequence[str] | None = None,
        target_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
        labels: Labels | None = None,
        **options: Any,  # none are understood
    ) -> Model:
        """Wrap it; its names are its own."""
        if options:
            raise ModelError(f"emloop models take no option {next(iter(options))!r}")
        model = obj if isinstance(obj, EmloopModel) else EmloopModel(obj, target_names or (), labels)
        given = {"input_names": input_names, "target_names": target_names, "output_names": output_names}
        for name, names in given.items():
            if names is not None:
                _check_names(model, name, names)
        return model

    def load(self, directory: Path, manifest: Manifest, *, trusted: Collection[str] = ()) -> Model:
        """Restore it by its class, or by that class's `restore_fallback`, without a dataset."""
        facts = _read_facts(directory)
        cls = _find_class(str(manifest.meta["class"]), facts["fallback"])
        _check_config(cls, facts["config"])
        log_dir = tempfile.mkdtemp(prefix="mlcore-")  # the model may be saved again; it knows no other place
        arguments = fill_environment(facts["config"])
        model = cls(dataset=None, log_dir=log_dir, restore_from=restore_path(directory), **arguments)
        model.el_config = facts["config"]
        weakref.finalize(model, shutil.rmtree, log_dir, ignore_errors=True)
        return EmloopModel(model, manifest.meta.get("target_names") or (), manifest.meta.get("labels"))

    def rng_state(self) -> None:
        """Frameworks below an emloop model have backends of their own."""

    def set_rng_state(self, state: Mapping[str, Any]) -> None:
        """Nothing to put back."""


def _check_names(model: EmloopModel, name: str, given: Sequence[str]) -> None:
    kind, own = type(model.subject).__qualname__, list(getattr(model, name))
    everything = list(model.subject.input_names)
    if name == "target_names" and (strange := sorted(set(given) - set(everything))):
        raise ModelError(f"{kind} has no input {strange[0]!r} to be a target", hint=nearest(strange[0], everything))
    if list(given) != own and (name != "input_names" or list(given) != everything):
        raise ModelError(f"{kind} is a model of its own: {name} are {', '.join(own)}, not {', '.join(given)}")


def _find_class(path: str, fallback: str | None) -> Any:  # a class of the user's
    try:
        return import_object(path)
    except ModelError:
        if fallback is None:
            raise
        return import_object(fallback)


def _check_config(cls: type, config: Mapping[str, object]) -> None:
    given = {"dataset", "log_dir", "restore_from", *config}
    if lacking := sorted(constructor_parameters(cls).required - given):
        what = f"{cls.__qualname__} needs the argument {lacking[0]!r} to be restored, which was not stored with it"
        raise ModelError(what, hint="keep the constructor's arguments in `self.el_config`, as a run does")
