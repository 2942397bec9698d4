"""The reading end: the files of all attempts put together as the run went, trusting no line.

Order is (attempt, writer, sequence number), never the clock. A line that is no record costs that line only, and is
told.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from mlcore.errors import StoreError
from mlcore.journal.lines import CLAIM, POINTS, BadLine, Record, decode_line

if TYPE_CHECKING:
    from mlcore.store import Folder

_CLAIM = f'{{"{CLAIM}":'.encode()
_FILE = re.compile(r"([1-9][0-9]{0,8})-([A-Za-z0-9_]{1,64})\.([1-9][0-9]{0,8})\.jsonl")


class Point(NamedTuple):
    """One point of a series."""

    step: float
    time: float
    value: float


@dataclass(slots=True)
class Series:
    """The points of one series, as three columns of one length."""

    steps: list[float] = field(default_factory=list)
    times: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))


class Journal:
    """What a run's journal says.

    Attributes:
        warnings: What was found wrong in the files, one line each, such as
            `journal/1-main.1.jsonl line 57: not a record, skipped (not JSON: Expecting value at column 1)`.
        notes: What is not wrong but was left out: the unfinished last line of a killed process.
    """

    def __init__(self, records: Iterable[Record], warnings: Iterable[str] = (), notes: Iterable[str] = ()) -> None:
        self._records = list(records)
        self._series: dict[str, Series] | None = None
        self.warnings, self.notes = list(warnings), list(notes)

    def records(self, type: str | None = None) -> list[Record]:
        """Give the records of one type, or all, chunks of points (type `points`) included."""
        return [record for record in self._records if type is None or record.type == type]

    def series(self) -> dict[str, Series]:
        """Give the points by series, in the order in which the series first appear."""
        if self._series is None:
            self._series = {}
            for record in self.records(POINTS):
                _extend(self._series.setdefault(record.fields["series"], Series()), record)
        return self._series

    def last(self, name: str) -> Point | None:
        """Give the last point of a series; None when there is none."""
        series = self.series().get(name)
        return Point(series.steps[-1], series.times[-1], series.values[-1]) if series and series.steps else None

    def positions(self) -> dict[str, int]:
        """Give the last sequence number by file, as `read_journal` takes it in `keep`."""
        return {f"{record.attempt}-{record.writer}": record.seq for record in self._records}


def _extend(series: Series, record: Record) -> None:
    series.steps.extend(record.fields["steps"])
    series.times.extend(record.fields["times"])
    series.values.extend(record.fields["values"])


def read_journal(folder: Folder, keep: Mapping[str, int] | None = None, attempt: int | None = None) -> Journal:
    """Read the journal of a run, as one of its attempts continues it.

    Args:
        folder: The run's folder.
        keep: By `<attempt>-<writer>`, the last sequence number of an earlier attempt that still counts; 0 when
            absent. It matters only beside `attempt`.
        attempt: The attempt that counts whole; later ones do not count. None: every attempt counts whole.
    """
    reading = _Reading(folder)
    limits = {key: limit for key, limit in (keep or {}).items() if limit > 0} if attempt is not None else {}
    for key, group in groupby(reading.files(), lambda file: file.writer_key):
        files, limit = list(group), limits.pop(key, 0)
        if attempt is None or files[0].attempt == attempt:
            reading.take(files)
        elif files[0].attempt < attempt and limit:
            reading.take(files, limit)
    reading.warnings += [_missing(key, limit, 0) for key, limit in sorted(limits.items())]
    return Journal(reading.records, reading.warnings, reading.notes)


def read_file(
    folder: Folder, key: str, offset: int = 0, *, after: int | None = None
) -> tuple[list[Record], int, list[str]]:
    """Read one journal file from a position on, for those who follow a journal while it grows.

    Args:
        folder: The run's folder.
        key: The file's key in it, such as `journal/1-main.1.jsonl`.
        offset: Where the last reading ended.
        after: The sequence number of the last record before the offset, if known: a gap or a repetition there is told.

    Returns:
        The records, the offset for the next reading (an unfinished last line is left for it), and warnings.
    """
    part = _read_part(folder, _parse(key), offset, after)
    return part.records, part.next_offset, part.warnings


class _File(NamedTuple):
    attempt: int
    writer: str
    number: int

    @property
    def writer_key(self) -> str:
        return f"{self.attempt}-{self.writer}"

    @property
    def key(self) -> str:
        return f"journal/{self.writer_key}.{self.number}.jsonl"


class _Part(NamedTuple):
    records: list[Record]
    next_offset: int
    warnings: list[str]
    torn: str | None


def _parse(key: str) -> _File:
    match = _FILE.fullmatch(key.removeprefix("journal/"))
    if match is None:
        raise StoreError(
            "not the name of a journal file", where=key, hint="such files are named <attempt>-<writer>.<n>.jsonl"
        )
    return _File(int(match[1]), match[2], int(match[3]))


@dataclass
class _Reading:
    """What has been read of a run's folder so far."""

    folder: Folder
    records: list[Record] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def files(self) -> list[_File]:
        """List the journal files by attempt, writer and number, and tell what else lies there."""
        entries = (self.folder / "journal").list()
        strange = [entry.key for entry in entries if entry.is_folder or not _FILE.fullmatch(entry.key)]
        self.warnings += [f"journal/{key}: not a journal file, left out" for key in strange]
        return sorted(_parse(entry.key) for entry in entries if entry.key not in strange)

    def take(self, files: list[_File], limit: int | None = None) -> None:
        """Read the files of one writer, up to the record with the number `limit`."""
        records: list[Record] = []
        for file in files:
            part = _read_part(self.folder, file, 0, records[-1].seq if records else 0)
            records += part.records
            self.warnings += part.warnings
            self.notes += [part.torn] if part.torn else []
        if limit is not None:
            records = [record for record in records if record.seq <= limit]
            last = records[-1].seq if records else 0
            self.warnings += [_missing(files[0].writer_key, limit, last)] if last < limit else []
        self.records += records


def _missing(key: str, limit: int, last: int) -> str:
    return f"journal/{key}: ends at record {last}, but the run was resumed from record {limit}: the rest is missing"


def _read_part(folder: Folder, file: _File, offset: int, after: int | None) -> _Part:
    with folder.open(file.key) as stream:
        stream.seek(offset)
        data = stream.read()
    end = data.rfind(b"\n") + 1
    lines = data[:end].split(b"\n")[:-1]
    place = f"{file.key} line {{}}" + (f" after byte {offset}" if offset else "")
    warnings: list[str] = []

    def warn(number: int, what: str) -> None:
        warnings.append(f"{place.format(number)}: {what}")

    records = _in_order(list(_decode(lines, file, warn)), after, warn)
    torn = f"{place.format(len(lines) + 1)}: unfinished, left out" if end < len(data) else None
    return _Part(records, offset + end, warnings, torn)


_Warn = Callable[[int, str], None]
_Numbered = tuple[int, Record]


def _decode(lines: list[bytes], file: _File, warn: _Warn) -> Iterable[_Numbered]:
    for number, line in enumerate(lines, 1):
        if line.startswith(_CLAIM):
            continue
        try:
            yield number, decode_line(line, file.attempt, file.writer)
        except BadLine as error:
            warn(number, f"not a record, skipped ({error})")


def _in_order(numbered: list[_Numbered], after: int | None, warn: _Warn) -> list[Record]:
    """Keep the records whose sequence numbers rise, and tell the others and the gaps."""
    kept: list[_Numbered] = []
    for number, record in numbered:
        before = kept[-2][1].seq if len(kept) > 1 else after or 0
        if kept and before < record.seq < kept[-1][1].seq:
            # The one before jumped ahead: its number is the wrong one, else it would cost all that follow.
            wrong, jumped = kept.pop()
            warn(wrong, f"not a record, skipped (seq {jumped.seq} is out of order)")
        last = kept[-1][1].seq if kept else after
        if last is not None and record.seq <= last:
            warn(number, f"not a record, skipped (seq {record.seq} after seq {last})")
        else:
            kept.append((number, record))
    _tell_gaps(kept, after, warn)
    return [record for _, record in kept]


def _tell_gaps(kept: list[_Numbered], last: int | None, warn: _Warn) -> None:
    for number, record in kept:
        if last is not None and record.seq > last + 1:
            warn(number, f"seq {record.seq} after seq {last}: what lay between is missing")
        last = record.seq
