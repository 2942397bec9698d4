"""Reading ahead: a thread fills a bounded queue while the model works."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterable, Iterator
from queue import Empty, Full, Queue
from typing import Any, TypeVar

T = TypeVar("T")
_END = object()
# How often a producer that waits for room looks whether its consumer is gone.
_LOOK = 0.1


def read_ahead(items: Iterable[T], size: int) -> Iterator[T]:
    """Iterate with at most `size` items read ahead.

    An exception of the iterable is raised here, at its place in the order, with its own traceback. Closing the iterator
    ends the thread.

    Args:
        items: What to read.
        size: At least 1.
    """
    queue: Queue[Any] = Queue(size)  # items, then _END or an exception
    left = threading.Event()
    # The stream sees the current run and store, as it would without a thread.
    produce = contextvars.copy_context().run
    thread = threading.Thread(
        target=produce, args=(_produce, items, queue, left), name="mlcore-read-ahead", daemon=True
    )
    thread.start()
    try:
        while True:
            item, error = queue.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        left.set()
        _drain(queue)
        thread.join()


def _produce(items: Iterable[Any], queue: Queue[Any], left: threading.Event) -> None:
    try:
        for item in items:
            if not _offer(queue, (item, None), left):
                return
        _offer(queue, (_END, None), left)
    except BaseException as error:  # noqa: BLE001 - handed to the consumer, who raises it
        _offer(queue, (None, error), left)


def _offer(queue: Queue[Any], entry: tuple[Any, BaseException | None], left: threading.Event) -> bool:
    """Put an entry, or notice that nobody waits for it any more."""
    while not left.is_set():
        try:
            queue.put(entry, timeout=_LOOK)
        except Full:
            continue
        return True
    return False


def _drain(queue: Queue[Any]) -> None:
    """Make room, so that a waiting producer sees at once that it can stop."""
    try:
        while True:
            queue.get_nowait()
    except Empty:
        pass
