"""The names of payloads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from mlcore.errors import MlcoreError

Key: TypeAlias = str | int


class Keys:
    """Names payloads, each name once.

    Args:
        function: Gives a payload its key; without it, payloads are counted from 0.
    """

    def __init__(self, function: Callable[[Any], Key] | None) -> None:  # the payload is plain data
        self._function = function
        self._read = 0
        self._seen: set[Key] = set()

    def next(self, payload: Any) -> Key:  # plain data
        """Name the next payload.

        Raises:
            MlcoreError: The key is of a wrong type, or another payload has it.
        """
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
