"""Leases in the form that the ledger keeps them: what sums group by is a holder, known by a number."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from slurm_gpucost.domain.records import Lease

DAY_MS = 86_400_000
_ROW = (
    "end_day, holder, end_ms, cluster, job_id, submit_ms, n, start_ms, seen_ms, units, share_num, node, gres_index, "
    "device, device_evidence, start_evidence, end_evidence, prolog_ms, epilog_ms, inventoried"
)


class Holder(NamedTuple):
    """What sums of leases group by or filter on. Field order is that of the table's key."""

    cluster: str
    account: str
    user: str
    billable: int
    suspended: str
    gres_name: str
    gres_type: str
    share_den: int
    model: str
    """The device's product name, '' where no device is named or the driver has not told of it."""
    state: str
    partition: str
    qos: str
    reservation: str
    run: int
    cancelled_by: int
    vanished: int


_KEY = ", ".join(Holder._fields)


class Leases:
    """Writes the leases of one batch, inside the caller's transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._models = dict(db.execute("SELECT device, model FROM device").fetchall())
        self._inventory: dict[tuple[str, str], int] = {
            (cluster, node): first
            for cluster, node, first in db.execute(
                "SELECT cluster, node, min(observed_at_ms) FROM node_report GROUP BY cluster, node"
            )
        }

    def of_batch(self) -> list[Lease]:
        """The leases of the jobs in the temporary table ``batch``; none where no inventory asks what changed."""
        if not self._inventory:
            return []
        columns = ", ".join(f"l.{name}" for name in Lease._fields)
        rows = self._db.execute(
            f"SELECT {columns} FROM batch b CROSS JOIN lease l ON l.cluster = b.cluster AND l.job_id = b.job_id"  # ours
        )
        return [Lease(*row) for row in rows]

    def delete_batch(self) -> None:
        """Delete the leases of the jobs in the temporary table ``batch``."""
        self._db.execute("DELETE FROM lease_row WHERE (cluster, job_id) IN (SELECT cluster, job_id FROM batch)")
        self._db.execute("DELETE FROM unknown_device WHERE (cluster, job_id) IN (SELECT cluster, job_id FROM batch)")

    def write(self, leases: Iterable[Lease]) -> None:
        """Insert leases."""
        held = [(self._holder(lease), lease) for lease in leases]
        numbers = self._numbers({holder for holder, _ in held})
        rows = [
            (
                x.end_ms // DAY_MS, numbers[holder], x.end_ms, x.cluster, x.job_id, x.submit_ms, x.n, x.start_ms,
                x.seen_ms, x.units, x.share_num, x.node, x.gres_index, x.device, x.device_evidence, x.start_evidence,
                x.end_evidence, x.prolog_ms, x.epilog_ms, self._inventoried(x),
            )
            for holder, x in held
        ]  # fmt: skip
        rows.sort(key=lambda row: row[:7])
        self._db.executemany(f"INSERT INTO lease_row ({_ROW}) VALUES ({','.join('?' * 20)})", rows)
        self._db.executemany(
            "INSERT OR IGNORE INTO unknown_device VALUES (?, ?, ?)",
            ((x.device, x.cluster, x.job_id) for _, x in held if x.device is not None and x.device not in self._models),
        )

    def _holder(self, lease: Lease) -> Holder:
        model = self._models.get(lease.device, "") if lease.device is not None else ""
        return Holder(
            lease.cluster, lease.account, lease.user, lease.billable, lease.suspended, lease.gres_name, lease.gres_type,
            lease.share_den, model, lease.state, lease.partition, lease.qos, lease.reservation, lease.run,
            lease.cancelled_by, lease.vanished,
        )  # fmt: skip

    def _inventoried(self, lease: Lease) -> int:
        first = self._inventory.get((lease.cluster, lease.node or ""))
        return int(first is not None and max(lease.end_ms, lease.epilog_ms or 0) >= first)

    def _numbers(self, holders: set[Holder]) -> dict[Holder, int]:
        ordered = sorted(holders)
        marks = ", ".join("?" * len(Holder._fields))
        self._db.executemany(f"INSERT OR IGNORE INTO holder ({_KEY}) VALUES ({marks})", ordered)
        where = " AND ".join(f"{name} = ?" for name in Holder._fields)
        ask = f"SELECT holder FROM holder WHERE {where}"
        return {holder: self._db.execute(ask, holder).fetchone()[0] for holder in ordered}


def mark_device(db: sqlite3.Connection, device: str, *, renamed: bool) -> None:
    """A device's product name became known, or is another: the jobs that held it are to be projected again."""
    db.execute("INSERT OR IGNORE INTO dirty_job SELECT cluster, job_id FROM unknown_device WHERE device = ?", (device,))
    if renamed:
        db.execute(
            "INSERT OR IGNORE INTO dirty_job SELECT DISTINCT cluster, job_id FROM lease_row WHERE device = ?", (device,)
        )


def mark_nodes(db: sqlite3.Connection, changed: Iterable[tuple[str, str, int]]) -> None:
    """What nodes have is another from a moment on: mark the jobs whose leases may follow from it.

    Those that reach it count in the time of devices; of those with a slot, without a type or without a number of shards
    in a device, it may tell. One pass over the leases, for nodes seldom change.
    """
    db.execute("CREATE TEMP TABLE IF NOT EXISTS changed (cluster TEXT, node TEXT, at_ms INTEGER)")
    db.execute("DELETE FROM changed")
    db.executemany("INSERT INTO changed VALUES (?, ?, ?)", changed)
    db.execute(
        "INSERT OR IGNORE INTO dirty_job SELECT DISTINCT l.cluster, l.job_id FROM lease_row l "
        "JOIN changed c ON c.cluster = l.cluster AND c.node = l.node JOIN holder h ON h.holder = l.holder "
        "WHERE l.end_ms >= c.at_ms OR l.epilog_ms >= c.at_ms OR l.gres_index IS NOT NULL OR h.gres_type = '' "
        "OR h.share_den = 0"
    )


def mark_slots(db: sqlite3.Connection, changed: Iterable[tuple[str, str, int]]) -> None:
    """What is in these slots (cluster, node, index) is another: mark the jobs that held them. One pass, too."""
    db.execute("CREATE TEMP TABLE IF NOT EXISTS changed_slot (cluster TEXT, node TEXT, gres_index INTEGER)")
    db.execute("DELETE FROM changed_slot")
    db.executemany("INSERT INTO changed_slot VALUES (?, ?, ?)", changed)
    db.execute(
        "INSERT OR IGNORE INTO dirty_job SELECT DISTINCT l.cluster, l.job_id FROM lease_row l "
        "JOIN changed_slot c ON c.cluster = l.cluster AND c.node = l.node AND c.gres_index = l.gres_index"
    )
