"""From exceptions to exit codes: 2 for the user's mistake, 1 for an error in the user's code, 130 for Ctrl+C."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

from mlcore.errors import MlcoreError

P = ParamSpec("P")
R = TypeVar("R")

MISTAKE, FAILURE, INTERRUPTED = 2, 1, 130
# Shows the whole traceback of any error, for those who look for a mistake of mlcore.
VARIABLE = "MLCORE_TRACEBACK"


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Let a command end with a clear message and an exit code, never with a traceback of ours."""

    @functools.wraps(command)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt as error:
            _tell("\n".join(["interrupted", *_notes(error)]))
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if _is_typers(error):
                raise
            _tell(_message(error))
            raise typer.Exit(MISTAKE if isinstance(error, MlcoreError) else FAILURE) from None

    return call


def _tell(text: str) -> None:
    sys.stdout.flush()
    typer.echo(text.rstrip("\n"), err=True)


def _is_typers(error: Exception) -> bool:
    """Whether it is typer's way to end a command, or what typer ends quietly: `head` has seen enough of our output."""
    return type(error).__module__.partition(".")[0] in ("typer", "click") or _is_closed_output(error)


def _is_closed_output(error: Exception) -> bool:
    from mlcore.cli import tracebacks

    return isinstance(error, BrokenPipeError) and tracebacks.last_user_frame(error) is None


def _message(error: Exception) -> str:
    from mlcore.cli import tracebacks  # with its imports, needed by errors only

    if os.environ.get(VARIABLE):
        return tracebacks.whole(error)
    if isinstance(error, MlcoreError):
        return _lines(f"error: {error}", at=tracebacks.last_user_frame(error), notes=_notes(error))
    return tracebacks.trimmed(error) or _lines(
        f"error: {type(error).__name__}: {error}",
        at=tracebacks.last_frame(error),
        hint=f"if what you gave is right, this is a mistake of mlcore: {VARIABLE}=1 shows more",
        notes=_notes(error),
    )


def _lines(what: str, *, at: str | None, hint: str | None = None, notes: list[str]) -> str:
    more = [f"  at: {at}"] * bool(at) + [f"  hint: {hint}"] * bool(hint) + [f"  note: {note}" for note in notes]
    return "\n".join([what, *more])


def _notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", ()))
