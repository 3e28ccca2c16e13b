"""Evidence into the ledger. Every function is safe to repeat, in any order: what is already there stays.

Call them inside :meth:`slurm_gpucost.ledger.store.Ledger.transaction`. Triggers mark the jobs that new evidence
touches, so nothing that was taken in can miss its projection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from hashlib import blake2b

from slurm_gpucost.domain.evidence import (
    AccountingRow,
    ControllerRow,
    HookEvent,
)
from slurm_gpucost.ledger.asked import Open


def _insert(table: str, columns: int, key: str, earliest: str, *with_it: str, same: str = "") -> str:
    """Insert, or keep the earliest time at which the same was said, and what goes ``with_it``.

    ``same``: a column in which both must agree, or nothing is changed.
    """
    marks = ",".join("?" * columns)
    kept = ", ".join(f"{name} = excluded.{name}" for name in (earliest, *with_it))
    return (
        f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT ({key}) DO UPDATE "  # names are ours
        f"SET {kept} WHERE excluded.{earliest} < {table}.{earliest}"
        + (f" AND excluded.{same} = {table}.{same}" if same else "")
    )


_ROW_KEY = "cluster, job_id, submit_ms, digest"
_ACCOUNTING = _insert("accounting_row", len(AccountingRow._fields), _ROW_KEY, "observed_at_ms", "suspended_ms")
_CONTROLLER = _insert("controller_row", len(ControllerRow._fields), _ROW_KEY, "observed_at_ms")
_HOOK = _insert("hook_event", len(HookEvent._fields), "cluster, job_id, digest", "at_ms", same="node")


def _changes(db: sqlite3.Connection, statement: str, rows: Iterable[tuple[object, ...]]) -> int:
    # total_changes counts what triggers did too; rowcount of executemany does not
    cursor = db.executemany(statement, rows)
    return max(cursor.rowcount, 0)


def add_accounting(db: sqlite3.Connection, rows: Iterable[AccountingRow]) -> int:
    """Take in accounting rows; the number that were new (or are now known to be older).

    While a job is suspended sacct's Suspended grows with every look (seen on 24.11 and 26.05), which is not in the
    digest: the first look is kept, with what it said.
    """
    return _changes(db, _ACCOUNTING, rows)


def add_controller(db: sqlite3.Connection, rows: Iterable[ControllerRow]) -> int:
    """Take in controller rows; the number that were new."""
    return _changes(db, _CONTROLLER, rows)


def add_hooks(db: sqlite3.Connection, events: Iterable[HookEvent]) -> int:
    """Take in hook events; the number that were new."""
    return _changes(db, _HOOK, events)


def hooks_of(db: sqlite3.Connection, cluster: str, job_id: int, node: str) -> set[bytes]:
    """The digests of a node's events of a job."""
    rows = db.execute(
        "SELECT digest FROM hook_event WHERE cluster = ? AND job_id = ? AND node = ?", (cluster, job_id, node)
    )
    return {digest for (digest,) in rows}


def add_vanished(db: sqlite3.Connection, cluster: str, gone: Iterable[tuple[Open, int]], now_ms: int) -> None:
    """Note attempts that the accounting had as not ended and does not know any more, and when it last named each."""
    for one, named_ms in gone:
        key = (cluster, one.job_id, one.submit_ms)
        if _changes(db, "INSERT OR IGNORE INTO vanished_row VALUES (?, ?, ?, ?, ?)", [(*key, named_ms, now_ms)]):
            db.execute("INSERT OR IGNORE INTO dirty_job VALUES (?, ?)", key[:2])


def forget_vanished(db: sqlite3.Connection, rows: Iterable[AccountingRow]) -> None:
    """The accounting names them again."""
    known = set(db.execute("SELECT cluster, job_id, submit_ms FROM vanished_row").fetchall())
    for row in rows:
        if row[:3] in known:
            db.execute("DELETE FROM vanished_row WHERE cluster = ? AND job_id = ? AND submit_ms = ?", row[:3])
            db.execute("INSERT OR IGNORE INTO dirty_job VALUES (?, ?)", row[:2])


def set_aside(
    db: sqlite3.Connection,
    witness: str,
    source: str,
    line: int | None,
    reason: str,
    content: bytes,
    observed_at_ms: int,
) -> None:
    """Keep what could not be read, whole, once."""
    key = set_aside_key(witness, content)
    db.execute(
        "INSERT OR IGNORE INTO set_aside VALUES (?, ?, ?, ?, ?, ?, ?)",
        (key, witness, source, line, reason, content, observed_at_ms),
    )


def set_aside_key(witness: str, content: bytes) -> bytes:
    """The key of what is set aside: the same twice is one row."""
    return blake2b(b"\x00".join([witness.encode(), content]), digest_size=16).digest()
