"""`mlcore plugins`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from mlcore.cli.common import plugins as loaded
from mlcore.cli.common import print_json, table
from mlcore.cli.options import JsonOption, NoPluginOption

if TYPE_CHECKING:
    from mlcore.plugins import PluginRecord


def plugins(no_plugin: NoPluginOption = None, json: JsonOption = False) -> None:
    """List plugins: what they offer, and what is wrong with the broken ones."""
    with loaded(no_plugin) as host:
        records = host.records
    if json:
        print_json([_facts(record) for record in records])
    else:
        typer.echo(table([_row(record) for record in records], ("plugin", "distribution", "status", "ms", "offers")))


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
        record.error or ", ".join(f"{kind} {name}" for kind, name in record.offers),
    )
