from __future__ import annotations

import hashlib
import math
from datetime import date, datetime, timedelta, timezone

import pytest

from mlcore.config import Config

EAST = timezone(timedelta(hours=-5))
AWS = "AKIA" + "ABCDEFGHIJKLMNOP"
GITHUB = "ghp_" + "a1" * 18
OPENAI = "sk-" + "a1" * 12

TEXT = f"""\
# how we train
common: &common   # shared
  bs: 2   # batch size
  # the rate
  lr: 1e-3

dataset:
  <<: *common
  items:
  - a   # first
  # the second
  - {{k: 1, b: [1, 2]}}
  - &five 5
  - *five
  text: |
    hello
      there

    end
  folded: >-
    one
    two

    three
empty:
db:
  password: hunter2   # token: abcdef
  user: me
  url: postgres://me:hunter2@host/x   # was {GITHUB}
  key_of_cloud: {AWS}
  from_env: ${{env:DB_PASSWORD}}
# the end
"""


def test_a_dump_keeps_comments_anchors_and_references():
    config = Config.parse("a: &a   # why\n  x: 1  # one\n\n  # two\n  y: ${env:X}\nb: *a\nc: {<<: *a}\n# end\n")
    assert config.dump() == "a: &a   # why\n  x: 1  # one\n\n  # two\n  y: ${env:X}\nb: *a\nc: {<<: *a}\n# end\n"


def test_a_dump_reads_back_as_the_same_config():
    config = Config.parse(
        TEXT, overrides=["common.bs=3", "db.password=${env:DB_PASSWORD}", "db.url=x", "db.key_of_cloud=y"]
    )
    stored = Config.parse(config.dump())
    assert stored.data == config.data
    assert stored.data["dataset"]["folded"] == "one two\nthree"
    assert stored.digest == config.digest
    assert stored.dump() == config.dump() == config.dump()
    for comment in ("# how we train", "# shared", "# batch size", "# the rate", "# first", "# the second", "# the end"):
        assert comment in config.dump()


def test_secrets_are_redacted_everywhere():
    config = Config.parse(TEXT)
    assert config.secrets == ("db.password", "db.url", "db.key_of_cloud")
    dump = config.dump()
    for secret in ("hunter2", "abcdef", GITHUB, AWS):
        assert secret not in dump
    assert "password: '<redacted: set db.password=…>'" in dump
    assert "# token: <redacted>" in dump
    assert "from_env: ${env:DB_PASSWORD}" in dump
    assert config.data["db"]["password"] == "hunter2"
    assert config.redacted == ()


def test_a_stored_config_asks_for_its_secrets_by_key():
    config = Config.parse(TEXT)
    stored = Config.parse(config.dump())
    assert stored.redacted == ("db.password", "db.url", "db.key_of_cloud")
    assert stored.secrets == ()
    again = Config.parse(config.dump(), overrides=["db.password=hunter3", "db.url=x", "db.key_of_cloud=y"])
    assert again.redacted == ()
    assert again.data["db"]["password"] == "hunter3"


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "db_password",
        "dbPassword",
        "PASSWORD",
        "passwd",
        "secret",
        "client-secret",
        "token",
        "access_token",
        "hf_token",
        "api_key",
        "apikey",
        "apiKey",
        "API_KEY",
        "aws_secret_access_key",
        "access_key",
        "private_key",
        "credential",
        "password2",
    ],
)
def test_keys_that_name_secrets(key):
    assert Config.of({"x": {key: "value"}}).secrets == (f"x.{key}",)
    assert Config.of({"x": {key: ["value"]}}).secrets == (f"x.{key}.0",)
    for value in ("", "${env:X}", "Bearer ${env:X}", None, True, 5):
        assert Config.of({"x": {key: value}}).secrets == ()


@pytest.mark.parametrize(
    "key",
    [
        "max_tokens",
        "tokenizer",
        "token_count",
        "tokens",
        "num_tokens",
        "pad_token",
        "eos_token",
        "password_file",
        "secret_name",
        "keys",
        "key",
        "monkey",
        "passthrough",
        "secretary",
        "access",
        "private",
        "author",
    ],
)
def test_keys_that_do_not_name_secrets(key):
    assert Config.of({key: "value"}).secrets == ()


@pytest.mark.parametrize(
    "value",
    [
        AWS,
        GITHUB,
        OPENAI,
        f"use {OPENAI} here",
        "https://me:pw@host/x",
        "s3+http://k:s@h",
        "-----BEGIN RSA PRIVATE KEY-----\nx",
    ],
)
def test_values_of_a_secrets_shape(value):
    config = Config.of({"a": [1, value]})
    assert config.secrets == ("a.1",)
    assert value not in config.dump()


@pytest.mark.parametrize(
    "value", ["sk-learn", "task-" + "a" * 30, "https://host:80/a@b", "me@host", "postgres://me:${env:PW}@h", "ghp_x"]
)
def test_values_that_are_no_secrets(value):
    assert Config.of({"a": value}).secrets == ()


def test_what_stands_below_a_secret_key_is_secret():
    config = Config.of({"credentials": {"user": "me", "key": "abc", "more": {"x": "y"}}})
    assert config.secrets == ("credentials.key", "credentials.more.x")


def test_a_secret_used_by_an_alias_is_redacted_at_its_anchor():
    config = Config.parse("vars: [&pw hunter2]\ndb:\n  password: *pw\nother: *pw\n")
    assert config.secrets == ("vars.0",)
    assert config.dump() == "vars: [&pw '<redacted: set vars.0=…>']\ndb:\n  password: *pw\nother: *pw\n"


def test_the_digest_is_of_the_content():
    one = Config.parse("a: 1\nb: {c: 0.001, d: '${env:X}'}\n")
    two = Config.parse("# comment\nb: &b\n  d: ${env:X}\n  c: 1e-3\na: 0x1\n")
    assert one.digest == two.digest == Config.of(one.data).digest
    assert one.digest == hashlib.sha256(b'{"a":1,"b":{"c":0.001,"d":"${env:X}"}}').hexdigest()
    others = [
        "a: 1",
        "a: 1.0",
        "a: '1'",
        "a: true",
        "1: 1",
        "'1': 1",
        "a: .nan",
        "a: 'nan'",
        "a: 2020-01-01",
        "a: '2020-01-01'",
    ]
    assert len({Config.parse(text).digest for text in others}) == len(others)


def test_a_secret_does_not_change_the_digest():
    one, two = Config.of({"password": "a"}), Config.of({"password": "b"})
    assert one.digest == two.digest == Config.parse(one.dump()).digest


def test_odd_data_survive():
    data = {
        "dates": [date(1, 1, 1), datetime(2020, 1, 2, 3, 4, 5, 678), datetime(2020, 1, 1, tzinfo=EAST)],
        "floats": [math.inf, -math.inf, 1e-300, 1e16, -0.0, 0.1],
        "bytes": [b"", b"\0\xff" * 100],
        "words": ["", " ", "null", "1", "1e3", "true", "~", "<<", "=", "- a", "a: b", "# a", "|", "%"],
        "text": ["a\nb\n", "\u2028", "\x85x", "\a", "é😀", "'\""],
        "empty": [{}, [], None],
        1: {None: 1, True: 2, 2.5: 3, date(2020, 1, 1): 4, "": 5},
    }  # fmt: skip
    config = Config.of(data)
    assert config.data == data
    assert Config.parse(config.dump()).data == data
    assert math.isnan(Config.parse(Config.of({"a": math.nan}).dump()).data["a"])


def test_anchors_of_one_name_are_told_apart():
    config = Config.parse("a: &x 1\nb: *x\nc: &x 2\nd: *x\n")
    assert config.data == {"a": 1, "b": 1, "c": 2, "d": 2}
    assert Config.parse(config.dump()).data == config.data
    moved = Config.parse("a: {b: &x 1}\nc: &x 2\nd: *x\ne: 3", overrides=["a=[&x 5, *x]"])
    assert Config.parse(moved.dump()).data == moved.data == {"a": [5, 5], "c": 2, "d": 2, "e": 3}


@pytest.mark.parametrize(
    "text", ["a:  # where the parser gives up\n  b\n\n\nc: 1\n", "a: 1\n? b\n# where the emitter goes wrong\n: 2\n"]
)
def test_comments_that_the_library_cannot_keep_are_dropped(text):
    config = Config.parse(text)
    assert Config.parse(config.dump()).data == config.data
    assert "#" not in config.dump()
