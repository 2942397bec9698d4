"""`mlcore doctor`: what is installed, whether plugins load and the store works."""

from __future__ import annotations

import platform
import shutil
import time
import uuid
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mlcore.cli.common import plugins, print_json, table
from mlcore.cli.guard import FAILURE
from mlcore.cli.options import JsonOption, NoPluginOption, StoreOption

if TYPE_CHECKING:
    from mlcore.plugins import PluginHost, Report
    from mlcore.store import Folder

_DISTRIBUTIONS = ("mlcore-core", "pluggy", "pydantic", "typer", "numpy", "fsspec", "ruamel.yaml")
# Less free space than this is worth a warning: a few checkpoints of a middling model.
_LOW = 2 << 30


def doctor(store: StoreOption = None, no_plugin: NoPluginOption = None, json: JsonOption = False) -> None:
    """Check the installation, the plugins and the store."""
    from mlcore.plugins import Report

    report = Report()
    with plugins(no_plugin) as host:
        _versions(report)
        _plugins(report, host)
        _store(report, store)
        host.diagnose(report)
    if json:
        print_json(
            [{"subject": f.subject, "text": f.text, "status": f.status, "hint": f.hint} for f in report.findings]
        )
    else:
        rows = [(f.status, f.subject, f.text + (f" ({f.hint})" if f.hint else "")) for f in report.findings]
        typer.echo(table(rows, ("status", "subject", "finding")))
    if any(finding.status == "error" for finding in report.findings):
        raise typer.Exit(FAILURE)


def _versions(report: Report) -> None:
    report.add("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in _DISTRIBUTIONS:
        report.add(name, metadata.version(name))


def _plugins(report: Report, host: PluginHost) -> None:
    for record in host.records:
        text = f"{record.distribution or '-'} {record.version or ''} loaded in {record.seconds * 1000:.1f} ms"
        if record.status == "failed":
            report.add(
                f"plugin {record.name}",
                str(record.error),
                status="error",
                hint="reinstall it, or leave it out with --no-plugin",
            )
        else:
            report.add(f"plugin {record.name}", text if record.status == "loaded" else record.status)


def _store(report: Report, url: str | None) -> None:
    from mlcore.errors import MlcoreError
    from mlcore.store import Store, find_store

    choice = find_store(url)
    report.add("store", f"{choice.url} ({choice.reason})")
    try:
        folder = Store(choice.url).open().folder
        began = time.perf_counter()
        _round_trip(folder)
        report.add("store round trip", f"{(time.perf_counter() - began) * 1000:.1f} ms")
    except MlcoreError as error:
        report.add("store round trip", error.what, status="error", hint=error.hint)
        return
    _exclusivity(report, folder, asked=url is not None)
    if folder.local:
        _disk(report, folder.local)


def _exclusivity(report: Report, folder: Folder, *, asked: bool) -> None:
    """Whether several processes may write there; a store that was asked for by name is put to the test."""
    from mlcore.store.race import RECORD, run_race

    subject = "store exclusivity"
    if folder.exclusive == "atomic":
        return report.add(subject, "atomic: any number of processes may write at a time")
    if not asked:
        hint = "name it with --store, and doctor tries whether it can do more"
        return report.add(subject, "single-writer: one process writes at a time", status="warning", hint=hint)
    race = run_race(folder)
    tried = f"{race.racers} raced for {race.rounds} keys"
    if race.fault is None:
        return report.add(subject, f"atomic from now on: {tried}, and each had one winner ({RECORD} records it)")
    text = f"single-writer: {tried}; {race.fault}"
    return report.add(subject, text, status="warning", hint="one process writes to it at a time; a second is refused")


def _round_trip(folder: Folder) -> None:
    """Write, read and remove one key; a store that was not there is not there afterwards."""
    from mlcore.errors import CorruptError, KeyExistsError, StoreError

    new = folder.local is not None and not folder.local.exists()
    key, data = f"doctor-{uuid.uuid4().hex}", b"mlcore doctor"
    folder.put_bytes(key, data)
    try:
        if folder.read_bytes(key) != data:
            raise CorruptError("what was read is not what was written", where=folder.url)
        with suppress(KeyExistsError):
            folder.create(key, b"another content")
            raise StoreError(
                "a key that exists was created again: this server does not honour conditional puts",
                where=folder.url,
                hint="update the server; until then let only one process write to this store at a time",
            )
    finally:
        folder.remove(key)
        if new and folder.local:
            folder.local.rmdir()


def _disk(report: Report, path: Path) -> None:
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    low = free < _LOW
    report.add(
        "disk", f"{free / 1e9:.1f} GB free", status="warning" if low else "ok", hint="free some space" if low else None
    )
