"""The Model protocol, and the one door through which every object becomes a Model.

A model maps a batch of named arrays to a batch of named arrays. Frameworks are known only to backends, which plugins
register. What a model is stored as is a bundle (see `mlcore.bundle`) of kind `model`.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from mlcore.bundle import Bundle, Manifest, pack
from mlcore.errors import ModelError, nearest
from mlcore.plugins import Entry, PluginHost, current_host
from mlcore.store import Blobs, Folder, as_folder

# Frameworks whose backend is published as `mlcore-<name>`.
PACKAGED = frozenset({"sklearn", "torch"})

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


def backend_of(obj: object, host: PluginHost | None = None) -> Backend:
    """The backend that knows an object.

    Raises:
        ModelError: None does, or two of equal priority do.
    """
    host = host or current_host()
    if isinstance(obj, type):
        raise ModelError(f"{obj.__qualname__} is a class, not an object", hint=f"pass an instance: {obj.__name__}(…)")
    found: list[tuple[int, str, Backend]] = []
    for entry in host.backends.values():
        if not _may_know(entry, obj):
            continue
        backend: Backend = host.backends.resolve(entry.name)()
        if backend.recognises(obj):
            found.append((entry.options.get("priority", 0), entry.name, backend))
    if not found:
        raise _unrecognised(obj, host)
    best = max(priority for priority, _, _ in found)
    winners = [(name, backend) for priority, name, backend in found if priority == best]
    if len(winners) > 1:
        names = " and ".join(name for name, _ in winners)
        raise ModelError(
            f"the backends {names} both recognise {type(obj).__qualname__}",
            hint="switch one plugin off (--no-plugin), or give one backend a higher priority",
        )
    return winners[0][1]


def _may_know(entry: Entry, obj: object) -> bool:
    """Whether to ask a backend at all: resolving one may import its framework."""
    frameworks = entry.options.get("frameworks")
    if frameworks is None:
        return True
    roots = {cls.__module__.partition(".")[0] for cls in type(obj).__mro__}
    own = entry.target.partition(":")[0].partition(".")[0]
    return not roots.isdisjoint({own, *frameworks})


def _unrecognised(obj: object, host: PluginHost) -> ModelError:
    root = type(obj).__module__.partition(".")[0]
    known = ", ".join(sorted(host.backends)) or "none"
    hint = f"pip install mlcore-{root}" if root in PACKAGED else "see `mlcore plugins`, or register a backend for it"
    return ModelError(
        f"no backend recognises {type(obj).__module__}.{type(obj).__qualname__} (backends: {known})", hint=hint
    )


def save_model(
    model: object,
    folder: Folder | Path | str,
    *,
    training: bool = False,
    host: PluginHost | None = None,
) -> Manifest:
    """Write a model as a bundle.

    Args:
        model: Anything that `as_model` takes.
        folder: Where the bundle goes: a path, a URL or a Folder.
        training: Also write what only further training needs.
        host: The plugins to ask.
    """
    with _saved(model, training=training, host=host) as (directory, meta):
        return Bundle(as_folder(folder)).write(directory, kind="model", meta=meta)


def pack_model(model: object, blobs: Blobs, extra: Mapping[str, Any], host: PluginHost | None = None) -> Manifest:
    """Put a model's files into the blobs, and return the manifest that makes a bundle of them.

    Args:
        model: Anything that `as_model` takes.
        blobs: Of the store.
        extra: Facts (JSON values) to keep in the manifest beside names, labels and versions.
        host: The plugins to ask.
    """
    with _saved(model, training=False, host=host) as (directory, meta):
        return pack(directory, "model", {**meta, **extra}, blobs)


@contextmanager
def _saved(model: object, *, training: bool, host: PluginHost | None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder with the saved model, and what its manifest has to say."""
    backend, wrapped = backend_of(model, host), as_model(model, host=host)
    with tempfile.TemporaryDirectory(prefix="mlcore-") as directory:
        wrapped.save(Path(directory), training=training)
        yield Path(directory), _describe(wrapped, backend)


def _describe(model: Model, backend: Backend) -> dict[str, Any]:
    labels = getattr(model, "labels", None)
    subject = getattr(model, "subject", model)
    return {
        "backend": backend.name,
        "class": f"{type(subject).__module__}:{type(subject).__qualname__}",
        "input_names": list(model.input_names),
        "target_names": list(model.target_names),
        "output_names": list(model.output_names),
        "labels": dict(labels) if labels else None,
        "versions": {name: _version(name) for name in ("mlcore-core", *getattr(backend, "packages", ()))},
    }


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def restore_model(
    bundle: Bundle, *, blobs: Blobs | None = None, trusted: Collection[str] = (), host: PluginHost | None = None
) -> Model:
    """Load a model from its bundle; every file is verified first.

    Args:
        bundle: Where it is.
        blobs: Where the contents are, if the bundle refers to blobs.
        trusted: Full names of types that its files may use, besides those that its backend always trusts.
        host: The plugins to ask for the backend.

    Raises:
        CorruptError: The bundle is incomplete or damaged.
        ModelError: It is no model, or the class that it names cannot be restored.
        PluginError: Its backend is not installed.
    """
    host = host or current_host()
    with tempfile.TemporaryDirectory(prefix="mlcore-") as directory:
        manifest = bundle.fetch(directory, blobs=blobs)
        if manifest.kind != "model":
            raise ModelError(f"this bundle is a {manifest.kind}, not a model", where=bundle.folder.url)
        backend: Backend = host.backends.resolve(str(manifest.meta.get("backend")))()
        return backend.load(Path(directory), manifest, trusted=trusted)


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

    def load(self, directory: Path, manifest: Manifest, *, trusted: Collection[str] = ()) -> Model:
        """Ask the class named in the manifest; its module must be importable."""
        path = str(manifest.meta.get("class"))
        load = getattr(import_object(path), "load", None)
        if load is None:
            raise ModelError(f"{path} has no `load(directory)` class method", hint="add one, or register a backend")
        model: Model = load(directory)
        return model

    def rng_state(self) -> None:
        """No framework, no generator."""

    def set_rng_state(self, state: Mapping[str, Any]) -> None:
        """No framework, no generator."""


def import_object(path: str) -> Any:  # whatever stands under that name
    """Import `module:Name` or `module.Name`.

    Raises:
        ModelError: The module or the name does not exist; an error inside the module is not hidden.
    """
    module_name, _, name = path.partition(":") if ":" in path else path.rpartition(".")
    if not module_name or not name:
        raise ModelError(f"{path!r} is not the path of a class", hint="write package.module.Class")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise ModelError(
                f"there is no module {error.name!r} for {path!r}", hint=_install_hint(error.name)
            ) from error
        raise
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise ModelError(f"module {module_name!r} has no {name!r}", hint=nearest(name, vars(module)))
        found = getattr(found, part)
    return found


def _install_hint(module: str) -> str:
    package = {"sklearn": "scikit-learn", "cv2": "opencv-python", "PIL": "pillow", "yaml": "pyyaml"}.get(module, module)
    return f"check the spelling and the folder you start from, or pip install {package}"
