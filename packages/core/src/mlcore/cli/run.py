"""`mlcore run` and `mlcore resume`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from mlcore.cli.common import chosen_executor, number, open_run, open_store, plugins, print_json, say, table
from mlcore.cli.options import ExecutorOption, JsonOption, NoPluginOption, RunArgument, StoreOption

if TYPE_CHECKING:
    from mlcore.runs import Job, Run, RunView

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes of the config; values as YAML.")
]


# What `--compat` without names stands for.
_EVERY = "*"


class RunCommand(TyperCommand):
    """Keeps apart what stands after `--`, which belongs to the script, and lets `--compat` stand alone."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # typer's context class moved between versions
        """Take the script's arguments away, for `run` to find in `ctx.obj`."""
        own, after = (args[: args.index("--")], args[args.index("--") + 1 :]) if "--" in args else (args, [])
        ctx.obj = after
        return super().parse_args(ctx, [f"--compat={_EVERY}" if word == "--compat" else word for word in own])


def run(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A config (YAML or JSON), a folder with a config.yaml, or a script (train.py -- ARGS…).",
        ),
    ],
    overrides: Overrides = None,
    store: StoreOption = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the run.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, max=2**32 - 1, help="Of everything random.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the effective config and what would be built; touch nothing.")
    ] = False,
    executor: ExecutorOption = None,
    compat: Annotated[
        str | None,
        typer.Option(
            "--compat",
            metavar="[=NAME,…]",
            help="Let our packages stand in for the projects that a program was written for; for all without names.",
        ),
    ] = None,
    no_plugin: NoPluginOption = None,
    json: JsonOption = False,
) -> None:
    """Run what a config file describes, or a Python script."""
    from mlcore.runs import plan_job, start_job

    arguments: list[str] = ctx.obj
    if file.suffix != ".py":  # as everywhere, -- may also stand before the rest of a command
        overrides, arguments = [*(overrides or ()), *arguments], []
    with plugins(no_plugin) as host, chosen_executor(executor):
        names = host.standins if compat == _EVERY else [name for name in (compat or "").split(",") if name]
        job = plan_job(file, overrides or (), arguments=arguments, compat=names)
        if dry_run:
            _show_plan(job, json=json)
            return
        _warn_of_secrets(job)
        _execute(job, start_job(job, store=open_store(store), name=name, seed=seed), json=json)


def resume(
    wanted: RunArgument,
    overrides: Overrides = None,
    store: StoreOption = None,
    takeover: Annotated[
        bool, typer.Option("--takeover", help="Take the run over from a process that seems alive.")
    ] = False,
    executor: ExecutorOption = None,
    no_plugin: NoPluginOption = None,
    json: JsonOption = False,
) -> None:
    """Go on with a run that was stopped, killed or lost, from its newest checkpoint."""
    from mlcore.runs import resume_job

    with plugins(no_plugin), chosen_executor(executor):
        view = open_run(wanted, store)
        job, resumed = resume_job(view, overrides or (), takeover=takeover, say=say)
        _execute(job, resumed, json=json)


def _execute(job: Job, run: Run, *, json: bool) -> None:
    from mlcore.cli.progress import shown
    from mlcore.runs import RunView, execute_job

    _announce(run)
    try:
        with shown(run):
            code = execute_job(job, run).exit_code
    except SystemExit as ending:
        code = _exit_code(ending)
    except BaseException as error:
        if json:
            print_json(RunView(run.store, run.folder).summary())
        error.add_note(f"the run is kept; go on with: mlcore resume {run.id}")
        raise
    view = RunView(run.store, run.folder)
    print_json(view.summary()) if json else typer.echo(_closing(view))
    if code:
        raise typer.Exit(code)


def _exit_code(ending: SystemExit) -> int:
    if ending.code is None or isinstance(ending.code, int):
        return ending.code or 0
    say(ending.code)
    return 1


def _announce(run: Run) -> None:
    how = f"attempt {run.attempt.number}" if run.attempt.number > 1 else f"seed {run.seed}"
    since = f", from checkpoint {run.attempt.resumed_from}" if run.attempt.resumed_from is not None else ""
    if run.attempt.number > 1 and not since:
        since = ", from the beginning: there is no complete checkpoint"
    say(f"run {run.id} {run.name} ({run.header.runner}, {how}{since})")


def _closing(view: RunView) -> str:
    """A short table, and the next command to type."""
    rows = [(metric.stream or "", metric.name, number(metric.last), number(metric.best)) for metric in view.metrics]
    lines = [table(rows, ("stream", "metric", "last", "best"))] if rows else []
    lines.append(f"{view.status}" + (f": {view.reason}" if view.reason else ""))
    lines += [
        f"model {model['name']} v{model['version']} {' '.join('@' + a for a in model['aliases'])}"
        for model in _aliased(view)
    ]
    lines.append(f"next: mlcore {'show' if view.status == 'finished' else 'resume'} {view.id}")
    return "\n".join(lines)


def _aliased(view: RunView) -> list[dict[str, Any]]:  # JSON values
    """The newest version under each alias, once."""
    newest = {alias: model for model in view.models for alias in model["aliases"]}
    merged: dict[tuple[str, int], dict[str, Any]] = {}
    for alias, model in newest.items():
        entry = merged.setdefault((model["name"], model["version"]), {**model, "aliases": []})
        entry["aliases"].append(alias)
    return list(merged.values())


def _show_plan(job: Job, *, json: bool) -> None:
    plan = list(job.runner.plan(job.config))
    if json:
        print_json({"runner": job.runner_name, "config": job.config.data, "plan": plan})
        return
    typer.echo(job.config.dump().rstrip())
    typer.echo(f"\nrunner   {job.runner_name}")
    typer.echo("\n".join(plan))
    say("dry run: nothing was created")


def _warn_of_secrets(job: Job) -> None:
    for key in job.config.secrets:
        say(f"warning: {key} looks like a secret and is not stored; a resume will ask for it (or write ${{env:NAME}})")
