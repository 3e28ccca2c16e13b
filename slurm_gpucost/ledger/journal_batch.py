"""The rows of a stretch of journal entries, as they stand now."""

from __future__ import annotations

import sqlite3

from slurm_gpucost.domain.wire import TABLES, Rows
from slurm_gpucost.ledger.journal import key_of, last

_VALUE_BYTES = 8
"""About what a number, a comma or a short text takes in a batch."""


def batch_rows(db: sqlite3.Connection, first: int, most_rows: int, most_bytes: int) -> tuple[int, Rows]:
    """(last, rows): the rows of entries ``first`` to ``last``, each once; at least one entry, if there is one.

    An entry whose row is gone is passed, and so are numbers that have none any more. ``most_bytes`` counts about what
    the batch has when it is unpacked. Call it in a transaction, for it asks several times.
    """
    rows: Rows = {}
    seen: set[tuple[object, ...]] = set()
    taken, size = first - 1, 0
    entries = db.execute(
        "SELECT seq, kind, k1, k2, k3, k4, k5 FROM journal_entry WHERE seq >= ? ORDER BY seq LIMIT ?",
        (first, most_rows),
    )
    count = 0
    for seq, *entry in entries:
        key = tuple(entry)
        if key not in seen:
            row = _row(db, *key)
            size += _size(row) if row is not None else 0
            if size > most_bytes and seen:
                return taken, rows
            seen.add(key)
            if row is not None:
                rows.setdefault(key[0], []).append(TABLES[key[0]](*row))
        taken, count = seq, count + 1
    return (taken if count == most_rows else max(taken, last(db))), rows


def _row(db: sqlite3.Connection, kind: str, *key: object) -> tuple[object, ...] | None:
    statement = _STATEMENTS.get(kind)
    if statement is None:
        where = " AND ".join(f"{name} = ?" for name in key_of(db, kind))
        statement = f"SELECT {', '.join(TABLES[kind]._fields)} FROM {kind} WHERE {where}"  # names are ours
        _STATEMENTS[kind] = statement
    found: tuple[object, ...] | None = db.execute(statement, key[: statement.count("?")]).fetchone()
    return found


_STATEMENTS: dict[str, str] = {}


def _size(row: tuple[object, ...]) -> int:
    """Bytes are sent as hex digits."""
    return sum(
        2 * len(value)
        if isinstance(value, bytes)
        else _VALUE_BYTES + len(value)
        if isinstance(value, str)
        else _VALUE_BYTES
        for value in row
    )
