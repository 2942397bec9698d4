"""`mlcore plugins`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlcore.cli.common import plugins as loaded
from mlcore.cli.common import print_json, table
from mlcore.cli.guard import FAILURE
from mlcore.cli.options import JsonOption, NoPluginOption
from mlcore.errors import PluginError, nearest

if TYPE_CHECKING:
    from mlcore.plugins import PluginHost, PluginRecord


def plugins(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Only these plugins.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Run the conformance suites on what the plugins register.")
    ] = False,
    no_plugin: NoPluginOption = None,
    json: JsonOption = False,
) -> None:
    """List plugins: what they offer, and what is wrong with the broken ones."""
    with loaded(no_plugin) as host:
        records = _chosen(host.records, names)
        if check:
            _check(host, records, json=json)
            return
    if json:
        print_json([_facts(record) for record in records])
    else:
        typer.echo(table([_row(record) for record in records], ("plugin", "distribution", "status", "ms", "offers")))


def _chosen(records: Sequence[PluginRecord], names: Sequence[str] | None) -> Sequence[PluginRecord]:
    known = {record.name for record in records}
    for name in names or ():
        if name not in known:
            raise PluginError(f"there is no plugin {name!r}", hint=nearest(name, known))
    return [record for record in records if not names or record.name in names]


def _check(host: PluginHost, records: Sequence[PluginRecord], *, json: bool) -> None:
    from mlcore.cli.checks import check_plugins

    if not check_plugins(host, records, json=json):
        raise typer.Exit(FAILURE)


def _facts(record: PluginRecord) -> dict[str, Any]:  # JSON values
    return {
        "name": record.name,
        "distribution": record.distribution,
        "version": record.version,
        "status": record.status,
        "error": record.error,
        "seconds": record.seconds,
        "hooks": list(record.hooks),
        "offers": [{"kind": kind, "name": name} for kind, name in record.offers],
        "warnings": list(record.warnings),
    }


def _row(record: PluginRecord) -> tuple[str, ...]:
    return (
        record.name,
        f"{record.distribution or '-'} {record.version or ''}".strip(),
        record.status,
        f"{record.seconds * 1000:.1f}",
        record.error or ", ".join(_offers(record)),
    )


def _offers(record: PluginRecord) -> list[str]:
    listens = ["listener"] if "mlcore_subscribe" in record.hooks else []
    return [*(f"{kind} {name}" for kind, name in record.offers), *listens]
