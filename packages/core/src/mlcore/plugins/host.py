"""The host: finds plugins, loads each by itself, and keeps what they offer."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from mlcore.errors import MlcoreError, PluginError, nearest
from mlcore.plugins.compatibility import check_core
from mlcore.plugins.discovery import PLUGINS, entry_points, import_point, owner
from mlcore.plugins.order import in_order
from mlcore.plugins.records import PluginRecord, one_line
from mlcore.plugins.registry import Registrar, Registry

# Names of plugins to leave out, with commas between.
DISABLE = "MLCORE_DISABLE_PLUGINS"

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from importlib.metadata import Distribution, EntryPoint

    from mlcore.hookspecs import Diagnosis

CORE, CORE_MODULE = "core", "mlcore._builtin"


class PluginHost:
    """The plugins of one process, test or notebook.

    Args:
        allow: Names of the installed plugins to load; None for all, empty for none. The built-in `core` is always
            loaded, and so is what is added by hand.
        block: Names of plugins that are not even imported.
        strict: Whether a plugin that fails is raised at once.
        trace: Whether load times are written to stderr.

    Example:
        >>> host = PluginHost(allow=()).load()
        >>> [record.name for record in host.records if record.status == "loaded"]
        ['core']
        >>> host.executors["serial"].target
        'mlcore.execution:SerialExecutor'
    """

    def __init__(
        self,
        allow: Iterable[str] | None = None,
        block: Iterable[str] = (),
        *,
        strict: bool = False,
        trace: bool = False,
    ) -> None:
        self.allow, self.block = None if allow is None else frozenset(allow), frozenset(block)
        if CORE in self.block:
            raise PluginError("the plugin 'core' is built in and cannot be switched off")
        self.strict, self.trace = strict, trace
        self.warnings: list[str] = []
        self._records: list[PluginRecord] = []
        self._hooks: list[tuple[PluginRecord, Mapping[str, Callable[..., Any]]]] = []
        self._loaded = False
        self.backends = Registry("backend", self._records)
        self.runners = Registry("runner", self._records)
        self.executors = Registry("executor", self._records)
        self.standins = Registry("stand-in", self._records)

    @classmethod
    def from_environment(cls, block: Iterable[str] = ()) -> Self:
        """Make a host from `MLCORE_PLUGINS`, `_DISABLE_PLUGINS`, `_STRICT_PLUGINS` and `_TRACE_PLUGINS`.

        Args:
            block: Names to block besides.
        """
        allow = os.environ.get("MLCORE_PLUGINS")
        return cls(
            None if allow is None else _names(allow),
            (*_names(os.environ.get(DISABLE, "")), *block),
            strict=_switch("MLCORE_STRICT_PLUGINS"),
            trace=_switch("MLCORE_TRACE_PLUGINS"),
        )

    @property
    def records(self) -> tuple[PluginRecord, ...]:
        """Every plugin that was found or added, sorted by name."""
        return tuple(sorted(self._records, key=lambda record: record.name))

    def load(self) -> Self:
        """Load the plugins that entry points name; what was loaded before stays.

        Raises:
            PluginError: A plugin failed, and the host is strict.
        """
        if self._loaded:
            return self
        self._loaded = True
        plugins = self._imported()
        order, circles = in_order({name: _requires(plugin) for name, (_, plugin) in plugins.items()})
        for name in order:
            self._register(*plugins[name], circle=circles.get(name))
        if self.trace:
            for record in self.records:
                sys.stderr.write(f"{record.seconds * 1000:8.1f} ms  {record.status:8} {record.label}\n")
        return self

    def add(self, name: str, plugin: object) -> PluginRecord:
        """Register a plugin that has no entry point.

        Args:
            name: Its name.
            plugin: A module or an object with hooks.

        Raises:
            PluginError: The plugin is wrong, or the name is taken.
        """
        if any(record.name == name for record in self._records):
            raise PluginError(f"there is a plugin {name!r} already")
        record = self._record(name, getattr(plugin, "__name__", type(plugin).__qualname__), by_hand=True)
        if record.status != "blocked":
            self._register(record, plugin)
        if record.status == "failed":
            raise _error(record) from record.exception
        return record

    def subscribe(self, run: Any) -> None:  # a mlcore.runs.Run, which lives above this floor
        """Let every plugin attach listeners to a run; what one raises ends it, with a note naming the plugin."""
        for record, hooks in self._having("mlcore_subscribe"):
            try:
                hooks["mlcore_subscribe"](run=run)
            except Exception as error:
                error.add_note(f"raised by mlcore_subscribe of {record.label}")
                raise

    def diagnose(self, report: Diagnosis) -> None:
        """Ask every plugin how it is; one that raises is a finding."""
        for record, hooks in self._having("mlcore_diagnose"):
            try:
                hooks["mlcore_diagnose"](report=report)
            except Exception as error:  # noqa: BLE001  told in the report
                report.add(record.label, f"mlcore_diagnose raised {one_line(error)}", status="error")

    def _having(self, hook: str) -> list[tuple[PluginRecord, Mapping[str, Callable[..., Any]]]]:
        return [(record, hooks) for record, hooks in self._hooks if hook in hooks]

    def _imported(self) -> dict[str, tuple[PluginRecord, object]]:
        found = entry_points(PLUGINS, self.warnings)
        by_hand = {record.name for record in self._records}
        self._warn_of_unknown({CORE, *found, *by_hand})
        plugins: dict[str, tuple[PluginRecord, object]] = {}
        for point, rivals in _candidates(found):
            record = self._record(point.name, point.value, point.dist)
            if record.status == "blocked":
                continue
            with self._attempt(record):
                if point.name in by_hand:
                    raise PluginError("its name is also that of a plugin that was added by hand")
                if rivals:
                    others = " and ".join(owner(rival) for rival in rivals)
                    raise PluginError(f"its name is also that of {others}; uninstall one")
                if point.dist and (older := check_core(point.dist)):
                    self._warn(record, older)
                plugin = import_point(point)
                _requires(plugin)
                plugins[point.name] = record, plugin
        return plugins

    def _warn_of_unknown(self, known: set[str]) -> None:
        for name in sorted(((self.allow or frozenset()) | self.block) - known):
            self.warnings.append(f"no plugin {name!r} is installed to be switched on or off: {nearest(name, known)}")

    def _record(
        self, name: str, target: str, source: Distribution | None = None, *, by_hand: bool = False
    ) -> PluginRecord:
        record = PluginRecord(name, target, source)
        if name in self.block:
            record.status, record.error = "blocked", "switched off by --no-plugin or MLCORE_DISABLE_PLUGINS"
        elif not by_hand and self.allow is not None and name not in self.allow and name != CORE:
            record.status, record.error = "blocked", "not among MLCORE_PLUGINS"
        self._records.append(record)
        return record

    def _register(self, record: PluginRecord, plugin: object, *, circle: str | None = None) -> None:
        from mlcore.plugins.hooks import hooks_of, unmarked  # with pluggy, 13 ms

        with self._attempt(record):
            if circle:
                raise PluginError(f"the plugins wait for each other: {circle}")
            self._check_required(plugin)
            hooks = hooks_of(plugin, record.name)
            record.hooks = tuple(sorted(hooks))
            self._keep(record, hooks)
            for name in unmarked(plugin, hooks):
                self._warn(record, f"has a function {name} that is no hook: mark it with @hookimpl")
            if not hooks:
                self._warn(record, "has no hooks: its entry point should name the module that has them")

    def _check_required(self, plugin: object) -> None:
        status = {record.name: record.status for record in self._records}
        fates = {"failed": "failed to load", "blocked": "is switched off"}
        for name in _requires(plugin):
            if status.get(name) != "loaded":
                fate = fates[status[name]] if name in status else "is not installed"
                raise PluginError(f"it requires the plugin {name!r}, which {fate}")

    def _keep(self, record: PluginRecord, hooks: Mapping[str, Callable[..., Any]]) -> None:
        """Run the registration hooks; only when all have succeeded does anything count."""
        collected = []
        for name, registry in self._registries().items():
            if name in hooks:
                registrar = Registrar(registry.kind, record)
                hooks[name](register=registrar)
                collected.append((registry, registrar))
        for registry, registrar in collected:
            for entry in registrar.entries.values():
                for other in registry.add(entry):
                    self._warn(record, f"offers the {registry.kind} {entry.name!r}, and so does {other.record.label}")
        self._hooks.append((record, hooks))

    def _registries(self) -> dict[str, Registry]:
        return {
            "mlcore_register_backends": self.backends,
            "mlcore_register_runners": self.runners,
            "mlcore_register_executors": self.executors,
            "mlcore_register_standins": self.standins,
        }

    def _warn(self, record: PluginRecord, text: str) -> None:
        record.warnings.append(text)
        self.warnings.append(f"{record.label} {text}")

    @contextmanager
    def _attempt(self, record: PluginRecord) -> Iterator[None]:
        """Time a step of loading, and let it fail for this plugin only."""
        started = time.perf_counter()
        try:
            yield
        except (Exception, SystemExit) as error:  # a module that exits when imported must not end the command
            record.fail(error)
            self.warnings.append(f"{record.label} failed to load: {record.error}; see `mlcore plugins`")
            if self.strict:
                raise _error(record) from error
        finally:
            record.seconds += time.perf_counter() - started


def _candidates(found: Mapping[str, list[EntryPoint]]) -> Iterator[tuple[EntryPoint, list[EntryPoint]]]:
    """Each entry point with those that claim the same name. The name `core` is ours, installed or run from source."""
    from importlib.metadata import EntryPoint

    ours = [point for point in found.get(CORE, ()) if point.value == CORE_MODULE][:1]
    ours = ours or [EntryPoint(CORE, CORE_MODULE, PLUGINS)]
    yield ours[0], []
    for name, points in found.items():
        for point in points:
            if name == CORE and point.value != CORE_MODULE:
                yield point, ours
            elif name != CORE:
                yield point, [other for other in points if other is not point]


def _requires(plugin: object) -> tuple[str, ...]:
    names = getattr(plugin, "requires", ())
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        raise PluginError(f"its `requires` is {names!r}; a tuple of plugin names is wanted: ('other',)")
    return names


def _error(record: PluginRecord) -> PluginError:
    hint = record.exception.hint if isinstance(record.exception, MlcoreError) else None
    return PluginError(f"failed to load: {record.error}", where=record.label, hint=hint)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)


def _switch(variable: str) -> bool:
    value = os.environ.get(variable, "").strip().lower()
    if value not in {"", "0", "1", "false", "true", "no", "yes", "off", "on"}:
        raise PluginError(f"{variable}={value!r} is neither 1 nor 0")
    return value in {"1", "true", "yes", "on"}
