"""Types of emloop, and the errors of its main loop.

The errors are mlcore's, so that they say where and what to do, and at the same time the exception types that programs
written for emloop expect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from mlcore.errors import ModelError

Batch: TypeAlias = Mapping[str, Sequence[Any]]  # values of any array type
Stream: TypeAlias = Iterable[Batch]
EpochData: TypeAlias = Mapping[str, object]
TimeProfile: TypeAlias = Mapping[str, list[float]]


class TrainingTerminated(Exception):
    """Raised by a hook to end the training; it counts as success."""


class BatchError(ModelError, ValueError):
    """A batch is empty, ragged, or lacks a source."""


class OverlapError(ModelError, AssertionError):
    """A model's output has the name of an input."""


class ActionError(ModelError, AssertionError):
    """An action is none of those that exist."""


class ArgumentError(ModelError, ValueError):
    """The main loop has no such argument."""


class DatasetError(ModelError, ValueError):
    """A dataset cannot be made of what it is given."""


class StreamNameError(ModelError, ValueError):
    """Two streams of an epoch have one name."""


class StreamMissingError(ModelError, AttributeError):
    """The dataset has no stream of that name."""


class HookError(ModelError, ValueError):
    """A hook cannot do its work with the data or the arguments that it got."""


class HookKeyError(HookError, KeyError):
    """A hook asks for a stream, variable or aggregation that is not there."""

    __str__ = ModelError.__str__


class HookTypeError(HookError, TypeError):
    """A hook got data of a type that it cannot use."""


__all__ = ["Batch", "EpochData", "Stream", "TimeProfile", "TrainingTerminated"]
