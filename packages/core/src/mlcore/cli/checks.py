"""`mlcore plugins --check`: the conformance suites on what plugins register."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from mlcore.cli.common import print_json

if TYPE_CHECKING:
    from mlcore.plugins import PluginHost, PluginRecord
    from mlcore.testing.plugins import Check

_WIDTHS = (14, 34, 34)


@dataclass
class Outcome:
    """What became of one check; `error` is None when it passed, and says why when it was not run."""

    plugin: str
    subject: str
    check: str
    status: str
    error: str | None = None


def check_plugins(host: PluginHost, records: Sequence[PluginRecord], *, json: bool) -> bool:
    """Check plugins and print each outcome as it becomes known.

    Returns:
        Whether nothing failed.
    """
    outcomes = []
    if not json:
        typer.echo(_line("plugin", "what", "check", "result"))
    for record in records:
        for outcome in _outcomes(host, record):
            outcomes.append(outcome)
            if not json:
                typer.echo(_text(outcome))
    failed = sum(outcome.status == "failed" for outcome in outcomes)
    if json:
        print_json([vars(outcome) for outcome in outcomes])
    else:
        passed, left = (sum(each.status == status for each in outcomes) for status in ("ok", "not checked"))
        typer.echo(f"{passed} passed, {failed} failed, {left} not checked")
    return not failed


def _outcomes(host: PluginHost, record: PluginRecord) -> Iterator[Outcome]:
    from mlcore.testing.plugins import plugin_checks

    if record.status == "blocked":
        yield Outcome(record.name, "plugin", "", "not checked", record.error)
        return
    if record.status == "failed":
        yield Outcome(record.name, "plugin", "loads", "failed", record.error)
        return
    for check in plugin_checks(host, record.name):
        yield _run(record.name, check)


def _run(plugin: str, check: Check) -> Outcome:
    if check.run is None:
        return Outcome(plugin, check.subject, "", "not checked", check.why_not)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what the plugin prints is none of our output
            check()
    except (Exception, SystemExit) as error:  # noqa: BLE001  it is what was asked for
        text = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        return Outcome(plugin, check.subject, check.name, "failed", text)
    return Outcome(plugin, check.subject, check.name, "ok")


def _text(outcome: Outcome) -> str:
    told = f"{outcome.status}: {outcome.error}" if outcome.error else outcome.status
    return _line(outcome.plugin, outcome.subject, outcome.check, told)


def _line(*cells: str) -> str:
    *first, last = cells
    return "  ".join([*(cell.ljust(width) for cell, width in zip(first, _WIDTHS, strict=True)), last])
