"""A named stream that begins anew each epoch, may be cut into epochs, and may be read ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from types import TracebackType
from typing import Any, Self

from mlcore_emloop_compat.datasets.buffering import read_ahead
from mlcore_emloop_compat.types import Batch, BatchError, Stream, TimeProfile


class StreamWrapper:
    """Epochs of a stream.

    Args:
        stream_fn: Returns the stream; called again when it is exhausted.
        buffer_size: Batches to read ahead in a thread, never beyond the epoch; 0 for none.
        epoch_size: Batches in an epoch. The next epoch goes on where this one stopped, and an exhausted stream begins
            again within the epoch. Without it (-1), an epoch is the whole stream.
        name: Of the stream.
        profile: Kept for programs that pass it; the main loop takes the times.
    """

    def __init__(
        self,
        stream_fn: Callable[[], Stream],
        buffer_size: int = 0,
        epoch_size: int = -1,
        name: str | None = None,
        profile: TimeProfile | None = None,
    ) -> None:
        self._stream_fn, self._buffer_size, self._epoch_size = stream_fn, buffer_size, epoch_size
        self._name, self._profile = name, profile
        self._source: Stream | None = None
        self._loaded = False
        self._running: Iterator[Batch] | None = None
        self._epoch: Iterator[Batch] | None = None

    @property
    def name(self) -> str | None:
        """Of the stream."""
        return self._name

    def begin(self) -> Iterator[Batch]:
        """The batches of the next epoch. The plain iterator of the stream where nothing has to be done to it."""
        self.end_epoch()
        batches = islice(self._endless(), self._epoch_size) if self._epoch_size > 0 else self._open()
        # Read ahead within the epoch only, so that at its end the stream stands where the model does.
        self._epoch = read_ahead(batches, self._buffer_size) if self._buffer_size > 0 else batches
        return self._epoch

    def _open(self) -> Iterator[Batch]:
        self._source = self._source if self._loaded and self._source is not None else self._stream_fn()
        self._loaded = False
        if not isinstance(self._source, Iterable):
            what = f"the stream {self._name!r} is a {type(self._source).__name__}, which cannot be iterated over"
            raise BatchError(what, hint="let its method return an iterable of batches, or yield them")
        return iter(self._source)

    def _endless(self) -> Iterator[Batch]:
        """The stream over and over; ends only if a fresh one is empty."""
        while True:
            fresh = self._running is None
            self._running = self._open() if self._running is None else self._running
            for batch in self._running:
                fresh = False
                yield batch
            self._running = None
            if fresh:
                return

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        epoch = self.begin() if self._epoch is None else self._epoch
        try:
            return next(epoch)
        except StopIteration:
            self._epoch = None
            raise

    def empty(self) -> bool:
        """Whether nothing is waiting to be read."""
        return self._epoch is None

    @property
    @contextmanager
    def allow_buffering(self) -> Iterator[None]:
        """Kept for models that ask for it; reading ahead needs no permission here."""
        yield

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the epoch, and with it the reading thread; the next one begins at the stream's beginning."""
        self.end_epoch()
        self._running = None

    def end_epoch(self) -> None:
        """End the reading thread, if there is one; a stream that is cut into epochs stays where it is."""
        close = getattr(self._epoch, "close", None)
        if self._buffer_size > 0 and close is not None:
            close()
        self._epoch = None

    def state_dict(self) -> Mapping[str, Any] | None:  # JSON values and arrays
        """The stream's own state where it has one; None where it begins anew after a resume."""
        own = getattr(self._source, "state_dict", None)
        return own() if own else None

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Give the stream its state back; the next epoch goes on from there."""
        source = self._stream_fn()
        if hasattr(source, "load_state_dict"):
            source.load_state_dict(state)
            self._source, self._loaded = source, True
