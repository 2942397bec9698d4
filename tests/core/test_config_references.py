from __future__ import annotations

import pytest

from mlcore.config import Config, fill_environment
from mlcore.errors import ConfigError


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("MY_HOST", "db.example")
    monkeypatch.setenv("MY_PORT", "0123")
    monkeypatch.delenv("MY_NOTHING", raising=False)


def resolve(text: str) -> dict[str, object]:
    return Config.parse(text, name="t.yaml").resolve()


def fail(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(text)
    return str(caught.value)


def test_environment_values_are_text():
    assert resolve("a: ${env:MY_PORT}\nb: http://${env:MY_HOST}:${env:MY_PORT}/x\n") == {
        "a": "0123",
        "b": "http://db.example:0123/x",
    }


def test_defaults():
    assert resolve(
        "a: ${env:MY_NOTHING:7}\nb: x${env:MY_NOTHING:}\nc: '${env:MY_HOST:no}'\nd: '${env:MY_NOTHING:a:b}'"
    ) == {
        "a": "7",
        "b": "x",
        "c": "db.example",
        "d": "a:b",
    }


def test_a_whole_reference_keeps_the_type_and_is_a_copy():
    data = resolve("x: {y: [1, {z: 2.5}]}\na: ${x.y.1.z}\nb: ${x}\nc: ${x.y}\n")
    assert data["a"] == 2.5
    assert data["b"] == data["x"]
    data["c"].append(3)
    assert data["x"] == {"y": [1, {"z": 2.5}]}


def test_an_embedded_reference_is_written_out():
    text = "f: 1e-3\nt: true\nn: null\nd: 2020-01-01\ni: 3\ns: x\na: '${f} ${t} ${n} ${d} ${i} ${s}'\n"
    assert resolve(text)["a"] == "0.001 true null 2020-01-01 3 x"


def test_references_lead_through_references():
    text = "a: ${b.c}\nb: ${d}\nd: {c: '${e}'}\ne: '${f}!'\nf: 1\n0: {k: zero}\ng: ${0.k}\n"
    data = resolve(text)
    assert (data["a"], data["g"]) == ("1!", "zero")


def test_an_escape_is_not_read_twice():
    assert resolve("a: '$${x}'\nb: ${a}\nc: '${a} $5 $$'\nd: {e: '$${x}'}\nf: ${d}\ng: ${f.e}\n") == {
        "a": "${x}",
        "b": "${x}",
        "c": "${x} $5 $$",
        "d": {"e": "${x}"},
        "f": {"e": "${x}"},
        "g": "${x}",
    }


def test_data_and_dump_keep_references():
    config = Config.parse("a: ${env:MY_HOST}\nb: '${a}!'\n")
    assert config.data == {"a": "${env:MY_HOST}", "b": "${a}!"}
    assert config.dump() == "a: ${env:MY_HOST}\nb: '${a}!'\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a:\n  b: ${env:MY_HOSTT}",
            "t.yaml:2:3: a.b: the environment variable 'MY_HOSTT' is not set\n  hint: did you mean 'MY_HOST'?",
        ),
        ("a: ${env:MY_NOTHING_AT_ALL_LIKE_IT}", "or write a default: ${env:MY_NOTHING_AT_ALL_LIKE_IT:default}"),
        ("a: '${env:}'", "the environment variable '' is not set"),
        (
            "model: 1\na: [x, '${modle.b}']",
            "t.yaml:2:8: a.1: ${modle.b}: the config has no key 'modle'\n  hint: did you mean 'model'?",
        ),
        ("x: {bs: 1}\na: ${x.b}", "${x.b}: 'x' has no key 'b'\n  hint: did you mean 'bs'?"),
        ("x: [1]\na: ${x.3}", "${x.3}: 'x' is a list of 1 items, and has no '3'"),
        ("x: 1\na: ${x.y}", "${x.y}: 'x' is a single value, and has no 'y'"),
        ("a: ${}", "${} names nothing\n  hint: write ${env:NAME} or ${key.path}; a plain ${ is written $${"),
        ("a: ${b..c}", "${b..c} names nothing"),
        ("a: 'x ${b'", "a reference `${` is not closed"),
        ("b: 1\na: '${${b}}'", "a reference `${` is not closed, or holds another one"),
        ("x: [1]\na: 'is ${x}'", "${x} is a list, which cannot stand within text"),
        ("x: {y: 1}\na: 'is ${x}'", "${x} is a mapping, which cannot stand within text"),
        ("a: ${a}", "t.yaml:1:1: a: this refers to itself: a -> a"),
        ("a: ${b.c}\nb: {c: '${d}'}\nd: x${a}", "this refers to itself: a -> b.c -> d -> a"),
        ("a: {b: '${a}'}", "this refers to itself: a -> a.b -> a"),
    ],
)
def test_bad_references(text, message):
    assert message in fail(text)


def test_a_chain_of_references_without_end_is_an_error():
    text = "\n".join(f"a{n}: ${{a{n + 1}}}" for n in range(5000)) + "\na5000: 1"
    assert "this is a chain of too many references" in fail(text)


def test_bombs_of_references_are_errors():
    lists = "a0: [1, 1]\n" + "\n".join(
        f"a{n}: ['${{a{n - 1}}}', '${{a{n - 1}}}', '${{a{n - 1}}}']" for n in range(1, 30)
    )
    assert "with its references replaced this is more than 100,000 values" in fail(lists)
    text = "a0: xxxxxxxx\n" + "\n".join(f"a{n}: '${{a{n - 1}}}${{a{n - 1}}}'" for n in range(1, 60))
    assert "or 10,000,000 characters" in fail(text)
    deep = "a0: 1\n" + "\n".join(f"a{n}: {'[' * 30}'${{a{n - 1}}}'{']' * 30}" for n in range(1, 5))
    assert "with its references replaced this is nested deeper than 64 levels" in fail(deep)


def test_what_is_stored_keeps_the_environment_out(monkeypatch):
    monkeypatch.setenv("SECRET", "hush")
    config = Config.of({"a": "${env:SECRET}", "b": ["${a}", "x-${env:SECRET}"], "c": "${d}", "d": 1, "e": "$${env:X}"})
    stored = config.resolve(environment=False)
    assert stored == {"a": "${env:SECRET}", "b": ["${env:SECRET}", "x-${env:SECRET}"], "c": 1, "d": 1, "e": "${env:X}"}
    del stored["e"]
    assert fill_environment(stored) == {"a": "hush", "b": ["hush", "x-hush"], "c": 1, "d": 1}


def test_a_stored_reference_to_a_variable_that_is_gone_says_so():
    with pytest.raises(ConfigError, match="the environment variable 'GONE_AWAY' is not set"):
        fill_environment({"key": "${env:GONE_AWAY}"})
    assert fill_environment("${not.a.key}") == "${not.a.key}"
