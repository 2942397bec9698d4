"""`mlcore runs rm|restore|gc|export|compare`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlcore.cli.common import number, open_run, open_store, print_json, say, table
from mlcore.cli.options import JsonOption, RunArgument, StoreOption

Runs = Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids, unique beginnings of them, names, or paths.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def rm(wanted: Runs, store: StoreOption = None, yes: Yes = False, json: JsonOption = False) -> None:
    """Move runs to the trash of their store; `mlcore runs restore` brings them back. Their models stay."""
    from mlcore.runs import find_run
    from mlcore.runs.trash import discard

    place = open_store(store)
    views = [find_run(place, name) for name in wanted]
    if not yes and len(views) > 1:
        typer.confirm(f"move {len(views)} runs to the trash?", abort=True, err=True)
    for view in views:
        discard(view)
        if not json:
            typer.echo(f"run {view.id} {view.name} is in the trash; back: mlcore runs restore {view.id}")
    if json:
        print_json([{"id": view.id, "name": view.name} for view in views])


def restore(
    wanted: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run in the trash.")],
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Bring a run back from the trash."""
    from mlcore.runs.trash import restore as bring_back

    view = bring_back(open_store(store), wanted)
    print_json(view.summary()) if json else typer.echo(f"run {view.id} {view.name} is back")


def gc(
    store: StoreOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    days: Annotated[float, typer.Option("--days", min=0, help="Leave what is younger.")] = 7.0,
    json: JsonOption = False,
) -> None:
    """Empty the trash, and remove contents that nothing refers to any more."""
    from mlcore.runs.collect import collect

    found = collect(open_store(store), grace=days * 24 * 3600, dry_run=dry_run)
    if json:
        print_json({"runs": list(found.runs), "blobs": list(found.blobs), "size": found.size, "dry_run": dry_run})
        return
    verb = "would be removed" if dry_run else "removed"
    typer.echo(f"{len(found.runs)} runs of the trash and {len(found.blobs)} blobs ({found.size / 1e6:.1f} MB) {verb}")


def export(
    wanted: RunArgument,
    to: Annotated[str, typer.Option("--to", metavar="URL", help="A store: an empty folder, or one with other runs.")],
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Copy a run and the models that it made into another store."""
    from mlcore.runs.export import export_run
    from mlcore.store import Store

    target = Store(to)
    target.open()
    view = export_run(open_run(wanted, store), target)
    if json:
        print_json(view.summary())
    else:
        typer.echo(f"run {view.id} {view.name} is in {target.url}; look: mlcore show {view.id} --store {to}")


def compare(wanted: Runs, store: StoreOption = None, json: JsonOption = False) -> None:
    """Put runs side by side: what differs in their configs, and the last value of each series."""
    from mlcore.runs import find_run
    from mlcore.runs.compare import compare as side_by_side

    place = open_store(store)
    found = side_by_side([find_run(place, name) for name in wanted])
    if json:
        parts = {"config": found.config, "metrics": found.metrics}
        rows = {
            part: [{"key": row.key, "values": list(row.values)} for row in listed] for part, listed in parts.items()
        }
        print_json({"runs": [run.summary() for run in found.runs], **rows})
        return
    header = ("", *(run.name if len({r.name for r in found.runs}) == len(found.runs) else run.id for run in found.runs))
    if not found.config:
        say("the configs are equal")
    lines = [(row.key, *("" if value is None else str(value) for value in row.values)) for row in found.config]
    lines += [(row.key, *("" if value is None else number(value) for value in row.values)) for row in found.metrics]
    typer.echo(table(lines, header))
