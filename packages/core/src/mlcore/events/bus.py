"""The bus of a run: one channel for each event class, and the listeners in their order."""

from __future__ import annotations

import inspect
import threading
import traceback
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from mlcore.errors import MlcoreError
from mlcore.events.facts import RunFailed

E = TypeVar("E")
Listener = Callable[[E], object]


class Subscription:
    """One listener's place in a channel. In a `with` block it ends with the block."""

    __slots__ = ("_channel", "call", "priority")

    def __init__(self, channel: Channel[E], listener: Listener[E], *, every: int, once: bool, priority: int) -> None:
        self._channel, self.priority = channel, priority
        self.call: Listener[Any] = _filtered(listener, every, self if once else None)

    def cancel(self) -> bool:
        """End it; it counts from the next event on. Returns whether it was still alive."""
        return self._channel.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.cancel()


class Channel(Generic[E]):
    """The listeners of one event class.

    Attributes:
        listeners: What `emit` calls, in order. Replaced, never changed, so that subscribing is safe at any time and
            from any thread; who subscribes while an event is handed out is first called for the next one.
    """

    __slots__ = ("_lock", "_subscriptions", "listeners")

    def __init__(self) -> None:
        self.listeners: tuple[Listener[E], ...] = ()
        self._subscriptions: tuple[Subscription, ...] = ()
        # Reentrant: a signal handler may cancel while its own thread subscribes.
        self._lock = threading.RLock()

    def emit(self, event: E) -> None:
        """Hand an event to every listener; the first exception ends it, with a note that names listener and event.

        The listeners of `RunFailed` all run: what they raise becomes a note on the run's error.
        """
        listener: Listener[E] | None = None
        try:
            for listener in self.listeners:
                listener(event)
        except Exception as error:
            error.add_note(f"raised by the listener {_name(listener)} of {type(event).__name__}")
            raise

    def add(self, subscription: Subscription) -> None:
        """Put a subscription behind those of the same or a higher priority."""
        with self._lock:
            self._replace(sorted((*self._subscriptions, subscription), key=lambda each: -each.priority))

    def remove(self, subscription: Subscription) -> bool:
        """Take a subscription out; returns whether it was in."""
        with self._lock:
            kept = [each for each in self._subscriptions if each is not subscription]
            found = len(kept) < len(self._subscriptions)
            self._replace(kept)
        return found

    def clear(self) -> None:
        """Take all subscriptions out."""
        with self._lock:
            self._replace([])

    def _replace(self, subscriptions: list[Subscription]) -> None:
        self._subscriptions = tuple(subscriptions)
        self.listeners = tuple(each.call for each in subscriptions)


class _FailureChannel(Channel[RunFailed]):
    """The listeners of `RunFailed` clean up: each gets its turn, and none may hide the run's own error."""

    __slots__ = ()

    def emit(self, event: RunFailed) -> None:
        for listener in self.listeners:
            try:
                listener(event)
            except Exception as error:  # noqa: BLE001  kept as a note on the run's error, which is raised next
                told = "".join(traceback.format_exception(error)).rstrip()
                event.error.add_note(f"then the listener {_name(listener)} of RunFailed raised:\n{told}")


class Bus:
    """The channels of one run.

    Example:
        >>> from mlcore.events import Bus, EpochStarted
        >>> bus = Bus()
        >>> with bus.on(EpochStarted, lambda event: print("epoch", event.number), every=2):
        ...     for number in range(1, 5):
        ...         bus.channel(EpochStarted).emit(EpochStarted(number))
        epoch 2
        epoch 4
    """

    def __init__(self) -> None:
        self._channels: dict[type[Any], Channel[Any]] = {}
        self._lock = threading.RLock()
        self._closed = False

    def channel(self, event_type: type[E]) -> Channel[E]:
        """The channel of an event class; the same one each time. Classes derived from it have their own."""
        _check_event_type(event_type)
        with self._lock:
            if event_type not in self._channels:
                self._channels[event_type] = _FailureChannel() if event_type is RunFailed else Channel()
            return self._channels[event_type]

    def on(
        self, event_type: type[E], listener: Listener[E], *, every: int = 1, once: bool = False, priority: int = 0
    ) -> Subscription:
        """Call a listener with each event of a class.

        Args:
            event_type: For example `EpochFinished`.
            listener: Takes the event. An exception of it ends the run, unless the event is `RunFailed`.
            every: Call it only when `event.number` is a multiple of this. Not deliveries are counted but the event's
                own number, so that a resumed run calls at the same events.
            once: Call it for one event only; the subscription is cancelled before the call.
            priority: The higher one is called first; equal ones in the order of subscription.

        Raises:
            MlcoreError: The listener cannot take one event, `every` cannot be counted, or the bus is closed.
        """
        _check_listener(event_type, listener)
        _check_every(event_type, every)
        channel = self.channel(event_type)
        subscription = Subscription(channel, listener, every=every, once=once, priority=priority)
        with self._lock:
            if self._closed:
                raise MlcoreError(f"{_name(listener)} would never be called: the bus is closed, its run has ended")
            channel.add(subscription)
        return subscription

    def close(self) -> None:
        """Drop all listeners; events that still come are handed to nobody."""
        with self._lock:
            self._closed = True
            for channel in self._channels.values():
                channel.clear()


def _filtered(listener: Listener[E], every: int, once: Subscription | None) -> Listener[E]:
    """The listener itself when there is nothing to filter, so that the common case costs nothing."""
    if every == 1 and once is None:
        return listener

    def call(event: E) -> None:
        if every > 1 and event.number % every:  # type: ignore[attr-defined]  # `_check_every` has seen it
            return
        # Only one of two threads gets True.
        if once is None or once.cancel():
            listener(event)

    call.__wrapped__ = listener  # type: ignore[attr-defined]  # what `inspect` and `_name` follow
    return call


def _check_event_type(event_type: object) -> None:
    if not isinstance(event_type, type):
        raise MlcoreError(
            f"{event_type!r} is not an event class", hint="give the class, like EpochFinished, not an event or a name"
        )


def _check_listener(event_type: type[E], listener: Listener[E]) -> None:
    _check_event_type(event_type)
    wanted = f"wanted is a function of one argument: def listener(event: {event_type.__name__}) -> None"
    if not callable(listener):
        raise MlcoreError(f"{listener!r} is not callable and cannot listen to {event_type.__name__}", hint=wanted)
    if inspect.iscoroutinefunction(listener) or inspect.isgeneratorfunction(listener):
        raise MlcoreError(f"{_name(listener)} is a coroutine or generator function: no emit runs its body", hint=wanted)
    try:
        signature = inspect.signature(listener)
    except ValueError:  # some builtins have none; the first event will tell
        return
    try:
        signature.bind(None)
    except TypeError as error:
        raise MlcoreError(
            f"{_name(listener)}{signature} cannot be called with one {event_type.__name__}: {error}", hint=wanted
        ) from None


def _check_every(event_type: type[E], every: object) -> None:
    if not isinstance(every, int) or isinstance(every, bool) or every < 1:
        raise MlcoreError(f"every={every!r} is not a positive integer")
    counted = hasattr(event_type, "number") or "number" in getattr(event_type, "__dataclass_fields__", ())
    if every > 1 and not counted:
        raise MlcoreError(
            f"every={every} cannot be counted: {event_type.__name__} has no `number`",
            hint="leave `every` out and count in the listener, or listen to an event with a number",
        )


def _name(listener: object) -> str:
    listener = inspect.unwrap(listener) if callable(listener) else listener
    if isinstance(listener, partial):
        return _name(listener.func)
    named = listener if hasattr(listener, "__qualname__") else type(listener)
    return f"{named.__module__}.{named.__qualname__}"
