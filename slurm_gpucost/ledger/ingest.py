"""Evidence into the ledger. Every function is safe to repeat, in any order: what is already there stays.

Call them inside :meth:`slurm_gpucost.ledger.store.Ledger.transaction`. Triggers mark the jobs that new evidence
touches, so nothing that was taken in can miss its projection.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from slurm_gpucost.domain.evidence import (
    AccountingRow,
    ControllerRow,
    DeviceReport,
    HookEvent,
    NodeEvent,
    NodeReport,
    Poll,
    SlotReport,
)
from slurm_gpucost.ledger import leases, timelines


def _insert(table: str, columns: int, key: str, earliest: str, *with_it: str) -> str:
    """Insert, or keep the earliest time at which the same was said, and what goes ``with_it``."""
    marks = ",".join("?" * columns)
    kept = ", ".join(f"{name} = excluded.{name}" for name in (earliest, *with_it))
    return (
        f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT ({key}) DO UPDATE "  # names are ours
        f"SET {kept} WHERE excluded.{earliest} < {table}.{earliest}"
    )


_ASKED_UNTIL = "sacct_asked_until:"
_LOOKED_BACK = "sacct_looked_back:"
_RECONCILED = "reconciled:"
_ROW_KEY = "cluster, job_id, submit_ms, digest"
_ACCOUNTING = _insert("accounting_row", len(AccountingRow._fields), _ROW_KEY, "observed_at_ms", "suspended_ms")
_CONTROLLER = _insert("controller_row", len(ControllerRow._fields), _ROW_KEY, "observed_at_ms")
_HOOK = _insert("hook_event", len(HookEvent._fields), "cluster, job_id, digest", "at_ms")


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


def _log(
    db: sqlite3.Connection, table: str, key: Sequence[str], row: NodeReport | NodeEvent | SlotReport | DeviceReport
) -> bool:
    """Keep a report where it differs from the one before it; whether it did."""
    values = {name.rstrip("_"): value for name, value in row._asdict().items()}
    said = [name for name in values if name not in (*key, "observed_at_ms")]
    where = " AND ".join(f"{name} = ?" for name in key)
    before = db.execute(
        f"SELECT {', '.join(said)} FROM {table} WHERE {where} AND observed_at_ms <= ? "  # names are ours
        "ORDER BY observed_at_ms DESC LIMIT 1",
        (*(values[name] for name in key), values["observed_at_ms"]),
    ).fetchone()
    if before == tuple(values[name] for name in said):
        return False
    db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({','.join('?' * len(values))})", row)
    return True


def add_nodes(db: sqlite3.Connection, reports: Iterable[NodeReport]) -> int:
    """Take in what the controller says that nodes have; the number that differ from what it said before."""
    new = [report for report in reports if _log(db, "node_report", ("cluster", "node"), report)]
    timelines.mark(db, ((r.cluster, r.node, r.observed_at_ms) for r in new))
    if new:
        leases.mark_nodes(db, [(r.cluster, r.node, r.observed_at_ms) for r in new])
    return len(new)


def add_node_events(db: sqlite3.Connection, events: Iterable[NodeEvent]) -> int:
    """Take in when nodes were out of use; the number that say something new."""
    key = ("cluster", "node", "source", "start_ms")
    new = [event for event in events if _log(db, "node_event", key, event)]
    timelines.mark(db, ((e.cluster, e.node, e.start_ms) for e in new))
    return len(new)


def latest_nodes(db: sqlite3.Connection, cluster: str) -> dict[str, str]:
    """What each node of a cluster was last said to have."""
    return {
        node: gres
        for node, gres, _ in db.execute(
            "SELECT node, gres, max(observed_at_ms) FROM node_report WHERE cluster = ? GROUP BY node", (cluster,)
        )
    }


def add_slots(db: sqlite3.Connection, slots: Iterable[SlotReport]) -> int:
    """Take in what nodes say of their slots. New ones mark every job of that slot, and the node's time."""
    key = ("cluster", "node", "gres_name", "gres_index")
    new = [slot for slot in slots if _log(db, "slot_report", key, slot)]
    if new:
        leases.mark_slots(db, [(slot.cluster, slot.node, slot.gres_index) for slot in new])
        timelines.mark(db, ((slot.cluster, slot.node, 0) for slot in new))
    return len(new)


def add_devices(db: sqlite3.Connection, reports: Iterable[DeviceReport]) -> int:
    """Take in what the driver says of its devices; the number of new reports."""
    models = dict(db.execute("SELECT device, model FROM device").fetchall())
    new = [report for report in reports if _log(db, "device_report", ("device",), report)]
    for report in new:
        if models.get(report.device) != report.model:
            leases.mark_device(db, report.device, renamed=report.device in models)
    return len(new)


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


def add_poll(db: sqlite3.Connection, poll: Poll) -> None:
    """Note that a witness was asked."""
    columns = ", ".join(Poll._fields)
    marks = ", ".join("?" * len(Poll._fields))
    db.execute(f"INSERT INTO source_poll ({columns}) VALUES ({marks})", poll)  # names are ours


def set_asked_until(db: sqlite3.Connection, cluster: str, until_ms: int) -> None:
    """Note up to when all of a cluster's accounting is taken in by the daemon; it never goes back."""
    _set_moment(db, _ASKED_UNTIL + cluster, until_ms)


def asked_until(db: sqlite3.Connection, cluster: str) -> int | None:
    """Up to when all of a cluster's accounting is taken in by the daemon, ms UTC; None: it never asked."""
    return _moment(db, _ASKED_UNTIL + cluster)


def set_looked_back(db: sqlite3.Connection, cluster: str, at_ms: int) -> None:
    """Note when the daemon last went through the accounting of its whole look-back."""
    _set_moment(db, _LOOKED_BACK + cluster, at_ms)


def looked_back(db: sqlite3.Connection, cluster: str) -> int | None:
    """When the daemon last went through the accounting of its whole look-back, ms UTC; None: never."""
    return _moment(db, _LOOKED_BACK + cluster)


def _set_moment(db: sqlite3.Connection, key: str, at_ms: int) -> None:
    db.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value "
        "WHERE CAST(excluded.value AS INTEGER) > CAST(value AS INTEGER)",
        (key, str(at_ms)),
    )


def _moment(db: sqlite3.Connection, key: str) -> int | None:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
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
    return last_poll(db, "sacct", cluster)


def last_poll(db: sqlite3.Connection, witness: str, cluster: str) -> int | None:
    """When a witness last told the state of now, ms UTC, whoever asked."""
    row = db.execute(
        "SELECT max(observed_at_ms) FROM source_poll WHERE witness = ? AND ok = 1 AND current = 1 AND cluster = ?",
        (witness, cluster),
    ).fetchone()
    found: int | None = row[0]
    return found


def set_reconciled(db: sqlite3.Connection, cluster: str, at_ms: int, to_decide: Mapping[str, int]) -> None:
    """Keep what the daemon's own reconciliation found for a person to decide, by category."""
    text = json.dumps({"at_ms": at_ms, "to_decide": dict(to_decide)})
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_RECONCILED + cluster, text))


def reconciled(db: sqlite3.Connection, cluster: str) -> tuple[int, dict[str, int]] | None:
    """(when, what there is to decide by category) of the daemon's last own reconciliation; None: none yet."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (_RECONCILED + cluster,)).fetchone()
    if row is None:
        return None
    found = json.loads(row[0])
    return found["at_ms"], found["to_decide"]


def first_asked(db: sqlite3.Connection, cluster: str) -> int | None:
    """From when on the accounting was ever asked for, ms UTC: what lies before is a backfill's to fetch."""
    row = db.execute(
        "SELECT min(window_start_ms) FROM source_poll WHERE witness = 'sacct' AND ok = 1 AND cluster = ?", (cluster,)
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
