"""Signatures: what the arrays of a model look like. Seen in its first batches, kept with it, checked when it is loaded.

A model takes part if its class has `signature = None`. Its first batches pass through a `run` of the instance, which
then takes itself away: later ones cost nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from mlcore.errors import ModelError

# So many batches are looked at: an axis whose size differs among them may have any.
_BATCHES = 8
# From narrow to wide: where a wide one is expected, a narrow one will do.
_NUMBERS = ("bool", "int", "float", "complex")
_ANY = "object"


@dataclass(frozen=True)
class Field:
    """What one array looks like.

    Args:
        dtype: `float32`, `int64`, `str`; `object` for anything.
        shape: Of one example, without the first axis; None for an axis that varies, or for all of it.
    """

    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        axes = None if self.shape is None else ", ".join("any" if size is None else str(size) for size in self.shape)
        return f"{self.dtype} of any shape" if axes is None else f"{self.dtype} of shape ({axes}) an example"

    def takes(self, other: Field) -> bool:
        """Whether another array will do in its place."""
        return _takes(self.dtype, other.dtype) and (
            self.shape is None
            or other.shape is None
            or (
                len(self.shape) == len(other.shape)
                and all(own in (None, size) for own, size in zip(self.shape, other.shape, strict=True))
            )
        )

    def joined(self, other: Field) -> Field:
        """What takes both."""
        dtype = self.dtype if _takes(self.dtype, other.dtype) else other.dtype
        if not _takes(dtype, self.dtype):
            dtype = _ANY
        if self.shape is None or other.shape is None or len(self.shape) != len(other.shape):
            return Field(dtype, None)
        return Field(dtype, tuple(a if a == b else None for a, b in zip(self.shape, other.shape, strict=True)))


@dataclass(frozen=True)
class Signature:
    """What a model reads and gives.

    Args:
        inputs: By name.
        outputs: By name.
        batches: From how many batches this is known.
    """

    inputs: Mapping[str, Field]
    outputs: Mapping[str, Field]
    batches: int = 1

    @property
    def incomplete(self) -> bool:
        """Whether more batches are to be looked at."""
        return self.batches < _BATCHES

    def record(self) -> dict[str, Any]:  # JSON values
        """As it is kept with a model."""
        return asdict(self)

    @classmethod
    def read(cls, record: Mapping[str, Any] | None) -> Self | None:  # JSON values
        """What `record` gave; None where nothing was kept."""
        if not record:
            return None
        return cls(_fields(record["inputs"]), _fields(record["outputs"]), record["batches"])

    def joined(self, other: Signature) -> Signature:
        """What takes the batches of both."""
        return Signature(
            _joined(self.inputs, other.inputs), _joined(self.outputs, other.outputs), self.batches + other.batches
        )


def remember(model: Any, batch: Mapping[str, Any], outputs: Mapping[str, Any]) -> bool:  # a Model, arrays
    """Join what a batch looks like to a model's signature.

    Returns:
        Whether more batches are to be looked at.
    """
    known: Signature | None = model.signature
    if known is None or known.incomplete:
        seen = Signature(_seen({name: batch[name] for name in model.input_names if name in batch}), _seen(outputs))
        model.signature = known = known.joined(seen) if known else seen
    return known.incomplete


def _seen(arrays: Mapping[str, Any]) -> dict[str, Field]:  # of any kind
    found = {name: _field(value) for name, value in arrays.items()}
    return {name: field for name, field in found.items() if field is not None}


def check_batch(signature: Signature, batch: Mapping[str, Any]) -> None:  # arrays
    """Refuse a batch that looks different from those that a model was made with.

    Raises:
        ModelError: It names source, what was expected and what was found. Sources that are missing are the model's to
            tell.
    """
    for name, expected in signature.inputs.items():
        found = _field(batch[name]) if name in batch else None
        if found is not None and not expected.takes(found):
            raise ModelError(
                f"{name!r} of this batch is {found}, but the model was saved after batches of {expected}",
                hint="bring the data into that form; if the model takes both: model.signature = None",
            )


def watch(model: object, *, check: bool = False) -> None:
    """Look at the next batches of a model, if it takes part.

    Args:
        model: It remembers what they look like in its `signature`.
        check: The first one must look as its signature says.
    """
    if not hasattr(type(model), "signature"):
        return
    known: Signature | None = model.signature  # type: ignore[attr-defined]  # it has, see above
    watching = vars(model).get("run")
    if isinstance(watching, _Watch):
        watching.check = watching.check or check
    elif watching is None and (known is None or check or known.incomplete):
        vars(model)["run"] = _Watch(model, check=check)


class _Watch:
    """The `run` of a model while its first batches are looked at.

    Args:
        model: It takes part.
        check: See `watch`.
    """

    def __init__(self, model: Any, *, check: bool) -> None:  # a Model with a signature
        self._model, self.check = model, check
        functools.update_wrapper(self, type(model).run.__get__(model))

    def __call__(self, batch: Any, *args: Any, **kwargs: Any) -> Any:  # what the model's own takes and gives
        model, run = self._model, type(self._model).run
        if vars(model).get("run") is not self:  # somebody has kept it
            return run(model, batch, *args, **kwargs)
        if self.check and model.signature is not None:
            check_batch(model.signature, batch)
        self.check = False
        outputs = run(model, batch, *args, **kwargs)
        if not remember(model, batch, outputs):
            del vars(model)["run"]
        return outputs


def _field(value: Any) -> Field | None:  # an array of any kind
    """What an array looks like; None where that cannot be said."""
    if not hasattr(value, "dtype") or not hasattr(value, "shape"):
        import numpy as np

        try:
            value = np.asarray(value)
        except ValueError:  # rows of different lengths
            return None
    return Field(_dtype(str(value.dtype)), tuple(int(size) for size in value.shape[1:]))


def _dtype(name: str) -> str:
    name = name.rpartition(".")[2]
    return {"U": "str", "S": "bytes", "T": "str"}.get(name.lstrip("<>|=")[:1], name)


def _takes(expected: str, found: str) -> bool:
    if expected == found or _ANY in (expected, found):
        return True
    wide, narrow = _rank(expected), _rank(found)
    return wide is not None and narrow is not None and wide >= narrow


def _rank(dtype: str) -> int | None:
    plain = dtype.removeprefix("u").removeprefix("b") if dtype != "bool" else dtype
    return next((rank for rank, kind in enumerate(_NUMBERS) if plain.startswith(kind)), None)


def _fields(record: Mapping[str, Any]) -> dict[str, Field]:  # JSON values
    shapes = {name: one["shape"] for name, one in record.items()}
    return {
        name: Field(one["dtype"], None if shapes[name] is None else tuple(shapes[name])) for name, one in record.items()
    }


def _joined(some: Mapping[str, Field], others: Mapping[str, Field]) -> dict[str, Field]:
    names = [*some, *(name for name in others if name not in some)]
    return {
        name: some[name].joined(others[name]) if name in some and name in others else some.get(name) or others[name]
        for name in names
    }
