"""Whatever is given to the front door, only errors of ours come out."""

from __future__ import annotations

import contextlib
import random
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.commands.small_job import CONFIG, Desk

from mlcore.errors import MlcoreError
from mlcore.runs import plan_job

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "train.yaml"
bounded = settings(
    max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], database=None
)
WORDS = [
    *("seed", "dataset", "model", "hooks", "main_loop", "class", "name", "inputs", "labels", "extra_streams", "runner"),
    *(
        "StopAfter",
        "SaveBest",
        "ComputeStats",
        "epochs",
        "variables",
        "digits.Digits",
        "null",
        "true",
        "no",
        "[]",
        "{}",
    ),
    *(
        "1",
        "-1",
        "1e9",
        "1.5",
        ".nan",
        ".inf",
        "0x1F",
        "2001-01-01",
        "!!set",
        "!!binary",
        "&a",
        "*a",
        "<<",
        "? ",
        "- ",
        ": ",
    ),
    *(
        "${seed}",
        "${env:HOME}",
        "${",
        "$${x}",
        "|",
        ">",
        "%YAML",
        "---",
        "...",
        "\t",
        "#",
        "'",
        '"',
        "\x85",
        "\u2028",
        "é",
        "\ufeff",
    ),
]


def edits(lines, rng):
    """The lines after a few accidents."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(lines)) if lines else 0
        accident = rng.choice(["drop", "twice", "swap", "indent", "word", "character", "cut", "insert"])
        if not lines or accident == "insert":
            lines.insert(at, rng.choice(WORDS) + rng.choice(["", ": ", ":"]) + rng.choice(WORDS))
        elif accident == "drop":
            del lines[at]
        elif accident == "twice":
            lines.insert(at, lines[at])
        elif accident == "swap":
            lines.append(lines.pop(at))
        elif accident == "indent":
            lines[at] = rng.choice(["", " ", "  ", "    "]) + lines[at].lstrip()
        elif accident == "word":
            words = lines[at].split(" ")
            words[rng.randrange(len(words))] = rng.choice(WORDS)
            lines[at] = " ".join(words)
        elif accident == "character" and lines[at]:
            place = rng.randrange(len(lines[at]))
            lines[at] = lines[at][:place] + rng.choice(string.printable + "é\u2028\x00") + lines[at][place + 1 :]
        elif accident == "cut":
            lines[at] = lines[at][: rng.randint(0, len(lines[at]))]
    return lines


def check(path, overrides=()):
    """Plan as `mlcore run` does; nothing but our errors may come out."""
    with contextlib.suppress(MlcoreError):
        job = plan_job(path, overrides)
        list(job.runner.plan(job.config))
        job.config.dump()


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


@pytest.fixture(params=["small", "digits"])
def text(request, desk):
    if request.param == "small":
        return CONFIG
    (desk.path / "digits.py").write_text((DIGITS.parent / "digits.py").read_text())
    return DIGITS.read_text()


@bounded
@given(seed=st.integers(0, 2**32))
def test_a_config_after_any_accidents(desk, text, seed):
    lines = edits(text.splitlines(), random.Random(seed))
    (desk.path / "train.yaml").write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    check("train.yaml")


@bounded
@given(data=st.data())
def test_a_config_with_any_bytes_in_it(desk, text, data):
    sound = text.encode()
    start = data.draw(st.integers(0, len(sound)))
    length = data.draw(st.integers(0, 8))
    junk = data.draw(st.binary(max_size=8))
    (desk.path / "train.yaml").write_bytes(sound[:start] + junk + sound[start + length :])
    check("train.yaml")


paths = st.lists(st.one_of(st.sampled_from([*WORDS, "0", "1", "9", ""]), st.text(max_size=4)), min_size=1, max_size=5)
values = st.one_of(st.sampled_from(WORDS), st.text(max_size=12), st.integers().map(str), st.floats().map(str))


@bounded
@given(
    overrides=st.lists(
        st.builds(lambda path, value: f"{'.'.join(path)}={value}", paths, values), min_size=1, max_size=3
    )
)
def test_any_overrides_of_any_keys(desk, overrides):
    check("train.yaml", overrides)


KEYS = [
    *(
        "seed",
        "name",
        "runner",
        "dataset",
        "dataset.class",
        "model",
        "model.class",
        "model.name",
        "model.rate",
        "model.inputs",
    ),
    *("model.labels", "hooks", "hooks.0", "hooks.0.ComputeStats", "hooks.0.ComputeStats.variables", "hooks.1"),
    *("hooks.2.StopAfter", "hooks.2.StopAfter.epochs", "main_loop", "main_loop.extra_streams", "main_loop.buffer"),
]
SHAPES = st.recursive(
    st.sampled_from(
        [
            "1",
            "-1",
            "x",
            "null",
            "true",
            "1.5",
            "''",
            "parts.Line",
            "parts",
            "os.path.join",
            "StopAfter",
            ".nan",
            "2001-01-01",
        ]
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(st.sampled_from(["a", "1", "class", "StopAfter", "null", "epochs"]), inner, max_size=2).map(
            lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}"
        ),
    ),
    max_leaves=5,
)


@bounded
@given(overrides=st.lists(st.builds("{}={}".format, st.sampled_from(KEYS), SHAPES), min_size=1, max_size=3))
def test_overrides_of_the_wrong_shape(desk, overrides):
    check("train.yaml", overrides)


@bounded
@given(name=st.one_of(st.text(max_size=10), st.text(max_size=10).map("{}.py".format), st.just("x" * 5000)))
def test_any_path(desk, name):
    check(name)
