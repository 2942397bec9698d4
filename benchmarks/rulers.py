"""Runs the project's rulers on this slice: each measures peers and mlcore, by its plug, interleaved in one process."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from table import Row, timed

ROOT = Path(__file__).parent.parent
PLUGS = ROOT / "benchmarks" / "plugs"
BUFFER, BUFFERED = 8, 5000


def measure(folder: Path, rounds: int) -> list[Row]:
    """All rows."""
    rows = main_loop(folder, rounds)
    if installed("torch"):
        rows += [*loops(folder, rounds, "noop"), *loops(folder, rounds, "train")]
    return [*rows, *events(folder)]


def installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def main_loop(folder: Path, rounds: int) -> list[Row]:
    impls = ["mlcore_emloop_compat", *(["emloop"] if installed("emloop") else [])]
    arguments = [part for impl in impls for part in ("--impl", impl)]
    # The ruler's own 200 batches take a millisecond: being put aside once by the system would be all one sees.
    ahead = [f"--buffer={BUFFER}", f"--buffer-batches={BUFFERED}"]
    text = _run(folder / "emloop_loop.py", *arguments, f"--rounds={rounds}", *ahead, "--json")
    cases = json.loads(text)["cases"]
    return [
        _loop_row(cases, "0 hooks", "duties", 2.0, 1.5),
        _loop_row(cases, "5 hooks", "duties+acc", 1.6, 1.4),
        _buffer_row(cases),
    ]


def _loop_row(cases: dict[str, Any], hooks: str, floor: str, must: float, stretch: float) -> Row:
    ours = cases[f"mlcore_emloop_compat {hooks}"]
    beside = f"{floor} {_timed(cases[floor], 'us_per_batch', 'best', 'worst')}"
    if peer := cases.get(f"emloop {hooks}"):
        beside += f"; emloop {_timed(peer, 'us_per_batch', 'best', 'worst')}, {peer['ratio_to_own_floor']:.3g}x"
    text = _timed(ours, "us_per_batch", "best", "worst")
    figure = max(ours["ratio_to_own_floor"], ours["best"] / cases[floor]["best"])
    return Row(f"main loop, {hooks}, a batch (wall clock)", text, beside, figure, must, stretch)


def _buffer_row(cases: dict[str, Any]) -> Row:
    buffered = cases[f"mlcore_emloop_compat buffer={BUFFER}"]["us_per_batch"]
    plain = cases["mlcore_emloop_compat 0 hooks"]["us_per_batch"]
    what = f"main loop, {BUFFER} batches read ahead, a batch (wall clock)"
    return Row(what, f"{buffered:.3g} µs", f"unbuffered {plain:.3g} µs", buffered - plain, 20, None, " µs more")


def loops(folder: Path, rounds: int, work: str) -> list[Row]:
    peers = ",".join(["torch", *(name for name in ("ignite", "lightning", "skorch") if installed(name))])
    rows = _json(
        folder / "loops.py", "--impl", peers, "--plug", f"{PLUGS / 'loops.py'}:make", "--plug-name", "mlcore",
        "--work", work, "--repeats", str(rounds),
    )["rows"]  # fmt: skip
    found = {(row["loop"], row["callbacks"]): row for row in rows}
    return [_step_row(found, work, callbacks) for callbacks in ((0,) if work == "noop" else (0, 3))]


def _step_row(found: dict[tuple[str, int], dict[str, Any]], work: str, callbacks: int) -> Row:
    ours = found["mlcore", callbacks]
    text = _timed(ours, "us_median", "us_min", "us_max")
    others = [(name, row) for (name, count), row in found.items() if count == callbacks and name != "mlcore"]
    beside = "; ".join(_beside(name, row) for name, row in others)
    if work == "noop":
        return Row("loop alone, a batch", text, beside, ours["us_median"], 3, 2, " µs")
    must, stretch = (1.07, 1.05) if callbacks == 0 else (1.2, 1.15)
    figure = max(ours["ratio"], ours["us_min"] / found["torch", 0]["us_min"])
    return Row(f"tiny torch step, {callbacks} listeners, a batch", text, beside, figure, must, stretch)


def _beside(name: str, row: dict[str, Any]) -> str:
    label = "bare loop" if name == "torch" else name
    return f"{label} {_timed(row, 'us_median', 'us_min', 'us_max')}, {row['ratio']:.3g}x"


def events(folder: Path) -> list[Row]:
    plug = f"{PLUGS / 'primitives.py'}:make_bus"
    found = {row["name"]: row for row in _json(folder / "primitives.py", "hooks", "--bus", plug)}
    return [_event_row(found, plug, listeners) for listeners in (0, 1, 5)]


def _event_row(found: dict[str, Any], plug: str, listeners: int) -> Row:
    ours = found[f"{plug}, {listeners} impls"]
    peer = next(row for name, row in found.items() if name.endswith(f"hook.ev(), {listeners} impls"))
    text, beside = (_timed(row, "median", "min", "max", "ns") for row in (ours, peer))
    return Row(f"an event with {listeners} listeners", text, f"pluggy {beside}", ours["median"] / peer["median"])


def _timed(row: dict[str, Any], median: str, low: str, high: str, unit: str = "µs") -> str:
    return timed(row[median], row[low], row[high], unit)


def _json(script: Path, *arguments: str) -> Any:  # what the ruler keeps
    with tempfile.TemporaryDirectory() as name:
        kept = Path(name) / "figures.json"
        _run(script, *arguments, "--json", str(kept))
        return json.loads(kept.read_text())


def _run(script: Path, *arguments: str) -> str:
    command = [sys.executable, str(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise RuntimeError(f"{script.name} failed:\n{done.stderr}")
    return done.stdout
