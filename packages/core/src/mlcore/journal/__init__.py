"""The durable log of a run: JSON lines, one file an attempt's process, and the source of truth.

A `JournalWriter` appends records and points to `journal/<attempt>-<writer>.<n>.jsonl`; `read_journal` puts the files of
all attempts together as the run went. Nothing here knows what a status or a checkpoint is: a record is a type with
fields.
"""

from __future__ import annotations

from mlcore.journal.lines import Record, number_from_json, number_to_json
from mlcore.journal.reader import Journal, Point, Series, read_file, read_journal
from mlcore.journal.sink import LocalSink, SegmentSink, Sink
from mlcore.journal.spool import Shipment, ship_spools
from mlcore.journal.writer import JournalWriter

__all__ = [
    "Journal",
    "JournalWriter",
    "LocalSink",
    "Point",
    "Record",
    "SegmentSink",
    "Series",
    "Shipment",
    "Sink",
    "number_from_json",
    "number_to_json",
    "read_file",
    "read_journal",
    "ship_spools",
]
