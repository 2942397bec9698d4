"""What every executor must do, as tests: for ours and for strangers'.

In a test file, with pytest:

    class TestMyExecutor(ExecutorConformance):
        kills = True                                    # its calls run in processes of their own

        def make_executor(self) -> Executor:
            return MyExecutor("localhost:8786")

or, in any program, `check_executor(lambda: MyExecutor("localhost:8786"), kills=True)`. The workers must see
the files of this machine.
"""

from __future__ import annotations

import itertools
import os
import pickle
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from mlcore.errors import MlcoreError
from mlcore.execution import Executor, Failure, Key, Outcome, Result, SerialExecutor

_CALLS = "mlcore.testing.calls"
_DATA: tuple[object, ...] = (0, -1.5, "", "Ünïcödé", None, [], {"a": [1, {"b": None}]}, b"\0\xff", True, "x" * 100_000)
_MANY = 400  # calls: more than run at once
_LONG = 600.0  # seconds: longer than any test waits


def check_executor(make_executor: Callable[[], Executor], *, kills: bool = False) -> None:
    """Run every check.

    Args:
        make_executor: Opens a new executor at each call.
        kills: Whether calls run in processes of their own, which a call may end.

    Raises:
        AssertionError: The executor breaks the contract; the message starts with the check's name.
    """
    own = {"make_executor": staticmethod(make_executor), "kills": kills}
    suite = type("Suite", (ExecutorConformance,), own)()
    for check in [name for name in vars(ExecutorConformance) if name.startswith("test_")]:
        try:
            getattr(suite, check)()
        except Exception as error:
            raise AssertionError(f"{check.removeprefix('test_')}: {str(error) or repr(error)}") from error


class ExecutorConformance:
    """The suite; see the module's page. Every test stands alone.

    Attributes:
        kills: Whether calls run in processes of their own, which a call may end.
        ahead: How many payloads may be read before their outcomes are taken.
    """

    kills: ClassVar[bool] = False
    ahead: ClassVar[int] = 10_000

    def make_executor(self) -> Executor:
        """Open a new executor."""
        raise NotImplementedError

    def test_results_are_those_of_serial(self) -> None:
        """Every payload has one result, the same byte for byte as without the executor."""
        payloads = [*_DATA, *range(300)]
        with SerialExecutor() as serial:
            wanted = {key: _value(outcome) for key, outcome in serial.map(f"{_CALLS}:same", payloads)}
        found = self._map("same", payloads)
        _require(found.keys() == wanted.keys(), f"keys {sorted(wanted.keys() ^ found.keys())} are missing or too many")
        for key, outcome in found.items():
            _require(isinstance(outcome, Result), f"payload {key!r} has no result but {outcome}")
            _require(pickle.dumps(_value(outcome)) == pickle.dumps(wanted[key]), f"the value for {key!r} is another")
            _require(isinstance(outcome, Result) and outcome.seconds >= 0, f"the call for {key!r} took no time")

    def test_keys_name_payloads(self) -> None:
        """The function `key` names them, in the pair and in the outcome."""
        found = self._map("same", ["a", "b"], key=lambda payload: f"item {payload}")
        _require(set(found) == {"item a", "item b"}, f"the keys are {sorted(map(str, found))}")
        for key, outcome in found.items():
            _require(outcome.key == key, f"the outcome for {key!r} says {outcome.key!r}")
            _require(f"item {_value(outcome)}" == key, f"the value for {key!r} is that of another payload")

    def test_endless_payloads(self) -> None:
        """Payloads are read as outcomes are taken, not all at once."""
        read = itertools.count()
        with self.make_executor() as executor:
            outcomes = executor.map(f"{_CALLS}:same", (next(read) for _ in itertools.count()))
            taken = sum(1 for _ in itertools.islice(outcomes, 500))
            _require(taken == 500, f"there were {taken} outcomes, not 500")
        _require(next(read) <= 500 + self.ahead, f"more than {self.ahead} payloads were read ahead")

    def test_no_payloads(self) -> None:
        """Nothing comes of nothing."""
        _require(self._map("same", []) == {}, "there are outcomes")

    def test_a_failure_tells_what_was_raised(self) -> None:
        """An exception becomes a Failure, and the others go on."""
        found = self._map("act", [{"value": 1}, {}, {"log": "/no/such/folder/log"}, {"value": 2}])
        failure = _failed(found[2])
        _require(_value(found[0]) == 1 and _value(found[3]) == 2, "the others have no results")
        _require(failure.error == "FileNotFoundError", f"the error is {failure.error!r}, not 'FileNotFoundError'")
        _require("no/such/folder" in failure.message, f"the message is {failure.message!r}")
        _require("in act" in failure.traceback, "the traceback does not show the function")
        _require(failure.attempts == 1, f"attempts={failure.attempts} after one call")

    def test_retries_call_again(self) -> None:
        """A payload is called again until it works, or as often as asked."""
        with _log() as first, _log() as second:
            found = self._map("act", [{"log": first, "fails": 2, "value": 3}, {"log": second, "fails": 99}], retries=2)
            _require(_value(found[0]) == 3, f"after two retries there is no result but {found[0]}")
            _require(_failed(found[1]).attempts == 3, f"attempts={_failed(found[1]).attempts} after 3 calls")
            _require(_starts(second) == 3, f"with retries=2 there were {_starts(second)} calls")

    def test_no_retries_without_asking(self) -> None:
        """An exception is not tried again unless asked."""
        with _log() as log:
            _failed(self._map("act", [{"log": log, "fails": 1}])[0])
            _require(_starts(log) == 1, f"there were {_starts(log)} calls")

    def test_wrong_arguments(self) -> None:
        """A wrong function, count or time is told by `map` itself, before a payload is read."""
        wrong: tuple[tuple[str, dict[str, Any]], ...] = (  # arguments of any type
            ("mlcore.testing.calls", {}),
            (f"{_CALLS}:nothing_of_that_name", {}),
            ("no_module_of_that_name:same", {}),
            (f"{_CALLS}:same", {"retries": -1}),
            (f"{_CALLS}:same", {"timeout": -1}),
        )
        with self.make_executor() as executor:
            for function, more in wrong:
                _refused(partial(executor.map, function, _unread(), **more), f"map({function!r}, **{more})")

    def test_one_key_twice(self) -> None:
        """Two payloads of one key are an error, after the outcomes of those before."""
        with self.make_executor() as executor:
            outcomes = executor.map(f"{_CALLS}:same", ["a", "b", "a"], key=str)
            _require({next(outcomes)[0], next(outcomes)[0]} == {"a", "b"}, "the outcomes before are not told")
            _refused(lambda: next(outcomes), "a second payload of the key 'a'")

    def test_an_error_of_the_payloads(self) -> None:
        """It comes out of the iterator, after the outcomes of the payloads before."""

        def payloads() -> Iterator[int]:
            yield 1
            raise LookupError("gone")

        with self.make_executor() as executor:
            outcomes = executor.map(f"{_CALLS}:same", payloads())
            _require(_value(next(outcomes)[1]) == 1, "the outcome before is not told")
            try:
                next(outcomes, None)
            except LookupError:
                return
        raise AssertionError("the error of the payloads is lost")

    def test_cancel(self) -> None:
        """After `cancel` nothing is started, what was started is told, and a later `map` works."""
        with self.make_executor() as executor, _log() as log:
            outcomes = executor.map(f"{_CALLS}:act", [{"log": log, "sleep": 0.01}] * _MANY)
            next(outcomes)
            executor.cancel()
            told = 1 + sum(1 for _ in outcomes)
            _require(told < _MANY, "it goes on after cancel()")
            _require(_starts(log) <= told, f"{_starts(log)} calls were started, {told} outcomes told")
            later = [_value(outcome) for _, outcome in executor.map(f"{_CALLS}:same", [1])]
            _require(later == [1], "a later map does not work")

    def test_close(self) -> None:
        """A closed executor has ended its iterators and refuses another `map`; closing twice is fine."""
        executor = self.make_executor()
        outcomes = executor.map(f"{_CALLS}:same", itertools.count())
        next(outcomes)
        executor.close()
        executor.close()
        _require(sum(1 for _ in itertools.islice(outcomes, self.ahead)) < self.ahead, "it goes on after close()")
        _refused(lambda: executor.map(f"{_CALLS}:same", []), "map() of a closed executor")

    def test_an_iterator_may_be_left(self) -> None:
        """Who takes only some outcomes can map again."""
        with self.make_executor() as executor:
            for _ in range(3):
                next(iter(executor.map(f"{_CALLS}:same", itertools.count())))
            found = dict(executor.map(f"{_CALLS}:same", range(5)))
            _require(len(found) == 5, f"there are {len(found)} outcomes, not 5")

    def test_two_maps_at_once(self) -> None:
        """Two iterators may be taken from in turn."""
        with self.make_executor() as executor:
            one, two = (executor.map(f"{_CALLS}:same", range(start, start + 20)) for start in (0, 100))
            pairs = list(zip(one, two, strict=True))
        _require({_value(pair[0][1]) for pair in pairs} == set(range(20)), "the first has the values of another")
        _require({_value(pair[1][1]) for pair in pairs} == set(range(100, 120)), "the second has the values of another")

    def test_what_is_no_plain_data(self) -> None:
        """A payload or result that cannot be sent fails under its key; the others have theirs."""
        found = self._map(
            "same", [1, lambda: None, 2], key=lambda payload: payload if isinstance(payload, int) else "f"
        )
        _require((_value(found[1]), _value(found[2])) == (1, 2), "the others have no results")
        _require("f" in found, "the payload is lost")
        found = self._map("odd", ["key"], key=str)
        _require("key" in found, "the payload whose result cannot be sent is lost")

    def test_timeout(self) -> None:
        """A call that takes too long fails alone, unless timeouts are refused."""
        with self.make_executor() as executor:
            try:
                outcomes = executor.map(f"{_CALLS}:act", [{"sleep": _LONG}, {"value": 1}, {"value": 2}], timeout=2)
            except MlcoreError:
                return
            found = dict(outcomes)
        _require(_failed(found[0]).error == "TimeoutError", f"the long call ended with {found[0]}")
        _require((_value(found[1]), _value(found[2])) == (1, 2), "the others have no results")

    def test_a_killed_worker_is_replaced(self) -> None:
        """The call that a worker ended in is made again, and none is lost."""
        if not self.kills:
            return
        with _log() as log:
            steps = [{"log": log, "kills": 1, "value": -1}, *({"value": number} for number in range(20))]
            found = self._map("act", steps)
            _require(sorted(map(_value, found.values())) == list(range(-1, 20)), f"not all have results: {found}")
            _require(_starts(log) == 2, f"the call was made {_starts(log)} times, not twice")

    def test_a_payload_that_kills_is_given_up(self) -> None:
        """It fails under its key, with the number of deaths; the others have their results."""
        if not self.kills:
            return
        with _log() as log:
            steps = [{"value": 1}, {"log": log, "kills": 99}, *({"value": number} for number in range(2, 20))]
            found = self._map("act", steps)
            failure = _failed(found[1])
            _require(failure.deaths == _starts(log) > 1, f"deaths={failure.deaths} after {_starts(log)} deaths")
        rest = [_value(outcome) for key, outcome in found.items() if key != 1]
        _require(sorted(rest) == list(range(1, 20)), "the others have no results")

    def test_nothing_is_left(self) -> None:
        """After `close` there is no process, thread or open file more than before."""
        self._map("same", [1])  # what is made once, at the first use, is no leak
        before = _open_files(), threading.active_count()
        with self.make_executor() as executor:
            found = {_value(outcome) for _, outcome in executor.map(f"{_CALLS}:process", range(20))}
            next(executor.map(f"{_CALLS}:same", itertools.count()))
        after = _open_files(), threading.active_count()
        more = any(now > then for now, then in zip(after, before, strict=True))
        _require(not more, f"open files and threads: {before} before, {after} after")
        for process in found - {os.getpid()} if self.kills else ():
            _require(not _alive(process), f"process {process} is left")

    def _map(self, name: str, payloads: Iterable[Any], **options: Any) -> dict[Key, Outcome]:  # what `map` takes
        with self.make_executor() as executor:
            pairs = list(executor.map(f"{_CALLS}:{name}", payloads, **options))
        found = dict(pairs)
        _require(len(found) == len(pairs), "a key has two outcomes")
        return found


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _value(outcome: Outcome) -> Any:  # what the function returned
    _require(isinstance(outcome, Result), f"there is no result but {outcome}")
    return outcome.value if isinstance(outcome, Result) else None


def _failed(outcome: Outcome) -> Failure:
    if not isinstance(outcome, Failure):
        raise AssertionError(f"there is no failure but {outcome}")
    return outcome


def _refused(act: Callable[[], object], what: str) -> None:
    try:
        act()
    except MlcoreError:
        return
    raise AssertionError(f"{what} raises no MlcoreError")


def _unread() -> Iterator[NoReturn]:
    raise AssertionError("payloads are read though the arguments are wrong")
    yield


@contextmanager
def _log() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield str(Path(folder, "log"))


def _starts(log: str) -> int:
    return Path(log).stat().st_size if Path(log).exists() else 0


def _open_files() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208  names are enough


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
