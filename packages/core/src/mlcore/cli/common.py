"""What commands do alike: choose store and plugins, warn, print."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from mlcore.plugins import DISABLE

if TYPE_CHECKING:
    from mlcore.plugins import PluginHost
    from mlcore.runs import RunView
    from mlcore.store import Store


def say(line: str) -> None:
    """Tell a person something, apart from the command's output."""
    typer.echo(line, err=True)


def print_json(value: Any) -> None:  # JSON values, and floats that JSON lacks
    """Print one line of JSON; NaN and infinities become the strings that the journal uses."""
    typer.echo(json.dumps(_finite(value), ensure_ascii=False, default=str))


def _finite(value: Any) -> Any:  # JSON values, and floats that JSON lacks
    from mlcore.journal import number_to_json

    if isinstance(value, float):
        return number_to_json(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def open_store(url: str | None) -> Store:
    """The store that a command uses; it says which."""
    from mlcore.store import Store, find_store

    choice = find_store(url)
    say(f"store {choice.url} ({choice.reason})")
    store = Store(choice.url)
    store.open()
    return store


def open_run(wanted: str, url: str | None) -> RunView:
    """The run that a command is about: at a path, in the store that it lies in, or else in the chosen one."""
    from mlcore.runs import find_run, run_at

    view = run_at(wanted)
    if view is None:
        return find_run(open_store(url), wanted)
    say(f"store {view.store.url} (of the run)")
    view.store.open()
    return view


@contextmanager
def plugins(blocked: Sequence[str] | None) -> Iterator[PluginHost]:
    """The plugins that a command uses; a line for each that is broken."""
    from mlcore.plugins import PluginHost, use_host

    host = PluginHost.from_environment(block=blocked or ())
    host.load()
    for warning in host.warnings:
        say(f"warning: {warning}")
    with use_host(host), _inherited(blocked or ()):
        yield host


@contextmanager
def _inherited(blocked: Sequence[str]) -> Iterator[None]:
    """Leave the plugins out in processes that the command starts, too."""
    before = os.environ.get(DISABLE)
    if blocked:
        os.environ[DISABLE] = ",".join(filter(None, (before, *blocked)))
    try:
        yield
    finally:
        if blocked:
            os.environ.pop(DISABLE)
        if before is not None:
            os.environ[DISABLE] = before


@contextmanager
def chosen_executor(spec: str | None) -> Iterator[None]:
    """What `open_executor()` opens while the command runs; an unknown name is an error now rather than later."""
    if spec is None:
        yield
        return
    from mlcore.execution import use_executor
    from mlcore.plugins import current_host

    current_host().executors.resolve(spec.partition("://")[0])
    with use_executor(spec):
        yield


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    """Aligned columns; those that hold only numbers are aligned to the right."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    right = [bool(rows) and all(_is_number(row[column]) for row in rows) for column in range(len(header))]
    return "\n".join(_line(line, widths, right) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = (cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(cells, widths, right, strict=True))
    return "  ".join(padded).rstrip()


def _is_number(cell: str) -> bool:
    try:
        float(cell or "0")
    except ValueError:
        return False
    return True


def fitted(text: str) -> str:
    """Cut lines off where the terminal ends; all of them in a pipe."""
    if not sys.stdout.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(line if len(line) <= width else f"{line[: width - 1]}…" for line in text.splitlines())


def number(value: float) -> str:
    """Four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def interactive() -> bool:
    """Whether a person looks at standard error, in a terminal that can redraw a line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
