"""Batches cut from arrays in memory, shuffled by a permutation that depends on seed and epoch only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore_emloop_compat.types import DatasetError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class ArrayStream:
    """A stream over arrays; return the same object from a `<name>_stream` method each time.

    Each iteration is an epoch. Its state is the epoch's number and the position in it, so that a resumed training reads
    nothing twice, and no generator has to be kept: epoch e is permuted by NumPy's `default_rng([seed, e])`.

    Args:
        arrays: Sources by name; their first axes are equally long.
        batch_size: Examples in a batch; the last one of an epoch may have fewer.
        shuffle: Whether each epoch has its own order.
        seed: Of the permutations.

    Raises:
        DatasetError: The arrays are of unequal length, or there is nothing to cut.

    Example:
        >>> stream = ArrayStream({"x": [1, 2, 3]}, batch_size=2)
        >>> [batch["x"].tolist() for batch in stream]
        [[1, 2], [3]]
    """

    def __init__(
        self, arrays: Mapping[str, ArrayLike], batch_size: int, *, shuffle: bool = False, seed: int = 0
    ) -> None:
        self.arrays = {name: np.asarray(values) for name, values in arrays.items()}
        for name, values in self.arrays.items():
            if not values.ndim:
                raise DatasetError(f"the source {name!r} is a single {type(arrays[name]).__name__}, not one an example")
        lengths = {name: len(values) for name, values in self.arrays.items()}
        if len(set(lengths.values())) != 1:
            raise DatasetError(f"the arrays of a stream must be equally long, but they have {lengths or 'no sources'}")
        if batch_size < 1:
            raise DatasetError(f"batch_size is {batch_size}; a batch has at least one example")
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self._size = next(iter(lengths.values()))
        self._epoch = self._position = 0
        self._resumed = False

    def __len__(self) -> int:
        """Batches in an epoch."""
        return math.ceil(self._size / self.batch_size)

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        """Begin the next epoch, or go on within the one whose state was loaded."""
        if not self._resumed:
            self._epoch, self._position = self._epoch + 1, 0
        self._resumed = False
        return self._batches(self._order())

    def _batches(self, order: NDArray[np.intp] | None) -> Iterator[dict[str, NDArray[Any]]]:
        while self._position < len(self):
            start = self._position * self.batch_size
            chosen = slice(start, start + self.batch_size) if order is None else order[start : start + self.batch_size]
            self._position += 1
            yield {name: values[chosen] for name, values in self.arrays.items()}

    def _order(self) -> NDArray[np.intp] | None:
        if not self.shuffle:
            return None
        return np.random.default_rng([self.seed, self._epoch]).permutation(self._size)

    def state_dict(self) -> dict[str, int]:
        """The epoch, from 1, and how many of its batches were handed out."""
        return {"epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on where `state_dict` was taken; at the end of an epoch that is the next one."""
        self._epoch, self._position = state["epoch"], state["position"]
        self._resumed = 0 < self._position < len(self)
