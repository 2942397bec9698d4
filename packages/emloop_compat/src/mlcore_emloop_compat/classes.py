"""From names in a config to classes, checked against what their constructors take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from typing import Any, TypeAlias

from mlcore.config import Config
from mlcore.errors import MlcoreError, nearest
from mlcore.model import check_options, check_recognisable, framework_class, import_object, made_class, wrap_options
from mlcore_emloop_compat import hooks
from mlcore_emloop_compat.datasets import BaseDataset
from mlcore_emloop_compat.hooks import AbstractHook
from mlcore_emloop_compat.models import AbstractModel
from mlcore_emloop_compat.types import HookError
from mlcore_emloop_compat.utils.reflection import (
    Parameters,
    constructor_parameters,
    constructor_types,
    function_parameters,
    type_fault,
)

Key: TypeAlias = str | tuple[str | int, ...]
# Keys of the model section that are not the constructor's, where the class is no emloop model.
WRAPPING = ("inputs", "targets", "outputs", "labels")
GIVEN_TO_HOOKS = AbstractHook.EL_HOOK_INIT_ARGS
OWN_HOOKS: Mapping[str, type[AbstractHook]] = {
    name: found
    for name, found in vars(hooks).items()
    if isinstance(found, type) and issubclass(found, AbstractHook) and found is not AbstractHook
}


def resolve_class(config: Config, key: str) -> type:
    """The class that a config names at `<key>`.

    Raises:
        ConfigError: There is none; the message has the line and the nearest name.
    """
    return _imported(config, key, str(config.get(key)))


def _imported(config: Config, key: Key, path: str) -> type:
    with _at(config, key):
        found = import_object(own_path(path))
    if not isinstance(found, type):
        raise config.error(key, f"{path} is no class but a {type(found).__name__}")
    if lacking := sorted(getattr(found, "__abstractmethods__", ())):
        raise config.error(key, f"{path} is abstract: it does not define {', '.join(lacking)}")
    return found


def resolve_maker(config: Config, key: str) -> tuple[Callable[..., Any], type]:
    """The class or function that a config names at `<key>`, and the class of what it makes.

    Raises:
        ConfigError: There is none, or it is a function that does not say what it makes.
    """
    path = str(config.get(key))
    with _at(config, key):
        maker = import_object(own_path(path))
        made = made_class(maker, path)
    return (_imported(config, key, path), made) if isinstance(maker, type) else (maker, made)


@contextmanager
def _at(config: Config, key: Key) -> Iterator[None]:
    """Say where in the config stands what an error is about."""
    try:
        yield
    except MlcoreError as error:
        raise config.error(key, error.what, error.hint) from error


def own_path(path: str) -> str:
    """Where a class of the original emloop lives here."""
    return f"mlcore_emloop_compat.{path.removeprefix('emloop.')}" if path.startswith("emloop.") else path


def hook_class(config: Config, key: Key, name: str) -> type[AbstractHook]:
    """The class of a hook: a name of ours, or the path of any other."""
    if "." not in name and name not in OWN_HOOKS:
        raise config.error(key, f"there is no hook {name!r}", nearest(name, OWN_HOOKS))
    cls = OWN_HOOKS[name] if name in OWN_HOOKS else _imported(config, key, name)
    if not issubclass(cls, AbstractHook):
        raise config.error(key, f"{name} is no hook", "a hook derives from mlcore_emloop_compat.AbstractHook")
    return cls


def hook_items(section: list[Any]) -> list[tuple[str, Mapping[str, Any]]]:  # the section as YAML has it
    """Names and arguments of the hooks section."""
    return [(item, {}) if isinstance(item, str) else _only(item) for item in section]


def _only(item: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:  # name to arguments
    (name, arguments), *_ = item.items()
    return name, arguments or {}


def check_dataset(config: Config) -> None:
    """Refuse arguments that the dataset does not take, where it says which it takes."""
    cls = resolve_class(config, "dataset.class")
    if "output_dir" in config.get("dataset"):
        raise config.error("dataset.output_dir", "output_dir is given by the run", "take this line out")
    if issubclass(cls, BaseDataset):
        parameters = constructor_parameters(cls, method="_configure_dataset")
        _check_arguments(config, "dataset", cls, parameters, provided={"output_dir"}, ours={"class"})


def check_model(config: Config) -> None:
    """Refuse arguments that the model's class, or the function that makes it, does not take."""
    resolved = config.resolve()["model"]
    maker, made = resolve_maker(config, "model.class")
    if isinstance(maker, type) and issubclass(maker, AbstractModel):
        given = {"dataset", "log_dir", "restore_from"}
        parameters = constructor_parameters(maker)
        _check_arguments(config, "model", maker, parameters, provided=given, ours={"class", "name"})
        return
    parameters = _parameters(maker)
    if {"dataset", "log_dir"} <= parameters.names:
        what = f"{maker.__qualname__} takes dataset and log_dir as emloop's models do, but is none of them"
        raise config.error("model.class", what, "derive it from mlcore_emloop_compat.AbstractModel")
    with _at(config, "model.class"):
        check_recognisable(made)
    options = wrap_options(made)
    ours = {"class", "name", *WRAPPING, *options}
    _check_arguments(config, "model", maker, parameters, provided=set(), ours=ours)
    for name in resolved.keys() & options:
        with _at(config, ("model", name)):
            check_options(made, {name: resolved[name]})


def _parameters(maker: Callable[..., Any]) -> Parameters:
    """What a class or a function takes; what a framework's own base class is handed on, it does not use."""
    if not isinstance(maker, type):
        return function_parameters(maker)
    return constructor_parameters(maker, closed_by=framework_class(maker))


def _check_arguments(
    config: Config, section: str, cls: Callable[..., Any], parameters: Parameters, *, provided: Set[str], ours: Set[str]
) -> None:
    """Hold the keys of a section against what a class takes beside what it is provided with."""
    given = config.get(section).keys() - ours
    valid = (parameters.names - provided) | (ours - {"class", "name"})
    unknown = set() if parameters.open else given - parameters.names
    for key in sorted(unknown | (given & provided), key=str):
        raise config.error((section, key), f"{cls.__qualname__} takes no argument {key!r}", nearest(str(key), valid))
    for key in sorted(parameters.required - given - provided):
        raise config.error(section, f"{cls.__qualname__} needs the argument {key!r}", f"add `{key}:` to the section")


def check_hooks(config: Config) -> None:
    """Refuse hooks that do not exist, and arguments that they do not take."""
    for index, item in enumerate(config.resolve().get("hooks") or []):
        if isinstance(item, Mapping) and len(item) != 1:
            names = ", ".join(map(str, item)) or "nothing"
            raise config.error(
                ("hooks", index), f"an item has one hook, but this one has {names}", "begin each hook with its own dash"
            )
        name, arguments = hook_items([item])[0]
        _check_hook(config, ("hooks", index) if isinstance(item, str) else ("hooks", index, name), name, arguments)


def _check_hook(config: Config, key: Key, name: str, arguments: Mapping[str, Any]) -> None:
    cls = hook_class(config, key, name)
    parameters = constructor_parameters(cls, closed_by=AbstractHook)
    valid = parameters.names | set(GIVEN_TO_HOOKS)
    if not parameters.open:
        for argument in arguments.keys() - valid:
            raise config.error(
                (*key, argument), f"{name} takes no argument {argument!r}", nearest(argument, parameters.names)
            )
    for argument in sorted(parameters.required - arguments.keys() - set(GIVEN_TO_HOOKS)):
        raise config.error(key, f"{name} needs the argument {argument!r}", f"write `{name}: {{{argument}: …}}`")
    if cls in OWN_HOOKS.values():
        _try_hook(config, key, cls, arguments)


def _try_hook(config: Config, key: Key, cls: type[AbstractHook], arguments: Mapping[str, Any]) -> None:
    """Make a hook of ours, which does nothing but look at its arguments."""
    with _at(config, key):
        try:
            cls(**{**dict.fromkeys(GIVEN_TO_HOOKS), **arguments})
        except (TypeError, ValueError) as error:
            if isinstance(error, MlcoreError):
                raise
            raise HookError(f"{cls.__name__} does not take these arguments: {error}") from error
    types = constructor_types(cls)
    for argument, value in arguments.items():
        if fault := type_fault(types.get(argument, Any), value):
            raise config.error((*key, argument), f"{cls.__name__}'s {argument} is {value!r}: {fault}")
