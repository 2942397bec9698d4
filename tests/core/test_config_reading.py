from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from mlcore.config import Config
from mlcore.errors import ConfigError


def fail(text: str, *overrides: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        Config.parse(text, name="t.yaml", overrides=overrides)
    assert "\n" not in caught.value.what
    return caught.value


def test_reads_a_file_and_gives_fresh_copies(tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text("model:\n  alpha: 0.1\n  sizes: [1, 2]\n")
    config = Config.read(path)
    config.data["model"]["sizes"].append(3)
    assert config.data == {"model": {"alpha": 0.1, "sizes": [1, 2]}}
    assert config.position("model.sizes") == f"{path}:3:3"
    assert repr(config) == f"Config({str(path)!r})"


def test_reads_json_with_positions(tmp_path):
    data = {"a": {"b": [1, 2.5, None, True, "x/y", "😀"]}, "big": 10**30}
    path = tmp_path / "c.json"
    path.write_text(json.dumps(data, indent="\t").replace("x/y", "x\\/y"))
    assert Config.read(path).data == data
    assert Config.read(str(path)).position(["a", "b"]) == f"{path}:3:3"


def test_reads_the_config_of_a_folder(tmp_path):
    (tmp_path / "config.yaml").write_text("a: 1")
    config = Config.read(tmp_path)
    assert config.data == {"a": 1}
    assert config.name == str(tmp_path / "config.yaml")


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb:\r\n  c: x\r\n")
    config = Config.read(path)
    assert config.data == {"a": 1, "b": {"c": "x"}}
    assert config.position("b.c") == f"{path}:3:3"
    assert Config.parse("\ufeffa: 1").data == {"a": 1}


def test_a_missing_file_names_its_neighbours(tmp_path):
    (tmp_path / "train.yaml").write_text("a: 1")
    with pytest.raises(ConfigError, match="there is no such config file") as caught:
        Config.read(tmp_path / "tran.yaml")
    assert caught.value.hint == "the folder has: train.yaml"
    with pytest.raises(ConfigError, match="there is no such config file"):
        Config.read(tmp_path / "no" / "tran.yaml")


def test_a_folder_without_config(tmp_path):
    with pytest.raises(ConfigError, match=r"this is a folder without a config\.yaml"):
        Config.read(tmp_path)


def test_unreadable_paths(tmp_path):
    (tmp_path / "file").write_text("a: 1")
    with pytest.raises(ConfigError, match="cannot be read: Not a directory"):
        Config.read(tmp_path / "file" / "c.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        Config.read("a\0b")


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(b"a: 1\nbc: \xff\n")
    with pytest.raises(ConfigError, match="this is not UTF-8 text: byte 0xff") as caught:
        Config.read(path)
    assert caught.value.where == f"{path}:2:5"
    path.write_bytes("a: 1".encode("utf-16"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        Config.read(path)


def test_a_huge_file_is_refused(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(b"#" * 10_000_001)
    with pytest.raises(ConfigError, match="more than 10,000,000 bytes"):
        Config.read(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        ("", None),
        ("~", None),
        ("yes", "yes"),
        ("010", 10),
        ("0x1F", 31),
        ("1_000", 1000),
        (".inf", float("inf")),
        ("1:30", "1:30"),
        ("=", "="),
        ("<<", "<<"),
        ("2020-01-02", date(2020, 1, 2)),
        ("2020-01-02 03:04:05.000006", datetime(2020, 1, 2, 3, 4, 5, 6)),
        ("2020-01-02T03:04:05Z", datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("!!binary aGVsbG8=", b"hello"),
        ("!!str 5", "5"),
        ("! 5", "5"),
        ("!!float 5", 5.0),
        ('"\\ud83d\\ude00"', "😀"),
        (">\n  a\n  b\n\n  c\n", "a b\nc\n"),
        ("!!seq [1]", [1]),
        ("[*x, *x]", [7, 7]),
    ],
)
def test_values(text, value):
    config = Config.parse(f"x: &x 7\na: {text}")
    assert config.data["a"] == value
    assert type(config.data["a"]) is type(value)
    assert Config.parse(config.dump()).data == config.data


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "t.yaml", "the config is empty"),
        ("# only a comment\n", "t.yaml", "the config is empty"),
        ("- 1", "t.yaml:1:1", "a mapping of keys was expected, and this is a list"),
        ("\n 5", "t.yaml:2:2", "a mapping of keys was expected, and this is a single value"),
        ("a: [1", "t.yaml:1:6", "this is not valid YAML: while parsing a flow sequence, expected ',' or ']'"),
        ("a: b: c", "t.yaml:1:5", "this is not valid YAML: mapping values are not allowed here"),
        ("a: \0", "t.yaml:1:4", "this is not valid YAML: the character U+0000 cannot stand in YAML"),
        ("a: 1\nb: 2\na: 3", "t.yaml:3:1", "the key 'a' is there twice, first at t.yaml:1:1"),
        ("a: {1: x, 1.0: y}", "t.yaml:1:11", "the key '1.0' is there twice"),
        ("a: !!python/object:os.system x", "t.yaml:1:4", "the tag '!!python/object:os.system' is not accepted"),
        ("a: !thing {b: 1}", "t.yaml:1:4", "the tag '!thing' is not accepted"),
        ("a: !!set {b}", "t.yaml:1:4", "the tag '!!set' is not accepted"),
        ("? [a]\n: b", "t.yaml:1:3", "a key must be a single value"),
        ("a: *b", "t.yaml:1:4", "no anchor &b stands before this alias"),
        ("a: &x [1, *x]", "t.yaml:1:11", "the alias *x stands within its own anchor"),
        ("<<: 5", "t.yaml:1:1", "only mappings can be merged by `<<`"),
        ("a: &a [1]\nb:\n  <<: *a", "t.yaml:3:3", "only mappings can be merged by `<<`"),
        ("a: 1\n---\nb: 2", "t.yaml:2:1", "a second document starts here"),
        ("%YAML 1.1\n---\na: yes", "t.yaml:2:1", "the file asks for YAML 1.1, and configs are YAML 1.2"),
        ("a: 2001-99-99", "t.yaml:1:4", "this looks like a value of type timestamp, and is none"),
        ("a: !!int x", "t.yaml:1:4", "this looks like a value of type int, and is none"),
        ("a: !!bool x", "t.yaml:1:4", "this looks like a value of type bool, and is none"),
        ("a: !!binary '???'", "t.yaml:1:4", "this looks like a value of type binary, and is none"),
        ("a: " + "9" * 5000, "t.yaml:1:4", "this looks like a value of type int, and is none"),
        ('a: "\\ud800"', "t.yaml:1:4", "half a surrogate pair is not text"),
    ],
)
def test_what_is_no_config(text, where, what):
    error = fail(text)
    assert error.where == where
    assert error.what.startswith(what)


def test_a_tab_gets_its_own_hint():
    assert fail("a:\n\t- 1").hint == "YAML is indented with spaces, never with tabs"


@pytest.mark.parametrize(
    "text", ["a: " + "[" * 10_000, "a: " + "{b: " * 10_000, "- " * 10_000, "a: " + "[" * 70 + "]" * 70]
)
def test_deep_nesting_is_an_error(text):
    assert fail(text).what == "nested deeper than 64 levels"


def test_deep_nesting_by_aliases_is_an_error():
    lines = ["a0: &a0 [1]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 500)]
    assert fail("\n".join(lines)).what == "nested deeper than 64 levels"


@pytest.mark.parametrize(
    "inner", ["[*a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}]", "{{x: *a{0}, y: *a{0}, z: *a{0}}}"]
)
def test_an_alias_bomb_is_an_error(inner):
    lines = ["a0: &a0 [lol, lol]"] + [f"a{n}: &a{n} " + inner.format(n - 1) for n in range(1, 40)]
    assert fail("\n".join(lines)).what == "with its aliases expanded this is more than 100,000 values"


def test_a_bomb_of_merges_is_an_error():
    lines = ["a0: &a0 {x: 1}"] + [
        f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}, *a{n - 1}], k{n}: 1}}" for n in range(1, 20)
    ]
    assert fail("\n".join(lines)).what == "with its aliases expanded this is more than 100,000 values"


def test_a_bomb_of_text_is_an_error():
    text = f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 200)}]"
    assert fail(text).what == "with its aliases expanded this is more than 10,000,000 characters"


def test_merges_take_what_a_mapping_does_not_have():
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  z: 3\n  <<: [*a, *b]\n  w: 3\n"
    config = Config.parse(text)
    assert config.data["c"] == {"z": 3, "x": 1, "y": 1, "w": 3}
    assert list(config.data["c"]) == ["z", "x", "y", "w"]
    assert config.position("c.y") == "config:1:14"
    assert Config.parse('a: {"<<": 1}').data == {"a": {"<<": 1}}


def test_positions():
    config = Config.parse("a:\n  b:\n  - x\n  - {c: 1}\n0: zero\n", name="t.yaml")
    assert config.position("a.b") == "t.yaml:2:3"
    assert config.position("a.b.1.c") == "t.yaml:4:6"
    assert config.position(("a", "b", 0)) == "t.yaml:3:5"
    assert config.position("0") == "t.yaml:5:1"
    assert config.position("a.b.7.nothing") == "t.yaml:2:3"
    assert config.position("") == config.position("nothing") == "t.yaml:1:1"


def test_an_error_of_a_value_says_where_it_stands():
    config = Config.parse("hooks:\n- A\n- SaveBest: {metric: loss}\n", name="train.yaml")
    error = config.error("hooks.1.SaveBest", "no such hook", hint="look again")
    assert str(error) == "train.yaml:3:3: hooks.1.SaveBest: no such hook\n  hint: look again"
    assert config.error((), "too short").where == "train.yaml:1:1"


def test_get():
    config = Config.parse("a: {b: [{c: '${x}'}]}\n1: one\nn: null\n")
    assert config.get("a.b.0.c") == "${x}"
    assert config.get(["a", "b"]) == [{"c": "${x}"}]
    assert config.get("1") == "one"
    assert config.get("n", 5) is None
    assert config.get("a.b.1", 5) == 5
    assert config.get("a.b.x.y") is None
    assert config.get("") == config.data


def test_of_python_data():
    data = {"a": (1, 2.5, None, True), "b": {"c": float("inf"), 1: b"\0"}, "d": date(2020, 1, 1), "p": Path("x/y")}
    config = Config.of(data, ["b.c=2"])
    assert config.data == {"a": [1, 2.5, None, True], "b": {"c": 2, 1: b"\0"}, "d": date(2020, 1, 1), "p": "x/y"}
    assert config.name == config.position("a") == "config"
    assert config.position("b.c") == "override 'b.c=2'"
    assert Config.of({}).data == {}


def test_of_what_is_no_plain_data():
    with pytest.raises(ConfigError, match=r"^config: a.1: a builtins.set is no config data\n  hint: a config holds"):
        Config.of({"a": [1, {2}]})
    with pytest.raises(ConfigError, match=r"a builtins.tuple is no config data"):
        Config.of({(1, 2): 3})
    with pytest.raises(ConfigError, match=r"a builtins.list is no config data"):
        Config.of([])
    with pytest.raises(ConfigError, match="this value cannot be written"):
        Config.of({"a": "\ud800"})
    with pytest.raises(ConfigError, match="this value cannot be written"):
        Config.of({"a": 10**5000})


def test_of_data_that_holds_itself():
    data: dict[str, object] = {}
    data["a"] = [data]
    with pytest.raises(ConfigError, match="nested deeper than 64 levels"):
        Config.of(data)


def test_importing_the_config_loads_neither_parser_nor_schemas():
    heavy = "{'ruamel', 'pydantic', 'numpy'}"
    code = f"import sys, mlcore.config; print(sorted({{m.split('.')[0] for m in sys.modules}} & {heavy}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"
