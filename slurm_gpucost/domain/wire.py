"""What a node sends to the collector: numbered batches of evidence, as gzipped JSON. Both sides are made from this.

A batch holds the journal's entries ``first`` to ``last``, each row once, as it stands when it is sent. It may be sent
again, cut elsewhere, too, for taking a row in twice changes nothing. Rows go by table, with the names of their columns,
so that an older node's rows get the defaults of columns that it does not know.
docs/uplink.md describes the form.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from itertools import repeat
from typing import Any, NamedTuple, get_type_hints

from slurm_gpucost.domain.evidence import DeviceReport, HookEvent, SlotReport
from slurm_gpucost.domain.occupancy import DeviceProcess, MigInstance
from slurm_gpucost.domain.windows import Window

VERSION = 1
MOST_BYTES = 32 * 1024 * 1024
"""Of a batch's JSON, unpacked."""
MOST_NESTED = 200_000
"""Lists and objects in a batch; each row is a list."""
MOST_VALUES = 2_000_000
"""Values in a batch. With both bounds a batch that is nothing but brackets or commas cannot fill the memory."""
_GZIP = 31
"""zlib's window bits that stand for gzip."""
_MOST = (1 << 62) - 1


class SetAside(NamedTuple):
    """What a node could not read, whole; columns as in the ledger."""

    digest: bytes
    witness: str
    source: str
    line: int | None
    reason: str
    content: bytes
    observed_at_ms: int


TABLES: dict[str, Any] = {
    "hook_event": HookEvent,
    "usage_window": Window,
    "device_report": DeviceReport,
    "slot_report": SlotReport,
    "mig_report": MigInstance,
    "device_process": DeviceProcess,
    "set_aside": SetAside,
}
"""What nodes send, by table: the record whose fields are its columns, in their order."""
Rows = dict[str, list[Any]]
"""By table; each row a record of the table's class."""


class BadBatch(ValueError):
    """What came is no batch; the message says why, for the node's log."""


class Batch(NamedTuple):
    """Entries ``first`` to ``last`` of a journal; ``last`` = ``first`` - 1: none, the node only shows that it lives."""

    cluster: str
    node: str
    journal: str
    """The journal's id, 32 hex digits."""
    first: int
    last: int
    oldest: int
    """The lowest number that the node still has: what the collector lacks below it is lost."""
    sent_at_ms: int
    version: str
    """Of gpucost on the node."""
    said: dict[str, Any]
    """What the node says of itself: ``driver`` (text), ``spool`` (files), ``unsent`` (entries), ``journal_bytes``."""
    rows: Rows


def encode(batch: Batch) -> bytes:
    """A batch as it is sent."""
    tables = {
        table: {"columns": list(TABLES[table]._fields), "rows": [[_plain(value) for value in row] for row in rows]}
        for table, rows in batch.rows.items()
        if rows
    }
    text = json.dumps({"format": VERSION, **batch._asdict(), "rows": tables}, separators=(",", ":"))
    packer = zlib.compressobj(wbits=_GZIP)
    return packer.compress(text.encode("ascii")) + packer.flush()


def decode(body: bytes, most_bytes: int = MOST_BYTES) -> Batch:
    """The inverse. Raises BadBatch for anything else than a whole batch of known columns and right types."""
    try:
        unpacker = zlib.decompressobj(wbits=_GZIP)
        text = unpacker.decompress(body, most_bytes)
        if unpacker.unconsumed_tail:
            raise BadBatch(f"is larger than {most_bytes} bytes when unpacked")
        if not unpacker.eof or unpacker.unused_data:
            raise BadBatch("is cut short, or something follows it")
        if text.count(b"[") + text.count(b"{") > MOST_NESTED or text.count(b",") > MOST_VALUES:
            raise BadBatch(f"has more than {MOST_NESTED} lists and objects, or {MOST_VALUES} values")
        said = json.loads(text.decode("utf-8"), parse_constant=_no_constant, parse_float=_no_constant)
    except (zlib.error, ValueError, RecursionError) as error:
        if isinstance(error, BadBatch):
            raise
        raise BadBatch(f"is no gzipped JSON: {type(error).__name__}") from None
    if not isinstance(said, dict) or said.get("format") != VERSION:
        raise BadBatch(f"is not of format {VERSION}; update the collector before the nodes")
    batch = Batch(
        cluster=_text(said, "cluster"),
        node=_text(said, "node"),
        journal=_text(said, "journal"),
        first=_number(said, "first"),
        last=_number(said, "last"),
        oldest=_number(said, "oldest"),
        sent_at_ms=_number(said, "sent_at_ms"),
        version=_text(said, "version"),
        said=said["said"] if isinstance(said.get("said"), dict) else {},
        rows=_tables(said.get("rows")),
    )
    if len(batch.journal) != 32 or not set(batch.journal) <= set("0123456789abcdef"):
        raise BadBatch("journal: is no id of 32 hex digits")
    if not batch.cluster or not batch.node:
        raise BadBatch("cluster and node: must not be empty")
    if batch.first < 1 or batch.last < batch.first - 1 or not 1 <= batch.oldest <= batch.first:
        raise BadBatch(f"first {batch.first}, last {batch.last}, oldest {batch.oldest}: are no range of numbers")
    return batch


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def _no_constant(text: str) -> Any:
    raise BadBatch(f"'{text[:20]}': floating point is used nowhere")


def _tables(said: Any) -> Rows:
    if not isinstance(said, dict):
        raise BadBatch("rows: must be an object of tables")
    return {name: _rows(name, table) for name, table in said.items()}


def _rows(name: str, said: Any) -> list[Any]:
    record = TABLES.get(name)
    if record is None:
        raise BadBatch(f"table {name[:40]!r} is not known here; update the collector before the nodes")
    if (
        not isinstance(said, dict)
        or not isinstance(said.get("columns"), list)
        or not isinstance(said.get("rows"), list)
    ):
        raise BadBatch(f"{name}: must have columns and rows")
    columns = said["columns"]
    kinds = _kinds(record)
    unknown = [column for column in columns if not isinstance(column, str) or column not in kinds]
    if unknown:
        raise BadBatch(f"{name}: column {_shown(unknown[0])} is not known here; update the collector before the nodes")
    missing = [column for column in kinds if column not in columns and column not in record._field_defaults]
    if missing or len(set(columns)) != len(columns):
        raise BadBatch(f"{name}: {'column ' + missing[0] + ' is missing' if missing else 'a column stands twice'}")
    for number, row in enumerate(said["rows"]):
        if not isinstance(row, list) or len(row) != len(columns):
            raise BadBatch(f"{name}: row {number} has not {len(columns)} values")
    if not said["rows"]:
        return []
    by_name = dict(zip(columns, zip(*said["rows"], strict=True), strict=True))
    checked = {column: _column(f"{name}: {column}", values, *kinds[column]) for column, values in by_name.items()}
    defaults = record._field_defaults
    ordered = [checked[field] if field in checked else repeat(defaults[field]) for field in record._fields]
    return list(map(record._make, zip(*ordered, strict=False)))


def _column(name: str, values: tuple[Any, ...], kind: type, may_lack: bool) -> Iterable[Any]:
    """A column's values as they are in records: whole columns are checked faster than values one by one."""
    kinds = {*map(type, values)}
    if kinds == {int} and kind is int and min(values) >= -_MOST and max(values) <= _MOST:
        return values
    if kinds == {str} and kind is str and "".join(values).isascii():
        return values
    found = []
    for number, value in enumerate(values):
        try:
            found.append(_value(value, kind, may_lack))
        except ValueError as error:
            raise BadBatch(f"{name}: row {number}: {error}") from None
    return found


_KINDS: dict[Any, dict[str, tuple[type, bool]]] = {}


def _kinds(record: Any) -> dict[str, tuple[type, bool]]:
    """(type, may be None) of each field."""
    if record not in _KINDS:
        hints = get_type_hints(record)
        _KINDS[record] = {
            name: next(
                (kind, hints[name] == (kind | None)) for kind in (int, str, bytes) if hints[name] in (kind, kind | None)
            )
            for name in record._fields
        }
    return _KINDS[record]


def _value(value: Any, kind: type, may_lack: bool) -> Any:
    if value is None and may_lack:
        return None
    if kind is int:
        if isinstance(value, bool) or not isinstance(value, int) or not -_MOST <= value <= _MOST:
            raise ValueError(f"{_shown(value)} is no number that can be here")
        return value
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} is no text")
    if kind is bytes:
        return bytes.fromhex(value)
    value.encode("utf-8")  # a lone surrogate is no text; its error is a ValueError
    return value


def _shown(value: Any) -> str:
    """A value for a message; of lists and objects their kind alone, for they can be deeper than can be printed."""
    if not isinstance(value, (str, int)):
        return type(value).__name__
    return repr(value[:40] if isinstance(value, str) else value)[:60]


def _text(said: dict[str, Any], key: str) -> str:
    try:
        text: str = _value(said.get(key), str, False)
    except ValueError as error:
        raise BadBatch(f"{key}: {error}") from None
    if len(text) > 255:
        raise BadBatch(f"{key}: is longer than 255 characters")
    return text


def _number(said: dict[str, Any], key: str) -> int:
    try:
        number: int = _value(said.get(key), int, False)
    except ValueError as error:
        raise BadBatch(f"{key}: {error}") from None
    return number
