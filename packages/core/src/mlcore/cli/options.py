"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store", metavar="URL", help="Path or URL of the store [default: MLCORE_STORE, pyproject.toml, .mlcore]."
    ),
]
ExecutorOption = Annotated[
    str | None,
    typer.Option(
        "--executor", metavar="NAME[://ADDRESS]", help="Where independent pieces of work run [default: serial]."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON; its form is documented and kept.")]
NoPluginOption = Annotated[
    list[str] | None, typer.Option("--no-plugin", metavar="NAME", help="Leave a plugin out; may be repeated.")
]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id, unique beginning of it, name, or path of a run.")]
