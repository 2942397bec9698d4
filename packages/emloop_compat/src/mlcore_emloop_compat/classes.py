"""From names in a config to classes, checked against what their constructors take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlcore.config import Config
from mlcore.errors import ModelError, nearest
from mlcore.model import import_object
from mlcore_emloop_compat import hooks as own_hooks
from mlcore_emloop_compat.hooks import AbstractHook
from mlcore_emloop_compat.models import AbstractModel
from mlcore_emloop_compat.utils.reflection import constructor_parameters

# Keys of the model section that are not the constructor's, where the class is no emloop model.
WRAPPING = ("inputs", "targets", "outputs", "labels")
GIVEN_TO_HOOKS = AbstractHook.EL_HOOK_INIT_ARGS


def resolve_class(config: Config, key: str) -> type:
    """The class that a config names at `<key>`.

    Raises:
        ConfigError: There is none; the message has the line and the nearest name.
    """
    path = str(config.get(key))
    try:
        found = import_object(own_path(path))
    except ModelError as error:
        raise config.error(key, error.what, error.hint) from error
    if not isinstance(found, type):
        raise config.error(key, f"{path} is no class but a {type(found).__name__}")
    return found


def own_path(path: str) -> str:
    """Where a class of the original emloop lives here."""
    return f"mlcore_emloop_compat.{path.removeprefix('emloop.')}" if path.startswith("emloop.") else path


def hook_class(config: Config, key: tuple[str | int, ...], name: str) -> type:
    """The class of a hook: a name of ours, or the path of any other."""
    if "." not in name:
        if not hasattr(own_hooks, name):
            raise config.error(key, f"there is no hook {name!r}", nearest(name, own_hooks.__all__))
        return getattr(own_hooks, name)  # type: ignore[no-any-return]  # the module holds hooks
    try:
        found = import_object(own_path(name))
    except ModelError as error:
        raise config.error(key, error.what, error.hint) from error
    if not isinstance(found, type):
        raise config.error(key, f"{name} is no class but a {type(found).__name__}")
    return found


def hook_items(hooks: list[Any]) -> list[tuple[str, Mapping[str, Any]]]:  # the section as YAML has it
    """Names and arguments of the hooks section."""
    return [(item, {}) if isinstance(item, str) else _only(item) for item in hooks]


def _only(item: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:  # name to arguments
    (name, arguments), *_ = item.items()
    return name, arguments or {}


def is_emloop_model(cls: type) -> bool:
    """Whether its constructor takes what emloop gives to a model."""
    if issubclass(cls, AbstractModel):
        return True
    return {"dataset", "log_dir"} <= constructor_parameters(cls).names


def check_model(config: Config) -> None:
    """Refuse arguments that the model's class does not take."""
    cls = resolve_class(config, "model.class")
    emloop = is_emloop_model(cls)
    parameters = constructor_parameters(cls)
    reserved = {"class", "name"} if emloop else {"class", "name", *WRAPPING}
    given = set(config.get("model")) - reserved
    if not parameters.open:
        for key in given - parameters.names:
            valid = (parameters.names | (set() if emloop else set(WRAPPING))) - {"self"}
            raise config.error(("model", key), f"{cls.__qualname__} takes no argument {key!r}", nearest(key, valid))
    provided = {"dataset", "log_dir", "restore_from"} if emloop else set()
    for key in sorted(parameters.required - given - provided):
        raise config.error("model", f"{cls.__qualname__} needs the argument {key!r}", f"add `{key}:` to the section")


def check_hooks(config: Config) -> None:
    """Refuse hooks that do not exist, and arguments that they do not take."""
    for index, item in enumerate(config.get("hooks", None) or []):
        if isinstance(item, Mapping) and len(item) != 1:
            names = ", ".join(map(str, item)) or "nothing"
            raise config.error(
                ("hooks", index), f"an item has one hook, but this one has {names}", "begin each hook with its own dash"
            )
        name, arguments = hook_items([item])[0]
        _check_hook(config, ("hooks", index) if isinstance(item, str) else ("hooks", index, name), name, arguments)


def _check_hook(config: Config, key: tuple[str | int, ...], name: str, arguments: Mapping[str, Any]) -> None:
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
