"""Whatever comes in, only a ConfigError comes out."""

from __future__ import annotations

import contextlib
import math
from datetime import date, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from mlcore.config import Config
from mlcore.errors import ConfigError

bounded = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

PIECES = [
    *["a", "b", "c: ", ": ", "- ", "\n", "\n  ", " ", " # c", "{", "}", "[", "]", ",", "&x ", "*x", "<<: *x", "? "],
    *['"q"', "''", '""', "|\n", ">\n", "!!str ", "!!int ", "!!null ", "!!binary ", "! ", "!x ", "~", "1e-3", ".nan"],
    *["2020-01-01", "---\n", "...\n", "%YAML 1.2\n", "\t", "@", "`", "${a}", "${a.k}", "${env:HOME}", "$${", "${"],
    *["\r\n", "\x85", "\u2028", "\ufeff", "password: ", "a: &x {k: 1}\n", "\n# top\n", "f: >\n  t\n\n  u\n"],
]
yaml_like = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
texts = st.one_of(st.text(), yaml_like, yaml_like.map(lambda text: "a: &x\n  k: 1\n" + text))

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(max_size=20), st.dates(), st.datetimes()
)
keys = st.one_of(st.text(max_size=8), st.integers(), st.booleans(), st.none())
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=15
)

SAMPLE = "a: &a {x: 1, y: [1, {z: 2}]}\nb: *a\nc: {<<: *a, d: text}\ne:\n- 1\n"


class Schema(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: dict[str, int] | list[float]
    b: int = 0


def use(config: Config) -> None:
    dump = config.dump()
    stored = Config.parse(dump)
    assert stored.digest == config.digest
    assert set(stored.redacted) >= set(config.secrets)
    assert Config.parse(stored.dump()).digest == config.digest  # the text may settle, the content stays
    for call in (config.resolve, lambda: config.validate(Schema), lambda: config.get("a.b.0")):
        with contextlib.suppress(ConfigError):
            call()


@bounded
@given(texts)
def test_any_text(text):
    with contextlib.suppress(ConfigError):
        use(Config.parse(text))


@bounded
@given(
    st.one_of(
        st.binary(),
        texts.map(lambda text: text.encode("utf-8", "surrogatepass")),
        texts.map(lambda text: text.encode("utf-16", "surrogatepass")),
    )
)
def test_any_file(tmp_path, data):
    path = tmp_path / "c.yaml"
    path.write_bytes(data)
    with contextlib.suppress(ConfigError):
        use(Config.read(path))


paths = st.lists(
    st.sampled_from(["a", "b", "c", "e", "x", "y", "0", "1", "-1", "z", "d", "", "<<", "new"]), max_size=4
).map(".".join)
overrides = st.one_of(st.text(), st.builds("{}={}".format, paths, st.one_of(st.text(), yaml_like)))


@bounded
@given(st.lists(overrides, max_size=4))
def test_any_overrides(given_overrides):
    with contextlib.suppress(ConfigError):
        use(Config.parse(SAMPLE, overrides=given_overrides))


@bounded
@given(st.dictionaries(st.text(max_size=8), trees, max_size=5))
def test_any_data(data):
    try:
        config = Config.of(data)
    except ConfigError as error:
        if "cannot be written" in error.what or "is there twice" in error.what:
            return
        raise
    assert same(config.data, data)
    use(config)
    if not config.secrets:
        assert same(Config.parse(config.dump()).data, data)


def same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    if isinstance(one, dict) and isinstance(other, dict):
        return list(map(repr, one)) == list(map(repr, other)) and all(map(same, one.values(), other.values()))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def test_same_tells_types_apart():
    assert same([1.0, math.nan, date(2020, 1, 1)], [1.0, math.nan, date(2020, 1, 1)])
    assert not same(1, 1.0)
    assert not same(date(2020, 1, 1), datetime(2020, 1, 1))
