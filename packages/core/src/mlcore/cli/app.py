"""The commands of `mlcore`, and those that plugins add by the entry point group `mlcore.commands`.

A plugin's command is only a name until it is invoked; then what the entry point names, a `typer.Typer`, is imported.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mlcore.cli import doctor, new, plugins, run, runs
from mlcore.cli.guard import guarded
from mlcore.plugins import Command, command_entry_points


class Commands(TyperGroup):
    """Our commands, then those of plugins."""

    def list_commands(self, ctx: Any) -> list[str]:  # typer's context class moved between versions
        """Names in the order of the help."""
        return [*super().list_commands(ctx), *(name for name in _of_plugins() if name not in self.commands)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # a command of typer
        """The command; a plugin's is a stand-in in the help, so that listing imports nothing."""
        found = super().get_command(ctx, cmd_name)
        plugin = None if found else _of_plugins().get(cmd_name)
        if plugin is None:
            return found
        return _placeholder(plugin) if _only_listing() else _imported(plugin)


@cache
def _of_plugins() -> dict[str, Command]:
    """Read once: a help text asks for each command by its name."""
    return command_entry_points()


def _only_listing() -> bool:
    return len(sys.argv) < 2 or sys.argv[1] in ("--help", "-h")


def _imported(plugin: Command) -> Any:  # a command of typer
    application = guarded(plugin.load)()
    command = typer.main.get_command(application)
    command.name = plugin.name
    return command


def _placeholder(plugin: Command) -> Any:  # a command of typer
    owner = plugin.points[0].dist
    application = typer.Typer()
    application.command(plugin.name, help=f"From {owner.name if owner else 'a plugin'}.")(lambda: None)
    return typer.main.get_command(application)


app = typer.Typer(
    name="mlcore",
    cls=Commands,
    help="Train, track and use models, from one config file.",
    epilog="Start with: mlcore run FILE. Documentation: docs/ in the source tree.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    # Without rich the help is plain text, and costs half of a bare typer script's.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mlcore {version('mlcore-core')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Train, track and use models, from one config file."""


app.command("run", cls=run.RunCommand)(guarded(run.run))
app.command("resume", short_help="Go on with a run from its newest checkpoint.")(guarded(run.resume))
app.command("ls")(guarded(runs.ls))
app.command("show")(guarded(runs.show))
app.add_typer(runs.app, name="runs")
app.add_typer(new.app, name="new")
app.command("plugins", short_help="List plugins and what they offer.")(guarded(plugins.plugins))
app.command("doctor")(guarded(doctor.doctor))


def main() -> None:
    """Run the command line."""
    app(prog_name="mlcore")
