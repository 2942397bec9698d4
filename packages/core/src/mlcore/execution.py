"""Run one function over many independent payloads.

Payloads are plain data and URLs, and the function is named by a string, so that an executor may work in other processes
or on other machines. `serial` works here and now; plugins bring more (see `mlcore_register_executors`).
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

from mlcore.errors import MlcoreError, nearest
from mlcore.plugins import check_target, current_host, import_target

if TYPE_CHECKING:
    from mlcore.plugins import PluginHost

Key: TypeAlias = str | int
_END = object()


@dataclass(frozen=True, slots=True)
class Result:
    """A payload's function has returned.

    Attributes:
        key: The payload's key.
        value: What the function returned.
        seconds: Wall-clock time of the call that succeeded.
    """

    key: Key
    value: Any  # what the user's function returns
    seconds: float


@dataclass(frozen=True, slots=True)
class Failure:
    """A payload's function has raised, at the first call and at every retry.

    Attributes:
        key: The payload's key.
        error: Class of the last exception: `ValueError`, `package.module.SomeError`.
        message: What the last exception said.
        traceback: Its traceback as text.
        attempts: How often the function was called.
    """

    key: Key
    error: str
    message: str
    traceback: str
    attempts: int


Outcome: TypeAlias = Result | Failure


class Executor(Protocol):
    """What `open_executor` returns. Made with the address behind `name://`, or with nothing."""

    def map(
        self,
        function: str,
        payloads: Iterable[Any],  # plain data
        *,
        key: Callable[[Any], Key] | None = None,
        retries: int = 0,
        timeout: float | None = None,
    ) -> Iterator[tuple[Key, Outcome]]:
        """Call a function with each payload; yield each key with its outcome as it becomes known.

        Args:
            function: Where it is: `package.module:function`. It takes one payload.
            payloads: Read as results are taken; they may never end.
            key: Names a payload; without it, payloads are counted from 0. The keys that it gives are remembered, to
                find two payloads of one key.
            retries: How often to call again after an exception.
            timeout: Seconds that one call may take.

        Raises:
            MlcoreError: The function cannot be found, an argument is wrong, or two payloads have one key.
        """

    def cancel(self) -> None:
        """Start nothing more: the calls that run now are the last of every `map` begun so far."""

    def close(self) -> None:
        """Cancel, and give back what the executor holds; it cannot be used again."""

    def __enter__(self) -> Self:
        """Return the executor."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close it."""


class SerialExecutor:
    """Calls the function in this process, one payload after the other, when the next outcome is asked for.

    Outcomes come in the order of the payloads. Nothing is read ahead and nothing is kept.

    Example:
        >>> with SerialExecutor() as executor:
        ...     for key, outcome in executor.map("math:sqrt", [4, -1]):
        ...         print(key, outcome.value if isinstance(outcome, Result) else outcome.message)
        0 2.0
        1 math domain error
    """

    def __init__(self, address: str | None = None) -> None:
        if address:
            raise MlcoreError(f"the executor 'serial' works here and has no address {address!r}", hint="write 'serial'")
        self._cancelled = 0  # how often; a `map` goes on while this is what it was at its start
        self._closed = False

    def map(
        self,
        function: str,
        payloads: Iterable[Any],  # plain data
        *,
        key: Callable[[Any], Key] | None = None,
        retries: int = 0,
        timeout: float | None = None,
    ) -> Iterator[tuple[Key, Outcome]]:
        """See `Executor.map`. A timeout is refused: a call in this process cannot be ended from outside."""
        if self._closed:
            raise MlcoreError("the executor is closed", hint="open another one")
        if timeout is not None:
            raise MlcoreError(
                f"the executor 'serial' cannot keep timeout={timeout}: it calls the function in this process",
                hint="leave the timeout out, or use an executor whose workers can be ended, like 'process' or 'dask'",
            )
        _check_retries(retries)
        return self._outcomes(import_function(function), iter(payloads), _Keys(key), retries, self._cancelled)

    def cancel(self) -> None:
        """See `Executor.cancel`."""
        self._cancelled += 1

    def close(self) -> None:
        """See `Executor.close`."""
        self.cancel()
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _outcomes(
        self, function: Callable[[Any], Any], payloads: Iterator[Any], keys: _Keys, retries: int, cancelled: int
    ) -> Iterator[tuple[Key, Outcome]]:
        while self._cancelled == cancelled and (payload := next(payloads, _END)) is not _END:
            key = keys.next(payload)
            yield key, call(function, payload, key, retries)


def _check_retries(retries: object) -> None:
    if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
        raise MlcoreError(f"retries={retries!r} is neither 0 nor a positive integer")


class _Keys:
    """Names payloads, each name once."""

    def __init__(self, function: Callable[[Any], Key] | None) -> None:
        self._function = function
        self._read = 0
        self._seen: set[Key] = set()

    def next(self, payload: Any) -> Key:  # plain data
        self._read += 1
        if self._function is None:
            return self._read - 1
        key = self._function(payload)
        if not isinstance(key, str | int):
            raise MlcoreError(f"payload {self._read - 1} has the key {key!r}; a key is a string or an integer")
        if key in self._seen:
            raise MlcoreError(f"two payloads have the key {key!r}", hint="let `key` give each payload its own name")
        self._seen.add(key)
        return key


def call(function: Callable[[Any], Any], payload: Any, key: Key, retries: int = 0) -> Outcome:
    """Call a function once, and again after an exception; what is no `Exception`, like Ctrl+C, passes through.

    Args:
        function: Takes the payload.
        payload: Plain data.
        key: The payload's key.
        retries: How often to call again.
    """
    attempt = 0
    while True:
        attempt += 1
        started = time.perf_counter()
        try:
            return Result(key, function(payload), time.perf_counter() - started)
        except Exception as error:  # noqa: BLE001  the outcome tells it
            if attempt > retries:
                return _failure(key, error, attempt)


def _failure(key: Key, error: Exception, attempts: int) -> Failure:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    # The first frame is `call`, which is not the user's.
    theirs = error.__traceback__.tb_next if error.__traceback__ else None
    text = "".join(traceback.format_exception(kind, error, theirs))
    return Failure(key, name, str(error), text, attempts)


def import_function(path: str) -> Callable[[Any], Any]:
    """Import `package.module:function`; an exception inside the module passes through.

    Raises:
        MlcoreError: The path, the module or the function is wrong.
    """
    wrong = check_target(path)
    if wrong:
        raise MlcoreError(f"function: {wrong}", hint="the function must be importable by its name, in any process")
    module = path.partition(":")[0]
    try:
        function = import_target(path)
    except ModuleNotFoundError as error:
        if not error.name or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise MlcoreError(f"there is no module {error.name!r} for the function {path!r}") from error
    except AttributeError as error:
        if getattr(error.obj, "__name__", None) != module:
            raise
        hint = nearest(path.partition(":")[2], vars(error.obj))
        raise MlcoreError(f"module {module!r} has no function {path.partition(':')[2]!r}", hint=hint) from error
    if not callable(function):
        raise MlcoreError(f"{path!r} is no function but {function!r}")
    found: Callable[[Any], Any] = function
    return found


def open_executor(spec: str = "serial", *, host: PluginHost | None = None) -> Executor:
    """Open the executor that plugins registered under a name.

    Args:
        spec: `name`, or `name://address` for one that is reached somewhere.
        host: The plugins to ask; the current ones by default.

    Raises:
        PluginError: No plugin offers it, or the one that does is broken.
        MlcoreError: The executor refuses the address.
    """
    name, _, address = spec.partition("://")
    factory = (host or current_host()).executors.resolve(name)
    executor: Executor = factory(address) if address else factory()
    return executor
