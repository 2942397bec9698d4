"""A run killed at any moment, once or several times, ends as if nothing had happened."""

from __future__ import annotations

import random
import time

import pytest
from tests.integration.conftest import DIGITS, KILLS, Desk, each, epochs, small

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
    """Every one in turn: in a checkpoint, a journal, a version and its record, a blob, an attempt, a removal."""
    facts, writes = undisturbed
    assert writes > 15 * LENGTH, "the counter misses writes"
    moments = random.Random(1)
    again = {number: 1 + int(moments.random() * (writes + 1 - number)) for number in range(1, writes + 1, 2)}
    outcomes = []

    def die(number):
        desk = Desk(tmp_path / str(number), zygote)
        store = ["--store", desk.store]
        try:
            assert zygote.run(["run", *small(LENGTH), *store], desk.path, deadly=number).code == -9
            outcomes.append("torn" if desk.torn() else "whole" if desk.runs() else "no run yet")
            if number % 5 == 0 or not desk.runs():
                listed = desk.mlcore("ls", "--json").ok().json
                assert [run["id"] for run in listed] == [path.name for path in desk.runs()]
                assert {run["status"] for run in listed} <= {"lost"} or number > writes - 2
            for run in desk.runs():
                if number in again and zygote.run(["resume", run, *store], desk.path, deadly=again[number]).code == -9:
                    outcomes.append("killed again")
                resume(desk, run)
                assert desk.facts(run) == facts
        except BaseException as error:
            error.add_note(f"killed at write {number}, and in the resume at {again.get(number)}")
            raise

    each(die, range(1, writes + 1))
    assert outcomes.count("no run yet") < 8
    assert outcomes.count("torn") >= 4 * LENGTH, "no kill fell into the writing of a checkpoint"
    assert outcomes.count("killed again") > writes / 4


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
    zygote.run([*argv, "--store", calm.store], calm.path, tell=tmp_path / "writes").ok()
    facts, writes = calm.facts(calm.runs()[0]), int((tmp_path / "writes").read_text())

    def die(part):
        desk = Desk(tmp_path / str(part), zygote)
        assert zygote.run([*argv, "--store", desk.store], desk.path, deadly=int(part * writes)).code == -9
        resume(desk, desk.runs()[0])
        assert desk.facts(desk.runs()[0]) == facts

    each(die, (0.4, 0.6, 0.8, 0.97))


def test_a_run_killed_at_random_moments_ends_the_same(tmp_path):
    """Real processes, over the whole life of the run."""
    argv = ["run", str(DIGITS), epochs(12)]
    calm = Desk(tmp_path / "calm")
    began = time.monotonic()
    calm.mlcore(*argv).ok()
    whole = time.monotonic() - began
    facts = calm.facts(calm.runs()[0])
    assert facts["status"] == "finished"
    moments = random.Random(2)
    plans = [[moments.uniform(0.15, 1.1) * whole for _ in range(moments.choice((1, 1, 1, 2, 3)))] for _ in range(KILLS)]
    outcomes = []

    def die(plan):
        desk = Desk(tmp_path / str(plans.index(plan)))
        desk.killed(*argv, after=plan[0])
        if not desk.runs():
            outcomes.append("before the run was there")
            return
        [run] = desk.runs()
        for moment in plan[1:]:
            desk.killed("resume", run, after=moment)
        done = resume(desk, run)
        begun = "in its course" if "from checkpoint" in done.err else "before a checkpoint"
        outcomes.append("after its end" if done.code else begun)
        try:
            assert desk.facts(run) == facts
        except BaseException as error:
            error.add_note(f"killed after {plan} s of {whole} s")
            raise

    each(die, plans)
    print({outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))})
    assert "in its course" in outcomes


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
