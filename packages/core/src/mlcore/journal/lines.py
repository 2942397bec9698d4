"""One line of a journal: how a record or a chunk of points becomes a line, and how a line is read without trusting it.

Lines are ASCII. JSON has no NaN and no infinities: among the values of points they are the strings "NaN", "Infinity"
and "-Infinity".
"""

from __future__ import annotations

import json
import math
import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlcore.errors import MlcoreError

POINTS, BEAT = "points", "beat"
# A line that begins a segmented journal: who its writer is. It is no record.
CLAIM = "claim"
HEAD = ("seq", "time", "type")
MAX_SEQ = 2**63

LoggedPoint = tuple[str, float, float, float]  # series, step, time, value

_STRANGE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_STRANGE_TEXT = re.compile("NaN|-?Infinity")
_dumps = json.JSONEncoder(separators=(",", ":")).encode
_strict_dumps = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class BadLine(ValueError):
    """A line is no record; the message says why, in a few words."""


@dataclass(slots=True)
class Record:
    """One line of a journal.

    Its fields are JSON values; only the times and values of points are arrays.
    """

    attempt: int
    writer: str
    seq: int
    time: float
    type: str
    fields: dict[str, Any]  # whatever JSON holds: the caller knows its own types


def number_to_json(value: float) -> float | str:
    """Give a float as JSON can hold it: itself, or the name of NaN or of an infinity."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def number_from_json(value: float | str) -> float:
    """Undo `number_to_json`; TypeError for anything that it does not give."""
    if isinstance(value, str):
        if value not in _STRANGE:
            raise TypeError("text is not a number")
        return _STRANGE[value]
    return float(value)


def encode_fields(kind: str, fields: Mapping[str, object]) -> str:
    """Check the fields of a record and encode them, together with its type, as the tail of a line."""
    return "".join(f",{_dumps(name)}:{_field(kind, name, value)}" for name, value in {"type": kind, **fields}.items())


def _field(kind: str, name: str, value: object) -> str:
    try:
        return _strict_dumps(value)
    except RecursionError:
        reason = "it is nested too deeply"
    except (TypeError, ValueError) as error:
        reason = str(error)
    raise MlcoreError(
        f"field {name!r} of a {kind!r} record cannot be stored as JSON: {reason}",
        hint="give text, finite numbers, true, false, None, and lists and dicts of them; "
        "number_to_json() names NaN and the infinities",
    )


def encode_record(seq: int, time: float, tail: str) -> str:
    """Make the line of a record from what `encode_fields` gave."""
    return f'{{"seq":{seq},"time":{time!r}{tail}}}\n'


def encode_points(seq: int, time: float, points: Sequence[LoggedPoint]) -> str:
    """Make the line of a chunk of points of one series; times are kept to the millisecond."""
    names, steps, times, values = zip(*points, strict=True)
    # Fifteen digits or fewer are parsed twice as fast as seventeen, and nothing needs the microseconds.
    stamps = _dumps([int(when * 1000) / 1000 for when in times])
    numbers = _dumps(values)
    if "N" in numbers or "I" in numbers:
        numbers = _STRANGE_TEXT.sub(r'"\g<0>"', numbers)
    return (
        f'{{"seq":{seq},"time":{time!r},"type":"points","series":{_dumps(names[0])},'
        f'"steps":{_dumps(steps)},"times":{stamps},"values":{numbers}}}\n'
    )


def decode_line(line: bytes, attempt: int, writer: str) -> Record:
    """Read one line.

    Raises:
        BadLine: It is not a record, whatever it is.
    """
    data = _json(line)
    if not isinstance(data, dict):
        raise BadLine("not a JSON object")
    seq, time, kind = (data.pop(name, None) for name in HEAD)
    if type(seq) is not int or not 0 < seq < MAX_SEQ:
        raise BadLine("seq is not a positive integer")
    if type(kind) is not str:
        raise BadLine("type is not text")
    record = Record(attempt, writer, seq, _time(time), kind, data)
    if kind == POINTS:
        _check_points(data)
    return record


def _json(line: bytes) -> object:
    try:
        return _decoder.decode(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadLine(f"not UTF-8 at column {error.start + 1}") from error
    except json.JSONDecodeError as error:
        raise BadLine(f"not JSON: {error.msg} at column {error.colno}") from error
    except ValueError as error:
        raise BadLine(f"not JSON: {error}") from error
    except RecursionError as error:
        raise BadLine("nested too deeply") from error


def _no_constant(name: str) -> float:
    raise ValueError(f"a bare {name}")


_decoder = json.JSONDecoder(parse_constant=_no_constant)


def _time(value: object) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is int and abs(value) < MAX_SEQ:
        return float(value)
    raise BadLine("time is not a number")


def _check_points(fields: dict[str, Any]) -> None:  # anything: it comes out of a line
    """Check the columns of a chunk, and make arrays of those that are floats."""
    if type(fields.get("series")) is not str:
        raise BadLine("points without the name of their series")
    steps, times, values = (_column(fields, name) for name in ("steps", "times", "values"))
    if not len(steps) == len(times) == len(values):
        raise BadLine("points whose steps, times and values differ in length")
    try:
        # A sum is the cheapest look at each element: it is a finite number only if they all are.
        if not (math.isfinite(sum(steps)) and math.isfinite(sum(times))):
            raise BadLine("points with a step or time that is not finite")
        fields["times"], fields["values"] = array("d", times), _numbers(values)
    except (TypeError, OverflowError) as error:
        raise BadLine(f"points that are not numbers: {error}") from error


def _column(fields: dict[str, Any], name: str) -> list[Any]:
    column = fields.get(name)
    if type(column) is not list:
        raise BadLine(f"points without {name}")
    return column


def _numbers(values: list[Any]) -> array[float]:
    try:
        return array("d", values)
    except TypeError:
        return array("d", [number_from_json(value) for value in values])
