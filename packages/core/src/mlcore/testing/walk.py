"""A program that walks at random: what the runner `script` is checked with, and what a resumable script looks like."""

from __future__ import annotations

from mlcore.runs import current_run
from mlcore.testing.samples import RunnerSample

STEPS = 6


def main() -> None:
    """Walk, from where the run was left."""
    run = current_run()
    if run is None:
        raise SystemExit("run me by `mlcore run`")
    restored = run.restore()
    step, place = restored.state if restored else (0, 0.0)
    if restored:
        restored.generators()
    while step < STEPS and not run.stopping:
        step, place = step + 1, place + float(run.rng("walk").normal())
        run.log(step=step, place=place)
        run.checkpoint((step, place), step=step)


def runner_samples() -> list[RunnerSample]:
    """What `mlcore plugins --check` checks the runner `script` with."""
    return [RunnerSample({"script": __file__})]


if __name__ == "__main__":
    main()
