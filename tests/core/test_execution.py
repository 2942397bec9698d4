from __future__ import annotations

import itertools
import sys
import types

import pytest

from mlcore.errors import MlcoreError, PluginError
from mlcore.execution import Failure, Result, SerialExecutor, open_executor, use_executor
from mlcore.plugins import PluginHost

MODULE = "functions_of_test_execution"
CALLS: list[object] = []


def double(payload):
    CALLS.append(payload)
    return payload * 2


def fail(payload):
    CALLS.append(payload)
    raise ValueError(f"cannot take {payload}")


def fail_twice(payload):
    CALLS.append(payload)
    if len(CALLS) < 3:
        raise OSError("not yet")
    return "at last"


def interrupt(_):
    raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def functions(monkeypatch):
    module = types.ModuleType(MODULE)
    vars(module).update(double=double, fail=fail, fail_twice=fail_twice, interrupt=interrupt, number=7)
    monkeypatch.setitem(sys.modules, MODULE, module)
    CALLS.clear()


@pytest.fixture
def executor():
    with SerialExecutor() as executor:
        yield executor


def test_outcomes_come_in_order_with_their_keys(executor):
    outcomes = list(executor.map(f"{MODULE}:double", [3, 4], key=lambda payload: f"item {payload}"))
    assert [key for key, _ in outcomes] == ["item 3", "item 4"]
    assert [outcome.value for _, outcome in outcomes] == [6, 8]
    assert all(isinstance(outcome, Result) and outcome.key == key and outcome.seconds >= 0 for key, outcome in outcomes)


def test_without_key_payloads_are_counted(executor):
    assert [key for key, _ in executor.map("math:sqrt", [1, 1, 1])] == [0, 1, 2]


def test_an_endless_iterator_is_read_one_by_one(executor):
    read = []
    payloads = (read.append(number) or number for number in itertools.count())
    outcomes = executor.map(f"{MODULE}:double", payloads)
    assert read == []
    assert [outcome.value for _, outcome in itertools.islice(outcomes, 3)] == [0, 2, 4]
    assert read == [0, 1, 2]


def test_a_failure_tells_everything_and_the_others_go_on(executor):
    (_, failure), (_, result) = [
        *executor.map(f"{MODULE}:fail", [1]),
        *executor.map(f"{MODULE}:double", [1]),
    ]
    assert result.value == 2
    assert isinstance(failure, Failure)
    assert (failure.key, failure.error, failure.message, failure.attempts) == (0, "ValueError", "cannot take 1", 1)
    assert failure.traceback.startswith("Traceback")
    assert "in fail" in failure.traceback
    assert "in call" not in failure.traceback, "our own frame is in the traceback"


def test_an_exception_of_a_module_is_named_in_full(executor):
    ((_, failure),) = executor.map("json:loads", ["{"])
    assert failure.error == "json.decoder.JSONDecodeError"


def test_retries_call_again_until_it_works(executor):
    ((_, outcome),) = executor.map(f"{MODULE}:fail_twice", ["x"], retries=2)
    assert outcome.value == "at last"
    assert CALLS == ["x"] * 3


def test_retries_end(executor):
    ((_, outcome),) = executor.map(f"{MODULE}:fail", ["x"], retries=2)
    assert outcome.attempts == 3
    assert CALLS == ["x"] * 3


def test_ctrl_c_passes_through(executor):
    with pytest.raises(KeyboardInterrupt):
        next(executor.map(f"{MODULE}:interrupt", [1], retries=5))


def test_an_error_of_the_payloads_passes_through(executor):
    def payloads():
        yield 1
        raise OSError("gone")

    outcomes = executor.map(f"{MODULE}:double", payloads())
    next(outcomes)
    with pytest.raises(OSError, match="gone"):
        next(outcomes)


def test_cancel_ends_after_the_current_payload(executor):
    outcomes = executor.map(f"{MODULE}:double", [1, 2, 3])
    next(outcomes)
    executor.cancel()
    assert list(outcomes) == []
    assert CALLS == [1]
    assert len(list(executor.map(f"{MODULE}:double", [1, 2]))) == 2, "a later map is not cancelled"


def test_a_map_that_was_cancelled_before_its_first_payload_starts_nothing(executor):
    outcomes = executor.map(f"{MODULE}:double", [1, 2])
    executor.cancel()
    assert list(outcomes) == []
    assert CALLS == []


def test_two_payloads_of_one_key_are_an_error(executor):
    outcomes = executor.map(f"{MODULE}:double", ["a", "b", "a"], key=str)
    assert len(list(itertools.islice(outcomes, 2))) == 2
    with pytest.raises(MlcoreError, match="two payloads have the key 'a'"):
        next(outcomes)
    assert CALLS == ["a", "b"]


def test_a_key_is_a_string_or_an_integer(executor):
    with pytest.raises(MlcoreError, match=r"payload 0 has the key \[1\]; a key is a string or an integer"):
        next(executor.map(f"{MODULE}:double", [1], key=lambda payload: [payload]))


@pytest.mark.parametrize(
    ("function", "wrong"),
    [
        (double, r"a string 'package.module:Name' is wanted, not .*; write '.*:double'"),
        ("json.loads", "'json.loads' is not of the form 'package.module:Name'"),
        ("no_such_module.x:fn", "there is no module 'no_such_module' for the function 'no_such_module.x:fn'"),
        ("json.nothing:fn", "there is no module 'json.nothing'"),
        (f"{MODULE}:number", f"'{MODULE}:number' is no function but 7"),
    ],
)
def test_a_wrong_function_is_told_before_anything_is_read(executor, function, wrong):
    with pytest.raises(MlcoreError, match=wrong):
        executor.map(function, iter(lambda: pytest.fail("payloads were read"), None))


def test_a_misspelt_function_gets_the_nearest(executor):
    with pytest.raises(MlcoreError, match="module 'json' has no function 'laods'") as caught:
        executor.map("json:laods", [])
    assert caught.value.hint == "did you mean 'loads'?"


def test_an_error_inside_the_functions_module_is_not_hidden(executor, tmp_path, monkeypatch):
    (tmp_path / "needs_something.py").write_text("import what_is_not_there\n")
    (tmp_path / "misuses_something.py").write_text("import json\njson.nothing\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="what_is_not_there"):
        executor.map("needs_something:fn", [])
    with pytest.raises(AttributeError, match="nothing"):
        executor.map("misuses_something:fn", [])


@pytest.mark.parametrize("retries", [-1, 1.5, True, "1"])
def test_retries_must_be_a_count(executor, retries):
    with pytest.raises(MlcoreError, match="neither 0 nor a positive integer"):
        executor.map("math:sqrt", [], retries=retries)


def test_serial_refuses_a_timeout(executor):
    with pytest.raises(MlcoreError, match="'serial' cannot keep timeout=3") as caught:
        executor.map("math:sqrt", [], timeout=3)
    assert "use an executor whose workers can be ended" in caught.value.hint


def test_a_closed_executor_is_closed():
    with SerialExecutor() as executor:
        outcomes = executor.map(f"{MODULE}:double", [1, 2])
        next(outcomes)
    assert list(outcomes) == []
    with pytest.raises(MlcoreError, match="the executor is closed"):
        executor.map("math:sqrt", [])


def test_executors_are_opened_by_name():
    host = PluginHost(allow=()).load()
    assert isinstance(open_executor(host=host), SerialExecutor)
    assert isinstance(open_executor("serial", host=host), SerialExecutor)
    with pytest.raises(MlcoreError, match="'serial' works here and has no address 'there:80'"):
        open_executor("serial://there:80", host=host)
    with pytest.raises(PluginError, match="there is no executor 'dask'") as caught:
        open_executor("dask://there:80", host=host)
    assert caught.value.hint == "pip install mlcore-dask"


def test_the_chosen_executor_is_opened_without_a_name():
    with use_executor("process://1"), open_executor() as executor:
        assert type(executor).__name__ == "ProcessExecutor"
    with open_executor() as executor:
        assert isinstance(executor, SerialExecutor)
