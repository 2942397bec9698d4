"""From exceptions to exit codes: 2 for the user's mistake, 1 for an error in the user's code, 130 for Ctrl+C."""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import typer

from mlcore.errors import MlcoreError

P = ParamSpec("P")
R = TypeVar("R")

MISTAKE, FAILURE, INTERRUPTED = 2, 1, 130


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Let a command end with a clear message and an exit code, never with a traceback of ours."""

    @functools.wraps(command)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except MlcoreError as error:
            sys.stdout.flush()
            typer.echo(f"error: {error}" + "".join(f"\n  note: {note}" for note in _notes(error)), err=True)
            raise typer.Exit(MISTAKE) from None
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if _of_typer(error):
                raise
            sys.stdout.flush()
            typer.echo(user_traceback(error), err=True, nl=False)
            raise typer.Exit(FAILURE) from None

    return call


def _notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", ()))


def _of_typer(error: Exception) -> bool:
    """Whether it is typer's way to end a command."""
    return type(error).__module__.partition(".")[0] in ("typer", "click")


def user_traceback(error: BaseException) -> str:
    """The traceback without frames of mlcore: what is left is the user's code, and libraries that it called."""
    trimmed = traceback.TracebackException.from_exception(error)
    each: Any = trimmed  # a TracebackException, or None at the end of the chain
    while each is not None:
        kept = [frame for frame in each.stack if not _ours(frame.filename)]
        if kept:
            each.stack = traceback.StackSummary.from_list(kept)
        each = each.__cause__ or each.__context__
    return "".join(trimmed.format())


@functools.cache
def _ours(filename: str) -> bool:
    """Whether a file belongs to a package of ours, or only calls into the user's code."""
    path = Path(filename)
    packages = (part for part in path.parts if part == "mlcore" or part.startswith("mlcore_"))
    installed = any(part in ("site-packages", "src") for part in path.parts)
    return (installed and next(packages, None) is not None) or filename.startswith("<frozen")
