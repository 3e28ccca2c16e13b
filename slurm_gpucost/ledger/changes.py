"""The log of changes: who changed what of rates and rules, when, from where and why. Append-only, hash-chained.

Call :func:`add` inside :meth:`slurm_gpucost.ledger.store.Ledger.transaction`.
"""

from __future__ import annotations

import json
import sqlite3
from hashlib import blake2b
from typing import Any, NamedTuple

DIGEST_BYTES = 16


class Change(NamedTuple):
    """One change. Field order is column order in the ledger, without ``seq`` and ``hash``."""

    at_ms: int
    login: str
    """The user who logged in, also behind sudo."""
    uid: int
    """The user id that the command ran as."""
    host: str
    terminal: str
    """From where: the terminal, and the client's address where there is one."""
    subject: str
    """What was changed: ``rates`` were published, or values of the ``config`` are others."""
    what: str
    """JSON."""
    why: str


def add(db: sqlite3.Connection, change: Change) -> int:
    """Write a change down; its number."""
    seq, before = db.execute("SELECT seq, hash FROM change_log ORDER BY seq DESC LIMIT 1").fetchone() or (0, b"")
    marks = ",".join("?" * (len(Change._fields) + 2))
    row = (seq + 1, *change)
    db.execute(f"INSERT INTO change_log VALUES ({marks})", (*row, _hash(before, row)))
    return int(seq) + 1


def first_broken(db: sqlite3.Connection) -> int | None:
    """The number of the first change that is not as it was written, or that others were taken out before; None: whole.

    Changes cut off at the end cannot be seen here: compare the last hash with one that was noted elsewhere.
    """
    before, expected = b"", 1
    for *row, found in db.execute("SELECT * FROM change_log ORDER BY seq"):
        if row[0] != expected or found != _hash(before, tuple(row)):
            return expected
        before, expected = found, expected + 1
    return None


def last_hash(db: sqlite3.Connection) -> str:
    """The hash that stands for the whole log, in hexadecimal; '' of an empty one."""
    row = db.execute("SELECT hash FROM change_log ORDER BY seq DESC LIMIT 1").fetchone()
    return row[0].hex() if row else ""


def _hash(before: bytes, row: tuple[Any, ...]) -> bytes:
    said = json.dumps(row, ensure_ascii=True, separators=(",", ":")).encode()
    return blake2b(before + said, digest_size=DIGEST_BYTES).digest()
