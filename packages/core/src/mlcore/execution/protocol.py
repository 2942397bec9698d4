"""What an executor is, and how one is opened by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from mlcore.errors import MlcoreError
from mlcore.execution.keys import Key
from mlcore.execution.outcomes import Outcome
from mlcore.plugins import current_host

if TYPE_CHECKING:
    from mlcore.plugins import PluginHost


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
            retries: How often to call again after an exception or a call that took too long.
            timeout: Seconds that one call may take; a call that is not over by then is ended.

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


def check_retries(retries: object) -> None:
    """Refuse what is no count.

    Raises:
        MlcoreError: It is none.
    """
    if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
        raise MlcoreError(f"retries={retries!r} is neither 0 nor a positive integer")


_chosen: ContextVar[str] = ContextVar("mlcore_executor", default="serial")


@contextmanager
def use_executor(spec: str) -> Iterator[None]:
    """Let `open_executor()` open this one within the block, as `mlcore run --executor` does."""
    token = _chosen.set(spec)
    try:
        yield
    finally:
        _chosen.reset(token)


def open_executor(spec: str | None = None, *, host: PluginHost | None = None) -> Executor:
    """Open the executor that plugins registered under a name.

    Args:
        spec: `name`, or `name://address` for one that is reached somewhere. Without it, the one that was chosen for
            this run (`--executor`), else `serial`.
        host: The plugins to ask; the current ones by default.

    Raises:
        PluginError: No plugin offers it, or the one that does is broken.
        MlcoreError: The executor refuses the address.
    """
    name, _, address = (spec or _chosen.get()).partition("://")
    factory = (host or current_host()).executors.resolve(name)
    executor: Executor = factory(address) if address else factory()
    return executor
