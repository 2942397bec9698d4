"""`mlcore ls`, `mlcore show`, and the noun `mlcore runs`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from mlcore.cli import sync, upkeep
from mlcore.cli.common import fitted, number, open_run, open_store, print_json, say, table
from mlcore.cli.guard import guarded
from mlcore.cli.options import JsonOption, RunArgument, StoreOption

if TYPE_CHECKING:
    from mlcore.runs import RunView

app = typer.Typer(help="Look at runs.", no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
Limit = Annotated[
    int | None,
    typer.Option("-n", "--limit", min=1, help="At most so many, the newest first [default: 30; all with --json]."),
]


def ls(store: StoreOption = None, limit: Limit = None, json: JsonOption = False) -> None:
    """List runs, the newest first."""
    from mlcore.runs import list_runs

    place = open_store(store)
    views = list(islice(_readable(list_runs(place)), limit or (None if json else 30)))
    if json:
        print_json([view.summary() for view in views])
    elif views:
        rows = [_row(view) for view in views]
        typer.echo(fitted(table(rows, ("id", "name", "status", "started", "epochs", "metrics"))))
    elif next(list_runs(place), None) is None:
        say("there are no runs yet; start one with: mlcore run FILE")


def _readable(views: Iterable[RunView]) -> Iterator[RunView]:
    """Those that can be read; a line for each other one."""
    from mlcore.errors import MlcoreError

    for view in views:
        try:
            view.summary()
        except MlcoreError as error:
            say(f"warning: {error.where}: {error.what}" if error.where else f"warning: {error.what}")
        else:
            yield view


def _row(view: RunView) -> tuple[str, ...]:
    started = f"{datetime.fromtimestamp(view.header.created):%Y-%m-%d %H:%M}"
    shown = [metric for metric in view.metrics if metric.stream not in ("train",)][:3]
    values = " ".join(
        f"{metric.stream + '.' if metric.stream else ''}{metric.name}={number(metric.last)}" for metric in shown
    )
    return (view.id, view.name, view.status, started, str(view.epochs_done), values)


def show(wanted: RunArgument, store: StoreOption = None, json: JsonOption = False) -> None:
    """Show everything about a run."""
    view = open_run(wanted, store)
    for warning in view.journal.warnings:
        say(f"warning: {warning}")
    print_json(view.details()) if json else typer.echo("\n\n".join(part for part in _parts(view) if part))


def _parts(view: RunView) -> list[str]:
    metrics = [(m.stream or "", m.name, number(m.last), number(m.best)) for m in view.metrics]
    named = [model for model in view.models if model["aliases"]] or view.models[-1:]
    models = [(m["name"], f"v{m['version']}", " ".join(m["aliases"]), m["digest"][:12], m["url"]) for m in named]
    others = len(view.models) - len(named)
    uses = [(use["kind"], str(use["size"]), use["digest"][:12], use["url"]) for use in view.uses]
    checkpoints = [(str(c["step"]), "best" if c["best"] else "", c["url"]) for c in view.checkpoints]
    return [
        _head(view),
        table(metrics, ("stream", "metric", "last", "best")) if metrics else "",
        table(models, ("model", "version", "aliases", "digest", "url")) if models else "",
        f"{others} other versions without an alias: --json has them" if others else "",
        table(uses, ("used", "bytes", "digest", "url")) if uses else "",
        table(checkpoints, ("checkpoint", "", "url")) if checkpoints else "",
        table(_attempts(view), ("attempt", "started", "host", "pid", "from", "overrides")),
        "config\n" + view.effective_config().dump().rstrip(),
    ]


def _head(view: RunView) -> str:
    facts = {
        "id": view.id,
        "name": view.name,
        "status": view.status + (f": {view.reason}" if view.reason else ""),
        "runner": view.header.runner or "python",
        "seed": str(view.header.seed),
        "epochs": str(view.epochs_done),
        "commit": _commit(view),
        "path": view.summary()["path"],
    }
    return "\n".join(f"{name:<8}{value}" for name, value in facts.items())


def _commit(view: RunView) -> str:
    """The code of the newest attempt."""
    git = view.attempts[-1].environment.get("git") if view.attempts else None
    if not git:
        return "unknown: the code was in no git repository"
    changed = f", changed since: attempts/{view.attempts[-1].number}.diff" if git.get("dirty") else ""
    return f"{git.get('commit') or 'none yet'}{changed}"


def _attempts(view: RunView) -> list[tuple[str, ...]]:
    return [
        (
            str(attempt.number),
            f"{datetime.fromtimestamp(attempt.time):%Y-%m-%d %H:%M:%S}",
            attempt.process.host,
            str(attempt.process.pid),
            "" if attempt.resumed_from is None else f"checkpoint {attempt.resumed_from}",
            " ".join(attempt.overrides),
        )
        for attempt in view.attempts
    ]


def path(wanted: RunArgument, store: StoreOption = None, json: JsonOption = False) -> None:
    """Print where a run is stored."""
    summary = open_run(wanted, store).summary()
    print_json({name: summary[name] for name in ("id", "path")}) if json else typer.echo(summary["path"])


def metrics(
    wanted: RunArgument,
    series: Annotated[list[str] | None, typer.Argument(help="For example valid.loss; all by default.")] = None,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Print the points of a run's series as CSV: series, step, time, value."""
    from mlcore.errors import RunError, nearest

    found = open_run(wanted, store).journal.series()
    for name in series or ():
        if name not in found:
            raise RunError(f"the run has no series {name!r}", hint=nearest(name, found))
    chosen = {name: found[name] for name in series or found}
    if json:
        print_json(
            {
                name: {"steps": list(s.steps), "times": list(s.times), "values": list(s.values)}
                for name, s in chosen.items()
            }
        )
        return
    typer.echo("series,step,time,value")
    for name, points in chosen.items():
        for step, time, value in zip(points.steps, points.times, points.values, strict=True):
            typer.echo(f"{name},{step},{time},{value}")


def log(wanted: RunArgument, store: StoreOption = None, json: JsonOption = False) -> None:
    """Print what a script printed while it was run."""
    import shutil

    from mlcore.errors import KeyMissingError, RunError

    view = open_run(wanted, store)
    try:
        file = view.folder.open("files/console.log")
    except KeyMissingError:
        hint = None if view.header.runner == "script" else "only what scripts print is kept"
        raise RunError(f"run {view.name} ({view.id}) has kept nothing that was printed", hint=hint) from None
    with file:
        if json:
            print_json({"id": view.id, "text": file.read().decode(errors="replace")})
            return
        shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.flush()


app.command("ls")(guarded(ls))
app.command("show")(guarded(show))
app.command("path")(guarded(path))
app.command("log")(guarded(log))
app.command("metrics")(guarded(metrics))
app.command("sync")(guarded(sync.sync))
app.command("rm")(guarded(upkeep.rm))
app.command("restore")(guarded(upkeep.restore))
app.command("gc")(guarded(upkeep.gc))
app.command("export")(guarded(upkeep.export))
app.command("compare")(guarded(upkeep.compare))
