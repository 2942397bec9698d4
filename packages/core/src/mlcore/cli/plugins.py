"""`mlcore plugins`."""

from __future__ import annotations

import typer

from mlcore.cli.common import plugins as loaded
from mlcore.cli.common import print_json, table
from mlcore.cli.options import JsonOption, NoPluginOption


def plugins(no_plugin: NoPluginOption = None, json: JsonOption = False) -> None:
    """List plugins: what they offer, and what is wrong with the broken ones."""
    with loaded(no_plugin) as host:
        facts = [
            {
                "name": record.name,
                "distribution": record.distribution,
                "version": record.version,
                "status": record.status,
                "error": record.error,
                "seconds": record.seconds,
                "hooks": list(record.hooks),
                "offers": [f"{kind} {name}" for kind, name in record.offers],
                "warnings": list(record.warnings),
            }
            for record in host.records
        ]
    if json:
        print_json(facts)
        return
    rows = [
        (
            str(fact["name"]),
            f"{fact['distribution'] or '-'} {fact['version'] or ''}".strip(),
            str(fact["status"]),
            f"{fact['seconds'] * 1000:.1f}",  # type: ignore[operator]  # a float, as put in above
            str(fact["error"] or ", ".join(fact["offers"])),  # type: ignore[arg-type]  # a list, as put in above
        )
        for fact in facts
    ]
    typer.echo(table(rows, ("plugin", "distribution", "status", "ms", "offers")))
