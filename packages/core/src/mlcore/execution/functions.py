"""The functions that executors call, named by strings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlcore.errors import MlcoreError, nearest
from mlcore.plugins import check_target, import_target


def check_function(path: object) -> None:
    """Refuse what is not of the form `package.module:function`.

    Raises:
        MlcoreError: It is not.
    """
    wrong = check_target(path)
    if wrong:
        raise MlcoreError(f"function: {wrong}", hint="the function must be importable by its name, in any process")


def import_function(path: str) -> Callable[[Any], Any]:  # takes a payload, returns plain data
    """Import `package.module:function`; an exception inside the module passes through.

    Raises:
        MlcoreError: The path, the module or the function is wrong.
    """
    check_function(path)
    module = path.partition(":")[0]
    try:
        function = import_target(path)
    except ModuleNotFoundError as error:
        if not error.name or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise MlcoreError(f"there is no module {error.name!r} for the function {path!r}") from error
    except AttributeError as error:
        if getattr(error.obj, "__name__", None) != module:
            raise
        hint = nearest(path.partition(":")[2], vars(error.obj))
        raise MlcoreError(f"module {module!r} has no function {path.partition(':')[2]!r}", hint=hint) from error
    if not callable(function):
        raise MlcoreError(f"{path!r} is no function but {function!r}")
    found: Callable[[Any], Any] = function
    return found
