"""Evidence into the ledger. Every function is safe to repeat, in any order: what is already there stays.

Call them inside :meth:`slurm_gpucost.ledger.store.Ledger.transaction`. Triggers mark the jobs that new evidence
touches, so nothing that was taken in can miss its projection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from slurm_gpucost.domain.evidence import (
    AccountingRow,
    ControllerRow,
    DeviceReport,
    HookEvent,
    Poll,
    SlotReport,
)


def _insert(table: str, columns: int, key: str, earliest: str) -> str:
    """Insert, or keep the earliest time at which the same was said."""
    marks = ",".join("?" * columns)
    return (
        f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT ({key}) DO UPDATE "  # names are ours
        f"SET {earliest} = excluded.{earliest} WHERE excluded.{earliest} < {table}.{earliest}"
    )


_ASKED_UNTIL = "sacct_asked_until:"
_ROW_KEY = "cluster, job_id, submit_ms, digest"
_ACCOUNTING = _insert("accounting_row", len(AccountingRow._fields), _ROW_KEY, "observed_at_ms")
_CONTROLLER = _insert("controller_row", len(ControllerRow._fields), _ROW_KEY, "observed_at_ms")
_HOOK = _insert("hook_event", len(HookEvent._fields), "cluster, job_id, digest", "at_ms")
_SLOT_KEY = "cluster, node, gres_name, gres_index, gres_type, device"
_SLOT = _insert("slot_report", len(SlotReport._fields), _SLOT_KEY, "observed_at_ms")
_DEVICE = _insert("device_report", len(DeviceReport._fields), "device, digest", "observed_at_ms")


def _changes(db: sqlite3.Connection, statement: str, rows: Iterable[tuple[object, ...]]) -> int:
    # total_changes counts what triggers did too; rowcount of executemany does not
    cursor = db.executemany(statement, rows)
    return max(cursor.rowcount, 0)


def add_accounting(db: sqlite3.Connection, rows: Iterable[AccountingRow]) -> int:
    """Take in accounting rows; the number that were new (or are now known to be older)."""
    return _changes(db, _ACCOUNTING, rows)


def add_controller(db: sqlite3.Connection, rows: Iterable[ControllerRow]) -> int:
    """Take in controller rows; the number that were new."""
    return _changes(db, _CONTROLLER, rows)


def add_hooks(db: sqlite3.Connection, events: Iterable[HookEvent]) -> int:
    """Take in hook events; the number that were new."""
    return _changes(db, _HOOK, events)


def add_slots(db: sqlite3.Connection, slots: Iterable[SlotReport]) -> int:
    """Take in what nodes say of their slots. New ones mark every open or later job of that node for projection."""
    new = 0
    for slot in slots:
        if _changes(db, _SLOT, [slot]):
            new += 1
            db.execute(
                "INSERT OR IGNORE INTO dirty_job SELECT DISTINCT cluster, job_id FROM lease "
                "WHERE cluster = ? AND node = ? AND gres_index = ?",
                (slot.cluster, slot.node, slot.gres_index),
            )
    return new


def add_devices(db: sqlite3.Connection, reports: Iterable[DeviceReport]) -> int:
    """Take in what the driver says of its devices; the number of new reports."""
    return _changes(db, _DEVICE, reports)


def add_poll(db: sqlite3.Connection, poll: Poll) -> None:
    """Note that a witness was asked."""
    columns = ", ".join(Poll._fields)
    marks = ", ".join("?" * len(Poll._fields))
    db.execute(f"INSERT INTO source_poll ({columns}) VALUES ({marks})", poll)  # names are ours


def set_asked_until(db: sqlite3.Connection, cluster: str, until_ms: int) -> None:
    """Note up to when all of a cluster's accounting is taken in by the daemon; it never goes back."""
    db.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value "
        "WHERE CAST(excluded.value AS INTEGER) > CAST(value AS INTEGER)",
        (_ASKED_UNTIL + cluster, str(until_ms)),
    )


def asked_until(db: sqlite3.Connection, cluster: str) -> int | None:
    """Up to when all of a cluster's accounting is taken in by the daemon, ms UTC; None: it never asked."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (_ASKED_UNTIL + cluster,)).fetchone()
    return int(row[0]) if row else None


class Open(NamedTuple):
    """An attempt that had not ended when the accounting was last heard of it."""

    job_id: int
    submit_ms: int
    seen_ms: int


def open_attempts(db: sqlite3.Connection, cluster: str) -> list[Open]:
    """A cluster's attempts of the accounting that have not ended; not those with evidence yet to be projected."""
    return [
        Open(*row)
        for row in db.execute(
            "SELECT job_id, submit_ms, seen_ms FROM attempt a WHERE end_ms IS NULL AND witness = 'sacct' "
            "AND cluster = ? "
            "AND NOT EXISTS (SELECT 1 FROM dirty_job d WHERE d.cluster = a.cluster AND d.job_id = a.job_id)",
            (cluster,),
        )
    ]


def last_current_poll(db: sqlite3.Connection, cluster: str) -> int | None:
    """When the accounting last told what runs now, ms UTC, whoever asked."""
    row = db.execute(
        "SELECT max(observed_at_ms) FROM source_poll "
        "WHERE witness = 'sacct' AND ok = 1 AND current = 1 AND cluster = ?",
        (cluster,),
    ).fetchone()
    found: int | None = row[0]
    return found


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
    key = blake2b(b"\x00".join([witness.encode(), content]), digest_size=16).digest()
    db.execute(
        "INSERT OR IGNORE INTO set_aside VALUES (?, ?, ?, ?, ?, ?, ?)",
        (key, witness, source, line, reason, content, observed_at_ms),
    )
