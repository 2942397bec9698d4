"""What a main loop asks of batches and outputs, and what it does when they do not fit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, NoReturn

from mlcore.errors import nearest
from mlcore_emloop_compat.types import ActionError, ArgumentError, Batch, BatchError, OverlapError

log = logging.getLogger(__name__)
ACTIONS = ("ignore", "warn", "error")


class BatchChecks:
    """The checks of one main loop. Each is called only for what looks unusual: see `MainLoop`.

    Args:
        model: Names its inputs, and its targets where it tells them apart.
        on_empty_batch: What to do with a batch without examples.
        on_unused_sources: What to do with sources that the model does not use.
    """

    def __init__(self, model: Any, on_empty_batch: str, on_unused_sources: str) -> None:  # any kind of model
        self._model = model
        self._on_empty_batch, self._on_unused_sources = on_empty_batch, on_unused_sources
        self._unused_told = False

    def measure(self, batch: Any, stream: str, error: Exception) -> set[int]:  # whatever a stream gave
        """The lengths of a batch whose sources are not all arrays.

        Args:
            batch: What the stream gave.
            stream: Its name.
            error: What reading it as arrays raised.
        """
        if not isinstance(batch, Mapping):
            what = f"the stream {stream!r} gave a {type(batch).__name__} instead of a batch"
            raise BatchError(what, hint="a batch is a mapping of source names to sequences of equal length") from error
        for name, values in batch.items():
            if not hasattr(values, "__len__") or getattr(values, "shape", None) == ():
                what = f"the source {name!r} of a batch of the stream {stream!r} is a single {type(values).__name__}"
                raise BatchError(what, hint="a source has a value for each example") from error
        return set(map(len, batch.values()))

    def lengths(self, batch: Batch, stream: str) -> None:
        """A batch is either empty, which may be allowed, or ragged, which never is."""
        lengths = {name: len(values) for name, values in batch.items()}
        if not any(lengths.values()):
            act(self._on_empty_batch, f"a batch of the stream {stream!r} is empty: {lengths or 'it has no sources'}")
            return
        shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise BatchError(f"the sources of a batch of the stream {stream!r} are of unequal length: {shown}")

    def sources(self, batch: Batch, stream: str, *, train: bool) -> Set[str]:
        """Refuse a batch without a source that the model needs, tell of those that it does not use.

        Returns:
            The batch's sources: batches that have just these need not be checked again.
        """
        inputs, targets = set(self._model.input_names), set(getattr(self._model, "target_names", ()))
        needed = inputs | targets if train else inputs
        if missing := sorted(needed - batch.keys()):
            what = f"the model needs the source {missing[0]!r}, which a batch of the stream {stream!r} does not have"
            raise BatchError(what, hint=nearest(missing[0], map(str, batch)))
        if unused := batch.keys() - inputs - targets:
            self._tell_unused(unused, stream)
        return frozenset(batch)

    def _tell_unused(self, unused: Set[str], stream: str) -> None:
        if not self._unused_told:
            names = ", ".join(sorted(map(str, unused)))
            act(self._on_unused_sources, f"the model does not use the sources {names} of the stream {stream!r}")
            self._unused_told = True

    def refuse_outputs(self, batch: Batch, outputs: object, error: Exception | None = None) -> NoReturn:
        """Raise what is wrong with outputs that could not be put beside the batch.

        Args:
            batch: What the model was given.
            outputs: What it returned.
            error: What reading them raised.
        """
        kind = type(self._model).__qualname__
        if not isinstance(outputs, Mapping):
            what = f"{kind}.run returned a {type(outputs).__name__} instead of a mapping of output names to values"
            raise BatchError(what) from error
        if error is not None:
            raise error
        both = ", ".join(sorted(batch.keys() & outputs.keys()))
        raise OverlapError(f"{kind}.run returned outputs with names of sources: {both}", hint="rename the outputs")


def check_action(name: str, action: str, valid: Sequence[str] = ACTIONS) -> None:
    """Refuse an action that does not exist."""
    if action not in valid:
        raise ActionError(f"{name} is {action!r}; it is one of {', '.join(valid)}")


def act(action: str, message: str, error: Callable[[str], Exception] = BatchError) -> None:
    """Ignore, warn or raise."""
    if action == "error":
        raise error(message)
    if action == "warn":
        log.warning("%s", message)


def check_arguments(given: Mapping[str, object], valid: Set[str], action: str) -> None:
    """Treat arguments that do not exist."""
    for name in given:
        act(action, f"the main loop has no argument {name!r}; {nearest(name, valid)}", ArgumentError)
