"""From any object to a Model: which backend knows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlcore.errors import ModelError, PluginError
from mlcore.model.importing import import_object, made_class
from mlcore.model.protocol import Backend, Labels, Model, Origin
from mlcore.plugins import Entry, PluginHost, current_host
from mlcore.signature import watch

# Frameworks whose backend is published as `mlcore-<name>`.
PACKAGED = frozenset({"sklearn", "torch"})
NATIVE = "native"


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
    model = backend_of(obj, host).wrap(
        obj,
        input_names=input_names,
        target_names=target_names,
        output_names=output_names,
        labels=label_map(labels),
        **options,
    )
    watch(model)
    return model


def build_model(
    path: str,
    arguments: Mapping[str, Any] | None = None,  # whatever the constructor takes
    *,
    recorded: Mapping[str, Any] | None = None,  # JSON values
    host: PluginHost | None = None,
    **wrapping: Any,  # what as_model takes
) -> Model:
    """Make an object by the path of its class, and a Model of it that knows how it was made.

    Args:
        path: Of a class, or of a function whose annotation says what it returns.
        arguments: What to call it with; JSON values, if the model is to be stored.
        recorded: What to store of them, where that differs: with `${env:NAME}` in place of a secret.
        host: The plugins to ask.
        wrapping: Names, labels and options, as for `as_model`.

    Raises:
        ModelError: There is nothing at that path, or no backend recognises what it makes.
    """
    maker = import_object(path)
    made_class(maker, path)
    model = as_model(maker(**arguments or {}), host=host, **wrapping)
    if hasattr(model, "origin"):
        model.origin = Origin(path, dict((arguments if recorded is None else recorded) or {}))
    return model


def wrap_options(kind: type, host: PluginHost | None = None) -> frozenset[str]:
    """What a config may say about objects of a class besides names and labels: the options of backends for them."""
    entries = (host or current_host()).backends.values()
    return frozenset(name for entry in entries if _may_know(entry, kind) for name in entry.options.get("options", ()))


def check_options(kind: type, options: Mapping[str, Any], host: PluginHost | None = None) -> None:
    """Let the backends for objects of a class look at options before there is an object.

    Raises:
        ModelError: One of them is wrong.
    """
    host = host or current_host()
    for entry in host.backends.values():
        own = {name: options[name] for name in entry.options.get("options", ()) if name in options}
        if own and _may_know(entry, kind):
            backend = host.backends.resolve(entry.name)()
            if hasattr(backend, "check_options"):
                backend.check_options(own)


def framework_class(kind: type, host: PluginHost | None = None) -> type | None:
    """The first of a class's bases, itself included, that belongs to a framework with a backend."""
    entries = (host or current_host()).backends.values()
    frameworks = {root for entry in entries for root in entry.options.get("frameworks", ())}
    return next((base for base in kind.__mro__ if base.__module__.partition(".")[0] in frameworks), None)


def label_map(labels: Labels | Sequence[int | str] | None) -> Labels | None:
    """Labels as a mapping of names to values; a plain sequence names each value by itself."""
    if labels is None or isinstance(labels, Mapping):
        return labels
    if isinstance(labels, str):
        raise ModelError(f"the labels are one text, {labels!r}", hint="give a list of values, or a mapping of names")
    named = {str(value): value for value in labels}
    if len(named) < len(labels):
        raise ModelError(f"two of the labels {list(labels)!r} have one name", hint="give a mapping of names to values")
    return named


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
        if not _may_know(entry, type(obj)):
            continue
        backend: Backend = host.backends.resolve(entry.name)()
        if backend.recognises(obj):
            found.append((entry.options.get("priority", 0), entry.name, backend))
    if not found:
        raise _unrecognised(type(obj), host)
    best = max(priority for priority, _, _ in found)
    winners = [(name, backend) for priority, name, backend in found if priority == best]
    if len(winners) > 1:
        names = " and ".join(name for name, _ in winners)
        raise ModelError(
            f"the backends {names} both recognise {type(obj).__qualname__}",
            hint="switch one plugin off (--no-plugin), or give one backend a higher priority",
        )
    return winners[0][1]


def _may_know(entry: Entry, kind: type) -> bool:
    """Whether to ask a backend at all: resolving one may import its framework."""
    frameworks = entry.options.get("frameworks")
    if frameworks is None:
        return True
    roots = {cls.__module__.partition(".")[0] for cls in kind.__mro__}
    own = entry.target.partition(":")[0].partition(".")[0]
    return not roots.isdisjoint({own, *frameworks})


def check_recognisable(kind: type, host: PluginHost | None = None) -> None:
    """Refuse a class whose objects no backend can recognise, before one is made.

    Raises:
        ModelError: None can; the message says what to install.
    """
    host = host or current_host()
    asked = [entry for entry in host.backends.values() if _may_know(entry, kind)]
    if all(entry.name == NATIVE for entry in asked) and not (hasattr(kind, "run") and hasattr(kind, "save")):
        raise _unrecognised(kind, host)


def _unrecognised(kind: type, host: PluginHost) -> ModelError:
    root = kind.__module__.partition(".")[0]
    what = f"no backend recognises {kind.__module__}.{kind.__qualname__}"
    if root in PACKAGED:
        try:
            host.backends.resolve(root)
        except PluginError as error:  # not installed, switched off or broken: it says which
            return ModelError(f"{what}: {error.what}", hint=error.hint)
    known = ", ".join(sorted(host.backends)) or "none"
    return ModelError(f"{what} (backends: {known})", hint="see `mlcore plugins`, or register a backend for it")
