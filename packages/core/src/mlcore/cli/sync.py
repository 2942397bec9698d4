"""`mlcore runs sync`: what killed processes left on this machine goes to the stores of their runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from mlcore.cli.common import print_json, say
from mlcore.cli.options import JsonOption, StoreOption

if TYPE_CHECKING:
    from mlcore.journal import Shipment


def sync(store: StoreOption = None, json: JsonOption = False) -> None:
    """Ship journals of remote stores that killed processes left on this machine; those of all stores by default."""
    from mlcore.journal import ship_spools

    shipments = []
    for shipment in ship_spools(store):
        shipments.append(shipment)
        if not json:
            typer.echo(_told(shipment))
    if json:
        print_json([_record(shipment) for shipment in shipments])
    elif not shipments:
        say("nothing waits on this machine")


def _told(shipment: Shipment) -> str:
    name = f"{shipment.run} attempt {shipment.writer}"
    match shipment.state:
        case "shipped":
            return f"{name}: shipped {shipment.segments} segment{'' if shipment.segments == 1 else 's'}"
        case "alive":
            return f"{name}: its process still runs, and ships itself"
        case "gone":
            return f"{name}: the store has no such run any more; left as it is: {shipment.path}"


def _record(shipment: Shipment) -> dict[str, str | int]:
    facts = {"run": shipment.run, "writer": shipment.writer, "state": shipment.state}
    return {**facts, "segments": shipment.segments, "path": str(shipment.path)}
