from __future__ import annotations

import pytest

from mlcore.config import Config
from mlcore.errors import ConfigError

TEXT = """\
common: &common
  bs: 2
  opts: &opts {x: 1, y: 2}
dataset:
  <<: *common
  name: digits
  sizes: [1, &two 2, 3]
model:
  bs: *two
  opts: *opts
  empty:
  1: one
"""


def override(*overrides: str) -> Config:
    return Config.parse(TEXT, name="t.yaml", overrides=overrides)


def fail(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        override(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("", None),
        ("[1, {a: b}]", [1, {"a": b"".decode() or "b"}]),
        ("{a: 1}", {"a": 1}),
        ("'1'", "1"),
        ("a=b", "a=b"),
        ("1  # comment", 1),
        ("true", True),
        ("\na: 1\nb:\n- c", {"a": 1, "b": ["c"]}),
        ("[&a 1, *a]", [1, 1]),
        ("http://host/x", "http://host/x"),
    ],
)
def test_values_are_yaml(text, value):
    config = override(f"dataset.name={text}")
    assert config.data["dataset"]["name"] == value
    assert Config.parse(config.dump()).data == config.data


def test_a_list_item_and_a_key_that_is_a_number():
    config = override("dataset.sizes.2=30", "model.1=uno")
    assert config.data["dataset"]["sizes"] == [1, 2, 30]
    assert config.data["model"][1] == "uno"
    assert config.position("dataset.sizes.2") == "override 'dataset.sizes.2=30'"


def test_a_new_leaf_is_set_and_known_by_its_override():
    config = override("model.alpha=0.5", "new=1")
    assert config.data["model"]["alpha"] == 0.5
    assert config.position("model.alpha") == "override 'model.alpha=0.5'"
    assert config.position("model.bs") == "t.yaml:9:3"
    assert config.overrides == ("model.alpha=0.5", "new=1")


def test_a_later_override_wins_and_may_go_into_an_earlier_one():
    config = override("model.opts={z: 1}", "model.opts.z=2", "model.opts.w=3")
    assert config.data["model"]["opts"] == {"z": 2, "w": 3}
    assert config.data["common"]["opts"] == {"x": 1, "y": 2}


def test_an_anchored_value_changes_wherever_it_is_used():
    config = override("common.bs=3", "dataset.sizes.1=20", "common.opts.x=9")
    assert config.data["dataset"]["bs"] == 3
    assert config.data["model"] == {"bs": 20, "opts": {"x": 9, "y": 2}, "empty": None, 1: "one"}
    assert config.position("dataset.bs") == "override 'common.bs=3'"


def test_an_anchored_mapping_replaced_as_a_whole_changes_at_its_aliases_and_merges():
    config = override("common={bs: 7}")
    assert config.data["dataset"]["bs"] == 7
    assert "opts" not in config.data["dataset"]
    assert config.data["model"]["opts"] == {"x": 1, "y": 2}  # its anchor went; the first use holds the value now
    assert Config.parse(config.dump()).data == config.data


def test_a_use_that_has_the_key_itself_keeps_it():
    config = Config.parse(TEXT, overrides=["dataset.bs=4", "common.bs=3"])
    assert config.data["common"]["bs"] == 3
    assert config.data["dataset"]["bs"] == 4


def test_setting_a_merged_key_or_an_alias_changes_that_place_only():
    config = override("dataset.bs=4", "model.bs=5", "model.opts=6")
    assert config.data["common"] == {"bs": 2, "opts": {"x": 1, "y": 2}}
    assert config.data["dataset"]["sizes"] == [1, 2, 3]
    assert (config.data["dataset"]["bs"], config.data["model"]["bs"], config.data["model"]["opts"]) == (4, 5, 6)
    assert config.position("dataset.bs") == "override 'dataset.bs=4'"
    assert config.position("common.bs") == "t.yaml:2:3"


def test_a_path_through_an_alias_or_a_merge_changes_the_shared_value():
    config = override("model.opts.x=5", "dataset.opts.y=6")
    assert config.data["common"]["opts"] == {"x": 5, "y": 6}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "foo",
            "override 'foo': there is no `=` in it\n  hint: write it as key.path=VALUE, for example model.alpha=0.01",
        ),
        ("=1", "override '=1': a part of its key path is empty\n  hint: write it as key.path=VALUE"),
        ("a..b=1", "override 'a..b=1': a part of its key path is empty"),
        ("comon.x=1", "override 'comon.x=1': the config has no key 'comon'\n  hint: did you mean 'common'?"),
        ("model.opt.x.y=1", "'model' has no key 'opt'\n  hint: did you mean 'opts'?"),
        ("dataset.sizes.3=1", "'dataset.sizes' has 3 items, and no index 3\n  hint: use an index from 0 to 2"),
        ("dataset.sizes.-1=1", "'dataset.sizes' is a list, and '-1' is no index"),
        ("dataset.sizes.x.y=1", "'dataset.sizes' is a list, and 'x' is no index"),
        (
            "dataset.name.x=1",
            "'dataset.name' is a single value, so nothing can be set below it\n  hint: it stands at t.yaml:6:9",
        ),
        ("model.empty.x=1", "'model.empty' is empty, so nothing can be set below it"),
        ("common.bs=[1", "override 'common.bs=[1': this is not valid YAML: while parsing a flow sequence"),
        ("common.bs=*x", "override 'common.bs=*x': no anchor &x stands before this alias"),
        ("common.bs=!!python/x 1", "the tag '!!python/x' is not accepted"),
        ("common=5", "t.yaml:5:3: only mappings can be merged by `<<`"),
        ("common.bs=" + "[" * 70 + "]" * 70, "nested deeper than 64 levels"),
        ("common.bs=1\n---\n2", "a second document starts here"),
    ],
)
def test_bad_overrides(text, message):
    assert message in fail(text)


def test_an_override_of_an_empty_list():
    with pytest.raises(ConfigError, match="'a' has 0 items, and no index 0") as caught:
        Config.of({"a": []}, ["a.0=1"])
    assert caught.value.hint == "the list is empty; override it as a whole"


def test_overrides_that_blow_up_aliases_or_nest_without_end_are_errors():
    big = "[" + ", ".join(["1"] * 2000) + "]"
    with pytest.raises(ConfigError, match="more than 100,000 values"):
        Config.parse(f"a: &a 1\nb: [{', '.join(['*a'] * 100)}]", overrides=[f"a={big}"])
    path = "a" + ".0" * 40
    with pytest.raises(ConfigError, match="nested deeper than 64 levels"):
        Config.of({"a": 1}, ["a=" + "[" * 40 + "1" + "]" * 40, f"{path}=" + "[" * 40 + "]" * 40])


def test_a_secret_in_an_override_is_not_shown():
    config = Config.of({"db": {"password": "x"}}, ["db.password=hunter2", "url=postgres://me:hunter2@h/x"])
    assert config.overrides == ("db.password=…", "url=…")
    assert config.position("db.password") == "override 'db.password=…'"
    for text in ("db={password: hunter2", 'db={"api_key": hunter2', "token=[hunter2"):
        with pytest.raises(ConfigError) as caught:
            Config.of({"db": 1}, [text])
        assert "hunter2" not in str(caught.value)


def test_comments_stay_around_an_override():
    text = "a:\n  x: 1  # the x\n\n# ---- next ----\nb: 2  # the b\n"
    config = Config.parse(text, overrides=["a.x=5", "a.y=6", "b=3"])
    assert config.dump() == "a:\n  x: 5  # the x\n  y: 6\n\n# ---- next ----\nb: 3  # the b\n"
