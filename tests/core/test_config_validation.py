from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, RootModel, field_validator, model_validator

from mlcore.config import Config
from mlcore.errors import ConfigError


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SaveBest(Strict):
    type: Literal["SaveBest"]
    metric: str = "loss"


class StopAfter(Strict):
    type: Literal["StopAfter"]
    epochs: int


class Net(Strict):
    class_: str = Field(alias="class")
    alpha: float = 1.0
    api_key: int | None = None


class Named(RootModel[dict[str, Net]]):
    pass


class Schema(Strict):
    model: Net
    name: str = "x"
    hooks: list[Annotated[SaveBest | StopAfter, Field(discriminator="type")]] = []
    nets: dict[str, Net] = {}
    named: Named | None = None
    pair: tuple[Net, ...] = ()
    either: SaveBest | Net | None = None
    rate: float = Field(default=0.1, validation_alias=AliasChoices("rate", "lr"))

    @field_validator("name")
    @classmethod
    def check(cls, value: str) -> str:
        if value.startswith("bad"):
            raise ValueError(f"{value!r} is a bad name")
        return value


def fail(text: str, *overrides: str, schema: type[BaseModel] = Schema) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        Config.parse(text, name="t.yaml", overrides=overrides).validate(schema)
    return caught.value


def test_a_valid_config_becomes_the_schema():
    config = Config.parse("model: {class: '${name}', alpha: 1e-2}\nname: n\nhooks:\n- {type: StopAfter, epochs: 3}\n")
    got = config.validate(Schema)
    assert (got.model.class_, got.model.alpha) == ("n", 0.01)
    assert got.hooks == [StopAfter(type="StopAfter", epochs=3)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "model:\n  class: a\n  alhpa: 3",
            "t.yaml:3:3: model.alhpa: there is no such key (found 3)\n  hint: did you mean 'alpha'?",
        ),
        (
            "model:\n  class: a\n  alpha: 'x'",
            "t.yaml:3:3: model.alpha: Input should be a valid number, unable to parse string as a number (found 'x')",
        ),
        ("model:\n  alpha: 1", "t.yaml:1:1: model.class: this key is required, and missing"),
        ("\nname: x", "t.yaml:2:1: model: this key is required, and missing"),
        ("model: [1]", "t.yaml:1:1: model: Input should be a valid dictionary or instance of Net (found a list)"),
        ("model: {class: a}\nname: bad", "t.yaml:2:1: name: 'bad' is a bad name (found 'bad')"),
        (
            "model: {class: a}\nhooks:\n- type: SaveBest\n  metrc: x",
            "t.yaml:4:3: hooks.0.metrc: there is no such key (found 'x')\n  hint: did you mean 'metric'?",
        ),
        (
            "model: {class: a}\nhooks:\n- type: StopAfter",
            "t.yaml:3:3: hooks.0.epochs: this key is required, and missing",
        ),
        (
            "model: {class: a}\nhooks:\n- type: Stop",
            "t.yaml:3:3: hooks.0.type: this is none of 'SaveBest', 'StopAfter' (found 'Stop')",
        ),
        (
            "model: {class: a}\nhooks:\n- epochs: 3",
            "t.yaml:3:3: hooks.0: Unable to extract tag using discriminator 'type'",
        ),
        (
            "model: {class: a}\nnets:\n  n: {clas: b, class: c}",
            "t.yaml:3:7: nets.n.clas: there is no such key (found 'b')\n  hint: did you mean 'class'?",
        ),
        (
            "model: {class: a}\nnamed:\n  n: {class: b, alpa: 1}",
            "t.yaml:3:17: named.n.alpa: there is no such key (found 1)\n  hint: did you mean 'alpha'?",
        ),
        (
            "model: {class: a}\npair:\n- {class: b, alpa: 1}",
            "t.yaml:3:14: pair.0.alpa: there is no such key (found 1)\n  hint: did you mean 'alpha'?",
        ),
        (
            "model: {class: a}\nhoks: []",
            "t.yaml:2:1: hoks: there is no such key (found a list)\n  hint: did you mean 'hooks'?",
        ),
        ("model: {class: a}\nlr: x", "t.yaml:2:1: lr: Input should be a valid number"),
    ],
)
def test_one_problem_stands_at_its_place(text, message):
    assert str(fail(text)).startswith(message)


def test_many_problems_are_one_error():
    error = fail("model:\n  class: 3\n  alpha: x\nnam: y\n", "model.beta=1")
    assert error.where == "t.yaml"
    assert error.what == (
        "4 problems\n"
        "  t.yaml:2:3: model.class: Input should be a valid string (found 3)\n"
        "  t.yaml:3:3: model.alpha: Input should be a valid number, unable to parse string as a number (found 'x')\n"
        "  override 'model.beta=1': model.beta: there is no such key (found 1); valid names: alpha, api_key, class\n"
        "  t.yaml:4:1: nam: there is no such key (found 'y'); did you mean 'name'?"
    )


def test_members_of_a_union_do_not_confuse_positions():
    error = fail("model: {class: a}\neither:\n  type: SaveBest\n  metric: 3\n")
    assert "t.yaml:4:3: either.metric: Input should be a valid string (found 3)" in error.what
    assert (
        "t.yaml:3:3: either.type: there is no such key (found 'SaveBest'); valid names: alpha, api_key, class"
        in error.what
    )
    assert "t.yaml:2:1: either.class: this key is required, and missing" in error.what


def test_a_key_of_a_schema_that_allows_more_is_kept():
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        model: Any = None

    got = Config.parse("model: ${extra}\nextra: &x 1\nother: *x\n").validate(Open)
    assert got.model_extra == {"extra": 1, "other": 1}


@pytest.mark.parametrize(
    "text",
    [
        "common: &common {class: a}\nmodel: *common",
        "common: &common {class: a}\nmodel: {<<: *common, alpha: 3}",
        "anchors: [&a a, &one {class: &b b}]\nmodel: {class: *a}\nnets: {x: *one}",
        "vars: {name: a}\nmodel: {class: 'x${vars.name}'}",
        "vars: {net: {class: a}}\nmodel: ${vars.net}",
        "base: &base {class: a}\ncommon: &common {<<: *base, alpha: 1}\nmodel: *common",
    ],
)
def test_unknown_top_level_keys_that_hold_what_is_used_are_left_out(text):
    config = Config.parse(text)
    assert config.validate(Schema).model.class_
    assert len(config.resolve()) >= 2


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("common: &common {class: a}\nmodel: {class: a}", "common"),
        ("common: {x: &x a, y: 1}\nmodel: {class: *x}", "common"),
        ("common: [&x a, *x]\nmodel: {class: a}", "common"),
        ("vars: {a: 1, b: 2}\nmodel: {class: 'x${vars.a}'}", "vars"),
        ("common: {}\nmodel: {class: a}", "common"),
    ],
)
def test_unknown_top_level_keys_that_hold_more_are_errors(text, key):
    assert str(fail(text)).startswith(f"t.yaml:1:1: {key}: there is no such key")


def test_secrets_are_not_shown(monkeypatch):
    monkeypatch.setenv("MY_NAME", "bad-hunter2")
    text = "model:\n  class: a\n  api_key: hunter2\nname: ${env:MY_NAME}\nrate: postgres://me:hunter2@h/x\n"
    error = fail(text)
    assert "hunter2" not in str(error)
    assert "model.api_key: Input should be a valid integer" in str(error)
    assert "(found a secret, not shown)" in str(error)
    assert "t.yaml:4:1: name: '…' is a bad name (found '${env:MY_NAME}')" in str(error)


def test_a_validator_of_the_whole_does_not_show_secrets_either():
    class Whole(BaseModel):
        db: dict[str, str]

        @model_validator(mode="after")
        def check(self) -> Whole:
            raise ValueError(f"cannot connect with {self.db}")

    error = fail("db: {password: hunter2, other: x}", schema=Whole)
    assert str(error) == "t.yaml:1:1: cannot connect with {'password': '…', 'other': 'x'}"


def test_long_values_are_cut():
    assert "(found 'bad" + "x" * 56 + "…)" in str(fail(f"model: {{class: a}}\nname: bad{'x' * 500}")).replace(
        "'bad" + "x" * 497 + "' is", ""
    )


def test_an_error_of_the_schemas_own_code_is_not_ours():
    class Broken(BaseModel):
        a: int

        @field_validator("a")
        @classmethod
        def check(cls, value: int) -> int:
            raise RuntimeError("their bug")

    with pytest.raises(RuntimeError, match="their bug"):
        Config.of({"a": 1}).validate(Broken)


def test_an_invalid_reference_in_validation():
    assert str(fail("model: {class: '${nam}'}\nname: x")).startswith(
        "t.yaml:1:9: model.class: ${nam}: the config has no key 'nam'"
    )
