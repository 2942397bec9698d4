"""A run killed at any moment, once or several times, ends as if nothing had happened."""

from __future__ import annotations

import random
import time

import pytest
from tests.integration.conftest import DIGITS, KILLS, Desk, each, epochs, small

RANDOM = random.Random(20261120)
LENGTH = 3


def resume(desk, run, **options):
    """Resume a run from its folder alone, and hold what is said against what lies there."""
    torn = desk.torn()
    done = desk.mlcore("resume", run, **options)
    if "is finished" in done.err:  # it was killed after its last word
        assert done.code == 2
        return done
    newest = max(
        (int(path.name) for path in run.glob("checkpoints/[0-9]*") if (path / "manifest.json").exists()), default=0
    )
    for step in torn:
        told = f"checkpoint {step} was passed over" in done.err
        assert told or step < newest, f"nothing was said of the torn checkpoint {step}:\n{done.err}"
    return done.ok()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, zygote):
    """What the short job comes to, and how often it changes the store."""
    folder = tmp_path_factory.mktemp("undisturbed")
    desk = Desk(folder / "desk", zygote)
    argv = ["run", *small(LENGTH), "--store", desk.store]
    zygote.run(argv, desk.path, tell=folder / "writes").ok()
    facts = desk.facts(desk.runs()[0])
    assert facts["status"] == "finished"
    assert [number for number, _ in facts["epochs"]] == [*range(1, LENGTH + 1)]
    return facts, int((folder / "writes").read_text())


def test_a_run_killed_at_any_change_of_the_store_ends_the_same(tmp_path, zygote, undisturbed):
    facts, writes = undisturbed
    assert writes > 15 * LENGTH, "the counter misses writes"
    moments = {number: RANDOM.random() for number in range(1, writes + 1)}
    counts = {"nothing to resume": 0, "torn": 0, "killed again": 0}

    def die(number):
        try:
            desk = Desk(tmp_path / str(number), zygote)
            store = ["--store", desk.store]
            assert zygote.run(["run", *small(LENGTH), *store], desk.path, deadly=number).code == -9
            listed = desk.mlcore("ls", "--json").ok().json
            assert [run["id"] for run in listed] == [path.name for path in desk.runs()]
            if not desk.runs():
                counts["nothing to resume"] += 1
                return
            assert [run["status"] for run in listed] == ["lost"] or number > writes - 2
            counts["torn"] += bool(desk.torn())
            [run] = desk.runs()
            if number % 2:  # and again on the way
                again = zygote.run(
                    ["resume", run.name, *store], desk.path, deadly=1 + int(moments[number] * (writes + 1 - number))
                )
                counts["killed again"] += again.code == -9
            resume(desk, run)
            assert desk.facts(run) == facts
        except BaseException as error:
            error.add_note(f"killed at write {number}")
            raise

    each(die, moments)
    assert counts["nothing to resume"] < 8
    assert counts["torn"] >= 4 * LENGTH, "no kill fell into the writing of a checkpoint"
    assert counts["killed again"] > writes / 4


@pytest.mark.parametrize(
    "changes",
    [
        ["model.random_state=null", "--seed", "3"],
        ["main_loop.fixed_epoch_size=4"],
        ["main_loop.buffer=3"],
        ["main_loop.fixed_epoch_size=4", "main_loop.buffer=3"],
    ],
    ids=" ".join,
)
def test_what_is_drawn_and_read_goes_on_where_it_was(changes, tmp_path, zygote):
    argv = ["run", *small(LENGTH), *changes]
    calm = Desk(tmp_path / "calm", zygote)
    calm.mlcore(*argv).ok()
    facts = calm.facts(calm.runs()[0])
    for number in (30, 47, 63):
        desk = Desk(tmp_path / str(number), zygote)
        assert zygote.run([*argv, "--store", desk.store], desk.path, deadly=number).code == -9
        resume(desk, desk.runs()[0])
        assert desk.facts(desk.runs()[0]) == facts


def test_a_run_killed_at_random_moments_ends_the_same(tmp_path):
    """Real processes, over the whole life of the run."""
    argv = ["run", str(DIGITS), epochs(12)]
    calm = Desk(tmp_path / "calm")
    began = time.monotonic()
    calm.mlcore(*argv).ok()
    whole = time.monotonic() - began
    facts = calm.facts(calm.runs()[0])
    assert facts["status"] == "finished"
    plans = [[RANDOM.uniform(0.15, 1.1) * whole for _ in range(RANDOM.choice((1, 1, 1, 2, 3)))] for _ in range(KILLS)]
    outcomes = []

    def die(number):
        desk, (first, *more) = Desk(tmp_path / str(number)), plans[number]
        desk.killed(*argv, after=first)
        if not desk.runs():
            outcomes.append("before the run was there")
            return
        [run] = desk.runs()
        for moment in more:
            desk.killed("resume", run, after=moment)
        reached = len(list(run.glob("attempts/*.json")))
        done = resume(desk, run)
        outcomes.append(
            "after its end"
            if done.code
            else "in its course"
            if "from checkpoint" in done.err
            else "before a checkpoint"
        )
        try:
            assert desk.facts(run) == facts
        except BaseException as error:
            error.add_note(f"killed after {plans[number]} s of {whole} s, in {reached} attempts")
            raise

    each(die, range(KILLS))
    print({outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))})
    assert outcomes.count("in its course") >= KILLS // 4, outcomes


def test_a_run_killed_before_its_first_checkpoint_begins_at_the_beginning(quick, undisturbed):
    facts, _ = undisturbed
    store = ["--store", quick.store]
    assert quick.zygote.run(["run", *small(LENGTH), *store], quick.path, deadly=16).code == -9
    [run] = quick.runs()
    assert not list(run.glob("checkpoints/*/manifest.json"))
    done = resume(quick, run)
    assert "attempt 2, from the beginning: there is no complete checkpoint" in done.err
    assert quick.facts(run) == facts


def test_a_damaged_checkpoint_is_passed_over_and_told(quick, undisturbed):
    facts, writes = undisturbed
    assert quick.zygote.run(["run", *small(LENGTH), "--store", quick.store], quick.path, deadly=writes - 1).code == -9
    [run] = quick.runs()
    state = run / "checkpoints" / str(LENGTH) / "state.json"
    state.write_bytes(state.read_bytes().replace(b"1", b"2", 1))
    done = quick.mlcore("resume", run).ok()
    assert f"checkpoint {LENGTH} was passed over: state.json: its content has the digest" in done.err
    assert f"from checkpoint {LENGTH - 1})" in done.err
    assert quick.facts(run) == facts
