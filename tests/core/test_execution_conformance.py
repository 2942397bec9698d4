"""The published suite passes what is right and catches what is wrong."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

import pytest

from mlcore.errors import MlcoreError
from mlcore.execution import Failure, ProcessExecutor, Result, SerialExecutor
from mlcore.testing.executors import ExecutorConformance, check_executor


class TestSerial(ExecutorConformance):
    def make_executor(self):
        return SerialExecutor()


class TestProcess(ExecutorConformance):
    kills = True

    def make_executor(self):
        return ProcessExecutor(workers=2)


class TestOneProcess(ExecutorConformance):
    kills = True

    def make_executor(self):
        return ProcessExecutor(workers=1)


class Changed(SerialExecutor):
    """Gives what the plain executor gives, changed by `change`."""

    def map(self, function, payloads, **options):
        return self.change(super().map(function, payloads, **options))

    def change(self, outcomes):
        yield from outcomes


class Lazy(Changed):
    """Looks at its arguments when the first outcome is taken."""

    def map(self, function, payloads, **options):
        def outcomes():
            yield from SerialExecutor.map(self, function, payloads, **options)

        return outcomes()


class Greedy(SerialExecutor):
    """Reads many payloads at once."""

    def map(self, function, payloads, **options):
        read = iter(payloads)
        ahead = [payload for payload, _ in zip(read, range(20_000))]
        return super().map(function, ahead, **options)


class Drops(Changed):
    """Forgets every hundredth outcome."""

    def change(self, outcomes):
        return (pair for number, pair in enumerate(outcomes) if number % 100 != 99)


class Repeats(Changed):
    """Tells an outcome twice."""

    def change(self, outcomes):
        for number, pair in enumerate(outcomes):
            yield pair
            if number == 0:
                yield pair


class Counts(SerialExecutor):
    """Has its own keys."""

    def map(self, function, payloads, *, key=None, **options):
        return super().map(function, payloads, **options)


class Texts(Changed):
    """Sends values as text."""

    def change(self, outcomes):
        for key, outcome in outcomes:
            value = str(outcome.value) if isinstance(outcome, Result) else None
            yield key, outcome if isinstance(outcome, Failure) else Result(key, value, 0.0)


class Raises(Changed):
    """Lets the function's exception out."""

    def change(self, outcomes):
        for key, outcome in outcomes:
            if isinstance(outcome, Failure):
                raise ValueError(outcome.message)
            yield key, outcome


class Silent(Changed):
    """Tells no traceback."""

    def change(self, outcomes):
        for key, outcome in outcomes:
            failed = isinstance(outcome, Failure)
            yield key, Failure(key, outcome.error, outcome.message, "", 1) if failed else outcome


class NeverRetries(SerialExecutor):
    """Takes `retries` and forgets it."""

    def map(self, function, payloads, *, retries=0, **options):
        return super().map(function, payloads, retries=0 * retries if retries >= 0 else retries, **options)


class AlwaysRetries(SerialExecutor):
    """Tries again unasked, and does not tell."""

    def map(self, function, payloads, *, retries=0, **options):
        for key, outcome in super().map(function, payloads, retries=retries or 1, **options):
            hidden = isinstance(outcome, Failure) and not retries
            yield key, replace(outcome, attempts=1) if hidden else outcome


class Swallows(SerialExecutor):
    """Takes an error of the payloads for their end."""

    def map(self, function, payloads, **options):
        def quiet():
            try:
                yield from payloads
            except LookupError:
                return

        return super().map(function, quiet(), **options)


class Unstoppable(SerialExecutor):
    """Cancels nothing."""

    def cancel(self):
        pass


class CancelledForGood(SerialExecutor):
    """Is of no use after `cancel`."""

    gone = False

    def cancel(self):
        super().cancel()
        self.gone = True

    def map(self, function, payloads, **options):
        return iter(()) if self.gone and not self._closed else super().map(function, payloads, **options)


class Reopens(SerialExecutor):
    """Works when closed."""

    def close(self):
        self.cancel()


class LeaksFile(SerialExecutor):
    """Leaves a file open."""

    opened = []

    def close(self):
        super().close()
        self.opened.append(os.pipe())


class LeaksThread(SerialExecutor):
    """Leaves a thread."""

    stop = threading.Event()

    def close(self):
        super().close()
        threading.Thread(target=self.stop.wait, daemon=True).start()


class NeverEnds(ProcessExecutor):
    """Keeps no time."""

    def map(self, function, payloads, *, timeout=None, **options):
        if timeout is not None and timeout < 0:
            raise MlcoreError("wrong")
        found = super().map(function, ({**payload, "sleep": 0} for payload in payloads), **options)
        return found if timeout else super().map(function, payloads, **options)


class GivesUpAtOnce(ProcessExecutor):
    """Does not make a call again whose worker died."""

    def __init__(self):
        super().__init__(workers=1, deaths=1)


class KeepsOneKey(SerialExecutor):
    """Accepts two payloads of one key."""

    def map(self, function, payloads, *, key=None, **options):
        outcomes = super().map(function, payloads, **options)
        return ((key(o.value), type(o)(key(o.value), o.value, 0.0)) for _, o in outcomes) if key else outcomes


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        (Lazy, "wrong_arguments"),
        (Greedy, "endless_payloads"),
        (Drops, "results_are_those_of_serial"),
        (Repeats, "a key has two outcomes"),
        (Counts, "keys_name_payloads"),
        (Texts, "results_are_those_of_serial"),
        (Raises, "a_failure_tells_what_was_raised"),
        (Silent, "a_failure_tells_what_was_raised"),
        (NeverRetries, "retries_call_again"),
        (AlwaysRetries, "no_retries_without_asking"),
        (Swallows, "an_error_of_the_payloads"),
        (Unstoppable, "cancel"),
        (CancelledForGood, "cancel: a later map"),
        (Reopens, "close"),
        (LeaksFile, "nothing_is_left"),
        (LeaksThread, "nothing_is_left"),
        (KeepsOneKey, "one_key_twice"),
    ],
)
def test_a_wrong_executor_is_caught(wrong, check):
    LeaksThread.stop.clear()
    try:
        with pytest.raises(AssertionError, match=check):
            check_executor(wrong)
    finally:
        LeaksThread.stop.set()
        while LeaksFile.opened:
            for descriptor in LeaksFile.opened.pop():
                os.close(descriptor)


class WithoutTimeout(ExecutorConformance):
    def make_executor(self):
        return NeverEnds(workers=2)


def test_a_timeout_that_is_not_kept_is_caught():
    with pytest.raises(AssertionError, match="there is no failure but Result"):
        WithoutTimeout().test_timeout()


def test_a_death_that_is_not_survived_is_caught():
    class Suite(ExecutorConformance):
        kills = True

        def make_executor(self):
            return GivesUpAtOnce()

    with pytest.raises(AssertionError, match="no result"):
        Suite().test_a_killed_worker_is_replaced()
    with pytest.raises(AssertionError, match="deaths=1"):
        Suite().test_a_payload_that_kills_is_given_up()
