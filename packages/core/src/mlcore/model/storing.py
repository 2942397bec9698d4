"""A model as a bundle, and back."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from mlcore.bundle import Bundle, Manifest, pack
from mlcore.errors import ModelError
from mlcore.model.protocol import Backend, Model
from mlcore.model.wrapping import as_model, backend_of
from mlcore.plugins import PluginHost, current_host
from mlcore.signature import Signature, watch
from mlcore.store import Blobs, Folder, as_folder, temporary_folder


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
    if hasattr(backend, "check_storable"):
        backend.check_storable(wrapped)
    with temporary_folder() as directory:
        wrapped.save(directory, training=training)
        yield directory, _describe(wrapped, backend)


def _describe(model: Model, backend: Backend) -> dict[str, Any]:
    labels, signature = getattr(model, "labels", None), getattr(model, "signature", None)
    subject, origin = getattr(model, "subject", model), getattr(model, "origin", None)
    return {
        "backend": backend.name,
        "class": f"{type(subject).__module__}:{type(subject).__qualname__}",
        "origin": asdict(origin) if origin else None,
        "input_names": list(model.input_names),
        "target_names": list(model.target_names),
        "output_names": list(model.output_names),
        "labels": dict(labels) if labels else None,
        "signature": signature.record() if signature else None,
        "versions": {name: _version(name) for name in ("mlcore-core", *getattr(backend, "packages", ()))},
    }


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def restore_model(
    bundle: Bundle,
    *,
    blobs: Blobs | None = None,
    trusted: Collection[str] = (),
    into: object | None = None,
    host: PluginHost | None = None,
) -> Model:
    """Load a model from its bundle; every file is verified first.

    Args:
        bundle: Where it is.
        blobs: Where the contents are, if the bundle refers to blobs.
        trusted: Full names of types that its files may use, besides those that its backend always trusts.
        into: A Model like the saved one, which takes its state over; or a bare object like the one that was saved,
            which becomes such a Model. For backends that cannot always make their objects again by themselves.
        host: The plugins to ask for the backend.

    Raises:
        CorruptError: The bundle is incomplete or damaged.
        ModelError: It is no model, or the class that it names cannot be restored.
        PluginError: Its backend is not installed.
    """
    host = host or current_host()
    with temporary_folder() as directory:
        manifest = bundle.fetch(directory, blobs=blobs)
        if manifest.kind != "model":
            raise ModelError(f"this bundle is a {manifest.kind}, not a model", where=bundle.folder.url)
        backend: Backend = host.backends.resolve(str(manifest.meta.get("backend")))()
        if into is None:
            model = backend.load(directory, manifest, trusted=trusted)
        else:
            model = _load_into(into, backend, directory, manifest, trusted=trusted)
    if hasattr(type(model), "signature"):
        model.signature = Signature.read(manifest.meta.get("signature"))  # type: ignore[attr-defined]  # see above
        watch(model)
    return model


def _load_into(
    into: object, backend: Backend, directory: Path, manifest: Manifest, *, trusted: Collection[str]
) -> Model:
    if not backend.recognises(into):
        kind = type(into).__qualname__
        what = f"a model of the backend {backend.name} cannot be restored into an object of {kind}"
        raise ModelError(what, hint="leave `into` out")
    if isinstance(into, Model) and hasattr(into, "restore"):
        into.restore(directory)
        return into
    load: Any = backend.load  # `into` is what only some take
    if "into" not in inspect.signature(load).parameters:
        what = f"the backend {backend.name} cannot restore into an object that is there"
        raise ModelError(what, hint="leave `into` out: it makes the object by itself")
    model: Model = load(directory, manifest, trusted=trusted, into=into)
    return model
