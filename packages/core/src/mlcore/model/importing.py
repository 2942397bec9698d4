"""Objects by their path, as configs and manifests name them."""

from __future__ import annotations

import importlib
import pkgutil
from difflib import get_close_matches
from types import ModuleType
from typing import Any, get_type_hints

from mlcore.errors import ModelError, nearest

# What to install for modules that are called otherwise than their distributions.
_PACKAGES = {"sklearn": "scikit-learn", "cv2": "opencv-python", "PIL": "pillow", "yaml": "pyyaml"}


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
            raise ModelError(f"there is no module {error.name!r} for {path!r}", hint=_hint(error.name)) from error
        raise
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise ModelError(f"{_said(found)} has no {part!r}", hint=nearest(part, _public(found)))
        found = getattr(found, part)
    return found


def made_class(maker: Any, path: str) -> type:  # whatever stands at the path
    """The class of what a class or an annotated function makes.

    Raises:
        ModelError: It is neither.
    """
    if isinstance(maker, type):
        return maker
    try:
        made = get_type_hints(maker).get("return") if callable(maker) else None
    except (NameError, TypeError):
        made = None
    if isinstance(made, type) and made is not type(None):
        return made
    if callable(maker):
        hint = "annotate it with the class of what it returns, for example `-> torch.nn.Module`"
        raise ModelError(f"{path} is a function that does not say what it makes", hint=hint)
    raise ModelError(f"{path} is no class but a {type(maker).__name__}", hint="name a class, or a function")


def _said(holder: Any) -> str:  # a module, or what was found in it
    return (
        f"module {holder.__name__!r}" if isinstance(holder, ModuleType) else f"{getattr(holder, '__name__', holder)!r}"
    )


def _public(holder: Any) -> list[str]:  # a module, or what was found in it
    names = [name for name in dir(holder) if not name.startswith("_")]
    # Of a module's names, a config rarely means the other modules that it imported.
    return [name for name in names if not isinstance(getattr(holder, name, None), ModuleType)]


def _hint(module: str) -> str:
    parent, _, name = module.rpartition(".")
    folders = getattr(importlib.import_module(parent), "__path__", None) if parent else None
    if parent and folders is None:
        return f"{parent!r} is a module: what is in it is written {parent}.Name, or {parent}:Name.Inner"
    siblings = [found.name for found in pkgutil.iter_modules(folders)]
    if parent or get_close_matches(name, siblings, n=1):
        return nearest(name, [sibling for sibling in siblings if not sibling.startswith("_")])
    return f"check the spelling and the folder you start from, or pip install {_PACKAGES.get(name, name)}"
