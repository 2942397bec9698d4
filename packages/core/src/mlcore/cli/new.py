"""`mlcore new`: packages to begin with, which install and pass their tests."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mlcore.cli.guard import guarded

app = typer.Typer(
    help="Write the package of a new plugin or project.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Kind(StrEnum):
    """What a plugin can bring; each is a folder of templates."""

    backend = "backend"
    runner = "runner"
    executor = "executor"
    listener = "listener"


_DESCRIPTIONS = {
    Kind.backend: "A backend for mlcore",
    Kind.runner: "A runner for mlcore",
    Kind.executor: "An executor for mlcore",
    Kind.listener: "A listener for mlcore",
}
Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the package; letters, digits, - and _.")]
Directory = Annotated[
    Path | None, typer.Option("--directory", metavar="DIR", help="The folder to write [default: NAME].")
]


def plugin(
    name: Name,
    kind: Annotated[Kind, typer.Option("--kind", help="What the plugin brings.")],
    directory: Directory = None,
) -> None:
    """Write a plugin: an installable package that works, to be changed into yours."""
    from mlcore.cli.scaffold import named, write

    package = named(name, "plugin", _DESCRIPTIONS[kind])
    folder = write(package, ("plugin", f"plugin-{kind.value}"), directory)
    typer.echo(f"plugin {package.name} ({kind.value}) is in {folder}")
    typer.echo(f"next: cd {folder} && pip install -e '.[test]' && pytest && mlcore plugins --check {package.module}")


def project(name: Name, directory: Directory = None) -> None:
    """Write a project: a config that trains at once, its dataset and their tests."""
    from mlcore.cli.scaffold import named, write

    package = named(name, "project", "Trainings by mlcore")
    folder = write(package, ("project",), directory)
    typer.echo(f"project {package.name} is in {folder}")
    typer.echo(f"next: cd {folder} && mlcore run train.yaml")


app.command("plugin")(guarded(plugin))
app.command("project")(guarded(project))
