"""Stand-ins: packages of ours that programs written for other projects import by the names they know.

One module has two names then: while `emloop` is stood in for by `mlcore_emloop_compat`, `emloop.hooks` is the module
`mlcore_emloop_compat.hooks` itself, so a class is the same class whichever way it was imported.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from mlcore.errors import PluginError
from mlcore.plugins import PluginHost


@contextmanager
def standing_in(names: Iterable[str], host: PluginHost) -> Iterator[list[str]]:
    """Let imports of some names find our packages, within the block only.

    Args:
        names: As plugins registered them: `emloop`.
        host: The plugins.

    Yields:
        A line for each name whose original is installed, and hidden now.

    Raises:
        PluginError: Nothing stands in for a name, or the name is imported already.
    """
    packages = {name: _package(name, host) for name in names}
    hidden = [_hidden(name, package) for name, package in packages.items()]
    finder = _Finder(packages)
    sys.meta_path.insert(0, finder)
    try:
        yield [line for line in hidden if line]
    finally:
        sys.meta_path.remove(finder)
        for module in [module for module in sys.modules if module.partition(".")[0] in packages]:
            del sys.modules[module]


def _package(name: str, host: PluginHost) -> str:
    package: ModuleType = host.standins.resolve(name)
    if name in sys.modules:
        what = f"{name!r} is imported already, so {package.__name__} cannot stand in for it"
        raise PluginError(what, hint="start a new process, and let nothing but the program import it")
    return package.__name__


def _hidden(name: str, package: str) -> str | None:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        return None
    return f"{package} stands in for {name}: the one that is installed at {found.origin} is hidden"


class _Finder(MetaPathFinder):
    """Finds modules of our packages under the names that they stand in for.

    Args:
        packages: From such a name to the package.
    """

    def __init__(self, packages: Mapping[str, str]) -> None:
        self._packages = packages

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Import the module of ours; nobody else is asked for one that we do not have."""
        name, _, below = fullname.partition(".")
        if name not in self._packages:
            return None
        own = f"{self._packages[name]}.{below}".removesuffix(".")
        try:
            module = importlib.import_module(own)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{own}.".startswith(f"{error.name}."):
                raise
            what = f"no module named {fullname!r}: {self._packages[name]}, which stands in for {name}, has no {below!r}"
            raise ModuleNotFoundError(what, name=fullname) from None
        return ModuleSpec(fullname, _Present(module))


class _Present(Loader):
    """Loads a module that is there already."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Give the module; the import system then puts the other name's spec into it."""
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Give it its own spec back, which relative imports and reloads within it need."""
        module.__spec__ = self._spec
