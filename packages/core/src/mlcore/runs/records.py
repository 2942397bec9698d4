"""Records of runs: dataclasses kept as JSON. Fields that a newer mlcore added are ignored."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from mlcore.store import Folder, read_record

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


def read(folder: Folder, key: str, kind: type[T]) -> T:
    """Read a record as an instance of a dataclass.

    Raises:
        KeyMissingError: There is none.
        CorruptError: It lacks a field, or has one of a wrong type.
    """
    schema: TypeAdapter[T] = _schema(kind)  # type: ignore[arg-type]  # mypy takes a class for unhashable
    return read_record(folder, key, schema.validate_python)


@cache
def _schema(kind: type) -> TypeAdapter[Any]:  # of that dataclass
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
