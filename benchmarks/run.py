"""Measure the budgets of this repository and print one table: ours, what is beside it, and whether each budget is met.

    python benchmarks/run.py                                   what needs nothing but this repository
    python benchmarks/run.py --rulers FOLDER                   the project's rulers as well, beside the peers installed
    python benchmarks/run.py --rulers FOLDER --write docs/benchmarks.md

The rulers are not part of the repository. The exit code is 1 when a budget is not met.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import metadata
from pathlib import Path

import builtin
import rulers
import startup
from table import Row, machine, markdown, page

PEERS = ("numpy", "torch", "pytorch-ignite", "lightning", "skorch", "emloop", "pluggy", "typer")


def main() -> int:
    arguments = _parse()
    rows: list[Row] = []
    if arguments.rulers:
        rows += rulers.measure(arguments.rulers, arguments.rounds)
    rows += builtin.measure(arguments.rounds) + startup.measure(arguments.rounds)
    print(f"{machine()}; {_versions()}\n\n{markdown(rows)}")
    if arguments.write:
        arguments.write.write_text(page(rows, f"Versions: {_versions()}.", arguments.note), encoding="utf-8")
    return int(any(row.met == "NO" for row in rows))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = os.environ.get("MLCORE_RULERS")
    where = Path(known) if known else None
    parser.add_argument("--rulers", type=Path, default=where, help="folder of the rulers (or MLCORE_RULERS)")
    parser.add_argument("--rounds", type=int, default=9, help="how often each thing is measured")
    parser.add_argument("--write", type=Path, metavar="FILE", help="store the table as a page")
    parser.add_argument("--note", default="", help="a paragraph to store below the table")
    arguments = parser.parse_args()
    if arguments.rulers and not (arguments.rulers / "emloop_loop.py").is_file():
        parser.error(f"there are no rulers in {arguments.rulers}")
    return arguments


def _versions() -> str:
    found = [f"{name} {metadata.version(name)}" for name in PEERS if _installed(name)]
    return ", ".join(found)


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
