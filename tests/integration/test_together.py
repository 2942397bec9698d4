"""Many processes at one store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.conftest import KILLS, PATIENCE, Desk, small

from mlcore.store import Store
from mlcore.versions import Models

ROUNDS = 1000 if KILLS >= 50 else 200


def test_eight_processes_run_jobs_in_one_store(desk, tmp_path, zygote):
    calm = Desk(tmp_path / "calm", zygote)
    calm.mlcore("run", *small(2)).ok()
    facts = calm.facts(calm.runs()[0])
    # Half of them share a model's name, half have one of their own; none waits for the store to be made.
    started = [
        desk.start(
            "run", *small(2), "--name", f"run {number}", *([f"model.name=m{number}"] if number % 2 else []), "--json"
        )
        for number in range(8)
    ]
    done = [desk.wait(process).ok() for process in started]
    desk.zygote = zygote
    listed = desk.mlcore("ls", "--json").ok().json
    assert sorted(run["name"] for run in listed) == [f"run {number}" for number in range(8)]
    assert [run["id"] for run in listed] == sorted((run["id"] for run in listed), reverse=True)
    assert {run["status"] for run in listed} == {"finished"}
    assert {run["id"]: run for run in listed} == {each.json["id"]: each.json for each in done}
    numbers = {}
    for run in listed:
        found = desk.facts(run["id"])
        made = found.pop("models")
        assert found == {name: value for name, value in facts.items() if name != "models"}
        assert [model["digest"] for model in made] == [model["digest"] for model in facts["models"]]
        for model in made:
            numbers.setdefault(model["name"], []).append(model["version"])
    assert sorted(numbers) == ["digits", "m1", "m3", "m5", "m7"]
    assert sorted(numbers.pop("digits")) == [*range(1, 9)]
    assert all(versions == [1, 2] for versions in numbers.values())


@pytest.fixture(scope="module")
def raced(tmp_path_factory):
    store = tmp_path_factory.mktemp("race") / "store"
    program = [sys.executable, str(Path(__file__).parent / "model_race.py"), str(store), str(ROUNDS)]
    subprocess.run(program, check=True, timeout=PATIENCE)
    return Models(Store(store)), [json.loads((store / f"{name}.json").read_text()) for name in ("one", "two")]


def test_of_two_who_create_a_model_at_once_one_wins_and_nothing_is_left_of_the_other(raced):
    models, (one, two) = raced
    winners = [(first[0], second[0]) for first, second in zip(one, two, strict=True)]
    assert set(winners) <= {(True, False), (False, True)}
    assert len(set(winners)) == 2, "they did not race"
    assert sorted(record.name for record in models.all()) == sorted(f"m{number}" for number in range(ROUNDS))
    folders = [path for path in (models.store / "models").local.iterdir() if path.name != "by-name"]
    assert len(folders) == ROUNDS


def test_of_two_who_add_a_version_at_once_each_gets_a_number_of_its_own(raced):
    models, told = raced
    for number, (first, second) in enumerate(zip(*told, strict=True)):
        assert {first[1], second[1]} == {1, 2}
        record = models.find(f"m{number}")
        assert record.version == 2
        assert record.aliases == {"one": first[1], "two": second[1]}
        for name in ("one", "two"):
            version = models.resolve(f"model:m{number}@{name}")
            [entry] = version.manifest.files.values()
            assert models.store.blobs.read(entry.sha256) == f"{name} {number}".encode()
        assert record.edit == 3, "an edit was lost, or made twice"
    assert {first[1] for first in told[0]} == {1, 2}, "they did not race"
