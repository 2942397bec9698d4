"""For `test_together.py`: two processes make the same models and the same versions at the same time.

Run as `model_race.py STORE ROUNDS`; writes `<name>.json`, a list of [made the model, number of its version] a round.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from pathlib import Path

from mlcore.errors import KeyExistsError
from mlcore.store import Store
from mlcore.versions import Models


class Note:
    """The least that is a model: a text."""

    input_names = target_names = output_names = ()

    def __init__(self, text):
        self.text = text

    def run(self, batch, *, train):
        return {}

    def save(self, directory, *, training=False):
        (directory / "text").write_text(self.text)

    @classmethod
    def load(cls, directory):
        return cls((directory / "text").read_text())


def race(url, rounds, barrier, name):
    models, told = Models(Store(url)), []
    for number in range(rounds):
        barrier.wait(timeout=120)
        try:
            models.create(f"m{number}")
            made = True
        except KeyExistsError:
            made = False
        barrier.wait(timeout=120)
        told.append([made, models.save(Note(f"{name} {number}"), f"m{number}", aliases=(name,)).number])
    Path(url, f"{name}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    Store(sys.argv[1]).prepare()
    racers = [
        context.Process(target=race, args=(sys.argv[1], int(sys.argv[2]), barrier, name)) for name in ("one", "two")
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    os._exit(max(racer.exitcode or 0 for racer in racers))
