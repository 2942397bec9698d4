"""What starting costs: `import mlcore`, and `mlcore --help` beside a bare typer script."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from table import Row, spread

BARE = """
import typer

app = typer.Typer()


@app.command()
def one(name: str, count: int = 1) -> None:
    "Do one thing."


@app.command()
def two(name: str, quiet: bool = False) -> None:
    "Do another thing."


app()
"""
PLUGIN = """
from mlcore.hookspecs import hookimpl


@hookimpl
def mlcore_register_runners(register):
    register("{name}", "{name}_never_imported:Runner")
"""
DUMMIES = 30
HEAVY = ("numpy", "fsspec", "pydantic", "ruamel.yaml", "sklearn", "torch")
MLCORE = "import sys; sys.argv[0] = 'mlcore'; from mlcore.cli import main; main()"
FIND_HEAVY = f"import sys, mlcore; print(*[name for name in {HEAVY!r} if name in sys.modules])"


def measure(rounds: int) -> list[Row]:
    """All rows."""
    return [import_row(rounds), *help_rows(rounds)]


def import_row(rounds: int) -> Row:
    commands = {"empty": [sys.executable, "-c", "pass"], "import": [sys.executable, "-c", "import mlcore"]}
    times = interleaved(commands, rounds)
    own = [ours - empty for ours, empty in zip(times["import"], times["empty"], strict=True)]
    heavy = _output([sys.executable, "-c", FIND_HEAVY], {}).split()
    beside = f"Python itself {spread(times['empty'], 'ms')}; imports {', '.join(heavy) or 'none'} of {', '.join(HEAVY)}"
    return Row("`import mlcore`", spread(own, "ms"), beside, statistics.median(own), 60, 30, " ms")


def help_rows(rounds: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        bare, plugins = Path(name) / "bare.py", Path(name) / "plugins"
        bare.write_text(BARE)
        _write_plugins(plugins)
        mlcore = [sys.executable, "-c", MLCORE, "--help"]
        commands = {"bare": [sys.executable, str(bare), "--help"], "ours": mlcore, "many": mlcore}
        many = {"PYTHONPATH": str(plugins)}
        seen = _output([sys.executable, "-c", MLCORE, "plugins", "--json"], many).count('"mlcore_dummy_')
        if seen < DUMMIES:
            raise RuntimeError(f"only {seen} of the {DUMMIES} plugins are seen: nothing would be measured")
        times = interleaved(commands, rounds, {"many": many})
    beside = f"a bare typer script of two commands {spread(times['bare'], 'ms')}"
    more = f"the same with {DUMMIES} more plugins"
    return [
        Row("`mlcore --help`", spread(times["ours"], "ms"), beside, ratio(times["ours"], times["bare"]), 1.6, 1.3),
        Row(more, spread(times["many"], "ms"), beside, ratio(times["many"], times["bare"]), 1.6, 1.3),
    ]


def _write_plugins(folder: Path) -> None:
    """Installed distributions as a package manager leaves them, each with one plugin."""
    for number in range(DUMMIES):
        name = f"mlcore_dummy_{number:02}"
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[mlcore.plugins]\n{name} = {name}\n")
        (folder / f"{name}.py").write_text(PLUGIN.format(name=name))


def interleaved(
    commands: Mapping[str, Sequence[str]], rounds: int, environments: Mapping[str, Mapping[str, str]] | None = None
) -> dict[str, list[float]]:
    """CPU milliseconds of each command, by turns; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, command in commands.items():
            times[name].append(_cpu(command, (environments or {}).get(name, {})))
    return {name: values[1:] for name, values in times.items()}


def _cpu(command: Sequence[str], environment: Mapping[str, str]) -> float:
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}: {command}")
    return (usage.ru_utime + usage.ru_stime) * 1e3


def _output(command: Sequence[str], environment: Mapping[str, str]) -> str:
    environment = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def ratio(ours: Sequence[float], floor: Sequence[float]) -> float:
    """Median of the ratios of each round."""
    return statistics.median(mine / theirs for mine, theirs in zip(ours, floor, strict=True))
