"""The streams of a main loop: found by name, wrapped, and remembered from epoch to epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from mlcore.errors import nearest
from mlcore_emloop_compat.datasets import StreamWrapper
from mlcore_emloop_compat.types import Stream, StreamMissingError, StreamNameError, TimeProfile

AnyStream: TypeAlias = str | StreamWrapper | Stream


class Streams:
    """Wrappers of a dataset's streams, made on first use.

    Args:
        dataset: Has a method `<name>_stream` for each stream.
        buffer: Batches to read ahead in a thread.
        epoch_sizes: Batches in an epoch, for the streams where that is fixed.
        profile: Handed to the wrappers.
    """

    def __init__(self, dataset: Any, buffer: int, epoch_sizes: Mapping[str, int | None], profile: TimeProfile) -> None:
        self._dataset, self._buffer, self._epoch_sizes, self._profile = dataset, buffer, epoch_sizes, profile
        self._wrappers: dict[str, StreamWrapper] = {}

    def get(self, name: str) -> StreamWrapper:
        """The dataset's stream of that name.

        Raises:
            AttributeError: The dataset has none.
        """
        if name not in self._wrappers:
            size = self._epoch_sizes.get(name) or -1
            self._wrappers[name] = StreamWrapper(self._method(name), self._buffer, size, name, self._profile)
        return self._wrappers[name]

    def _method(self, name: str) -> Callable[[], Stream]:
        try:
            method: Callable[[], Stream] = getattr(self._dataset, f"{name}_stream")
        except AttributeError as error:
            kind = type(self._dataset)
            known = [member.removesuffix("_stream") for member in dir(kind) if member.endswith("_stream")]
            what = f"the dataset {kind.__qualname__} has no method `{name}_stream`"
            raise StreamMissingError(what, hint=nearest(name, known)) from error
        return method

    def prepare(self, streams: Iterable[AnyStream], base_name: str) -> list[StreamWrapper]:
        """Wrap streams; iterables of batches are called `<base_name>_<number>`."""
        return [self._wrap(stream, f"{base_name}_{number}") for number, stream in enumerate(streams)]

    def _wrap(self, stream: AnyStream, name: str) -> StreamWrapper:
        if isinstance(stream, str):
            return self.get(stream)
        if isinstance(stream, StreamWrapper):
            return stream
        return StreamWrapper(lambda: stream, self._buffer, name=name, profile=self._profile)

    def close(self) -> None:
        """End what is being read."""
        for wrapper in self._wrappers.values():
            wrapper.close()

    def state_dict(self) -> dict[str, Mapping[str, Any] | None]:  # JSON values and arrays
        """The states of the streams; None for those that declare none."""
        return {name: wrapper.state_dict() for name, wrapper in self._wrappers.items()}

    def load_state_dict(self, state: Mapping[str, Mapping[str, Any] | None]) -> list[str]:
        """Give the streams their states back.

        Returns:
            Names of those that declare none, and begin anew.
        """
        for name, kept in state.items():
            if kept is not None:
                self.get(name).load_state_dict(kept)
        return [name for name, kept in state.items() if kept is None]


def check_names(streams: Iterable[StreamWrapper]) -> None:
    """Refuse two streams of one name: what hooks write about one would hide the other.

    Raises:
        ValueError: There are two.
    """
    twice = [name for name, count in Counter(stream.name for stream in streams).items() if count > 1]
    if twice:
        raise StreamNameError(
            f"two streams of an epoch have the name {twice[0]!r}", hint="each stream of an epoch needs its own"
        )
