"""The executor `serial`: here and now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from mlcore.errors import MlcoreError
from mlcore.execution.functions import import_function
from mlcore.execution.keys import Key, Keys
from mlcore.execution.outcomes import Outcome, call
from mlcore.execution.protocol import check_retries

_END = object()


class SerialExecutor:
    """Calls the function in this process, one payload after the other, when the next outcome is asked for.

    Outcomes come in the order of the payloads. Nothing is read ahead and nothing is kept.

    Example:
        >>> from mlcore.execution import Result
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
        check_retries(retries)
        return self._outcomes(import_function(function), iter(payloads), Keys(key), retries, self._cancelled)

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
        self, function: Callable[[Any], Any], payloads: Iterator[Any], keys: Keys, retries: int, cancelled: int
    ) -> Iterator[tuple[Key, Outcome]]:
        while self._cancelled == cancelled and (payload := next(payloads, _END)) is not _END:
            key = keys.next(payload)
            yield key, call(function, payload, key, retries)
