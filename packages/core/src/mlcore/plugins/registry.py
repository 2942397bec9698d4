"""What plugins offer: names of one kind, and where each leads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlcore.errors import PluginError, nearest
from mlcore.plugins.records import PluginRecord, one_line
from mlcore.plugins.targets import check_module, check_target, import_target

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")

# What our other distributions offer, so that an error can name the one to install.
PUBLISHED = {
    "runner": {
        "main_loop": "mlcore-emloop-compat",
        "pipeline": "mlcore-pipeline",
        "adapter": "mlcore-adapter",
        "sweep": "mlcore-sweep",
    },
    "backend": {"sklearn": "mlcore-sklearn", "torch": "mlcore-torch"},
    "executor": {"dask": "mlcore-dask"},
    "stand-in": {
        "emloop": "mlcore-emloop-compat",
        "batchflow": "mlcore-pipeline",
        "clearml": "mlcore-tracking",
        "trains": "mlcore-tracking",
        "dtlpy": "mlcore-adapter",
    },
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that a plugin offers.

    Attributes:
        name: What users write.
        target: Where it is: `package.module:Name`.
        record: The plugin that registered it.
        options: What the plugin gave with it.
    """

    name: str
    target: str
    record: PluginRecord
    options: Mapping[str, Any]  # each kind has its own

    @property
    def plugin(self) -> str:
        """Name of the plugin."""
        return self.record.name

    @property
    def distribution(self) -> str | None:
        """The distribution that the plugin came with."""
        return self.record.distribution


class Registrar:
    """The `register` of one plugin and one kind. It only collects, so that a hook that fails leaves nothing behind."""

    def __init__(self, kind: str, record: PluginRecord) -> None:
        self.entries: dict[str, Entry] = {}
        self._kind, self._record = kind, record

    def __call__(self, name: str, target: str, **options: Any) -> None:  # options differ by kind
        """See `mlcore.hookspecs.Register`."""
        if not _is_name(name):
            raise PluginError(f"{name!r} is no name for a {self._kind}: letters, digits, '_', '-' and '.' make one")
        self._record.offers.append((self._kind, name))
        check = check_module if self._kind == "stand-in" else check_target
        wrong = check(target) or _wrong_option(options)
        if wrong:
            raise PluginError(f"{self._kind} {name!r}: {wrong}")
        if name in self.entries:
            raise PluginError(
                f"{self._kind} {name!r} is registered twice, for {self.entries[name].target} and {target}"
            )
        self.entries[name] = Entry(name, target, self._record, options)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _wrong_option(options: Mapping[str, Any]) -> str | None:  # of any kind
    for option in ("frameworks", "options", "sections"):
        if isinstance(options.get(option), str):
            return f"{option}={options[option]!r} is one string; write a tuple: ({options[option]!r},)"
    wrong = check_target(options["samples"]) if "samples" in options else None
    return f"samples: {wrong}" if wrong else None


class Registry(Mapping[str, Entry]):
    """Everything of one kind, by name, sorted.

    Args:
        kind: What it is called in messages: `runner`, `backend`.
        records: All plugins, so that a missing name can be traced to the plugin that failed.
    """

    def __init__(self, kind: str, records: Sequence[PluginRecord] = ()) -> None:
        self.kind = kind
        self._records = records
        self._entries: dict[str, list[Entry]] = {}
        self._resolved: dict[str, Any] = {}  # whatever the targets are

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name][0]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> list[Entry]:
        """Add an entry; returns those that had its name before. From then on the name is in conflict."""
        others = self._entries.setdefault(entry.name, [])
        others.append(entry)
        self._resolved.pop(entry.name, None)
        return others[:-1]

    def resolve(self, name: str) -> Any:  # what the target is
        """Import what a name stands for; a second time it is there already.

        Raises:
            PluginError: Nothing has that name, two plugins have it, or it cannot be imported. The message names the
                plugin, and the cause is chained.
        """
        if name not in self._resolved:
            self._resolved[name] = self._import(name)
        return self._resolved[name]

    def _import(self, name: str) -> Any:  # what the target is
        entries = self._entries.get(name)
        if entries is None:
            raise self._missing(name)
        if len(entries) > 1:
            raise self._conflict(name, entries)
        entry = entries[0]
        try:
            return import_target(entry.target)
        except Exception as error:
            raise PluginError(
                f"{self.kind} {name!r} cannot be imported from {entry.target}: {one_line(error)}",
                where=entry.record.label,
                hint=_import_hint(entry, error),
            ) from error

    def _conflict(self, name: str, entries: list[Entry]) -> PluginError:
        owners = " and ".join(f"{entry.record.label}, {entry.target}" for entry in entries)
        choices = " or ".join(f"--no-plugin {entry.plugin}" for entry in entries)
        return PluginError(f"{self.kind} {name!r} is offered by {owners}", hint=f"switch one off: {choices}")

    def _missing(self, name: str) -> PluginError:
        published = PUBLISHED.get(self.kind, {}).get(name)
        for record in self._records:
            if record.status != "loaded" and self._would_offer(record, name, published):
                return self._lost(name, record)
        install = f"pip install {published}" if published else nearest(name, self)
        error = PluginError(f"there is no {self.kind} {name!r}", hint=install)
        failed = [record for record in self._records if record.status == "failed"]
        if failed and not published:
            told = "; ".join(f"{record.label}: {record.error}" for record in failed)
            error.hint = f"{install}\n  what it belongs to may have failed to load: {told}"
            error.__cause__ = failed[0].exception
        return error

    def _would_offer(self, record: PluginRecord, name: str, published: str | None) -> bool:
        if (self.kind, name) in record.offers or record.name == name:
            return True
        return published is not None and record.distribution == published

    def _lost(self, name: str, record: PluginRecord) -> PluginError:
        if record.status == "blocked":
            what = f"{self.kind} {name!r} belongs to {record.label}, which is not loaded: {record.error}"
            return PluginError(what, hint="switch the plugin on again, or choose something else")
        what = f"{self.kind} {name!r} belongs to {record.label}, which failed to load: {record.error}"
        again = f"pip install --force-reinstall {record.distribution}" if record.source else "repair it"
        error = PluginError(what, hint=f"{again}; MLCORE_STRICT_PLUGINS=1 shows the whole traceback")
        error.__cause__ = record.exception
        return error


def _import_hint(entry: Entry, error: BaseException) -> str:
    ours = entry.target.partition(":")[0].partition(".")[0]
    lacking = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
    if lacking and lacking.partition(".")[0] != ours:
        return f"the module {lacking!r} is not installed: pip install what provides it"
    return f"update the plugin, or switch it off: --no-plugin {entry.plugin}"
