"""`mlcore new`: packages to begin with, which install and pass their tests."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlcore.cli.common import print_json
from mlcore.cli.guard import guarded
from mlcore.cli.options import JsonOption

if TYPE_CHECKING:
    from mlcore.cli.scaffold import Package

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
    json: JsonOption = False,
) -> None:
    """Write a plugin: an installable package that works, to be changed into yours."""
    from mlcore.cli.scaffold import named, write

    package = named(name, "plugin", _DESCRIPTIONS[kind])
    folder = write(package, ("plugin", f"plugin-{kind.value}"), directory)
    steps = f"pip install -e '.[test]' && pytest && mlcore plugins --check {package.module}"
    _tell(package, kind.value, folder, steps, json=json)


def project(name: Name, directory: Directory = None, json: JsonOption = False) -> None:
    """Write a project: a config that trains at once, its dataset and their tests."""
    from mlcore.cli.scaffold import named, write

    package = named(name, "project", "Trainings by mlcore")
    folder = write(package, ("project",), directory)
    _tell(package, "project", folder, "mlcore run train.yaml", json=json)


def _tell(package: Package, kind: str, folder: Path, steps: str, *, json: bool) -> None:
    if json:
        print_json({"name": package.name, "module": package.module, "kind": kind, "path": str(folder.resolve())})
        return
    typer.echo(f"{kind} {package.name} is in {folder}")
    typer.echo(f"next: cd {shlex.quote(str(folder))} && {steps}")


app.command("plugin")(guarded(plugin))
app.command("project")(guarded(project))
