"""What an estimator takes, made of a batch: one table of features and one target.

Not for what an estimator gives back: see `outputs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from mlcore.errors import ModelError, nearest

# numpy, scipy.sparse, a data frame or a list of texts: whatever scikit-learn takes.
Table: TypeAlias = Any
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]  # of any shape and dtype: the user's


def features(batch: Mapping[str, Any], names: Sequence[str]) -> Table:  # values of any array type
    """Make one table of the named sources: each flattened to (examples, -1), joined along axis 1.

    Texts, sparse matrices and data frames that stand alone stay as they are.

    Raises:
        ModelError: A source is missing, ragged or empty, or their lengths differ.
    """
    columns = [_column(name, _source(batch, name)) for name in names]
    lengths = [count(column) for column in columns]
    if len(set(lengths)) > 1:
        raise _unequal(dict(zip(names, lengths, strict=True)))
    if lengths[0] == 0:
        raise ModelError(f"the batch has no examples: {names[0]!r} is empty", hint="skip empty batches in the dataset")
    if len(columns) == 1:
        return columns[0]
    return np.concatenate([_flat(name, column) for name, column in zip(names, columns, strict=True)], axis=1)


def target(batch: Mapping[str, Any], name: str, examples: int) -> Array:  # values of any array type
    """Take the target of a batch; a column of shape (examples, 1) becomes (examples,).

    Raises:
        ModelError: It is missing or ragged, or not one value or row an example.
    """
    values = _array(name, _source(batch, name))
    if values.ndim == 0 or len(values) != examples:
        raise _unequal({"inputs": examples, name: len(values) if values.ndim else 0})
    return values.reshape(examples) if values.ndim == 2 and values.shape[1] == 1 else values


def count(table: Table) -> int:
    """Count the examples of a table."""
    return int(table.shape[0]) if hasattr(table, "shape") else len(table)


def _source(batch: Mapping[str, Any], name: str) -> Any:  # of any array type
    if name not in batch:
        raise ModelError(f"the batch has no {name!r}", hint=nearest(name, map(str, batch)))
    return batch[name]


def _column(name: str, value: Any) -> Table:  # of any array type
    if hasattr(value, "tocsr") or hasattr(value, "iloc") or _texts(value):
        return value
    array = _array(name, value)
    if array.ndim == 0:
        raise ModelError(f"{name!r} is one value", hint="give an array whose first axis counts the examples")
    if array.ndim == 2 or array.dtype.kind in "OUS":
        return array
    return array.reshape(len(array), -1 if array.size else 0)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value) and bool(value)


def _flat(name: str, column: Table) -> Array:
    if _texts(column) or hasattr(column, "tocsr"):
        kind = "texts" if _texts(column) else "a sparse matrix"
        raise ModelError(f"{name!r} holds {kind}, which cannot be joined with other inputs", hint="give it alone")
    array = np.asarray(column)
    return array.reshape(len(array), -1)


def _array(name: str, value: Any) -> Array:  # of any array type
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ModelError(f"{name!r} is ragged: its examples differ in shape", hint="pad or crop them") from error


def _unequal(lengths: Mapping[str, int]) -> ModelError:
    found = ", ".join(f"{name!r} has {length}" for name, length in lengths.items())
    return ModelError(f"the batch's sources differ in length: {found}", hint="every source needs one entry an example")
