"""Reports that stand until the next: of nodes, when they were out of use or reserved, of slots, devices and accounts.

Only changes are kept, each with when it was first said. Call these inside
:meth:`slurm_gpucost.ledger.store.Ledger.transaction`; they mark what is to be projected again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from slurm_gpucost.domain.evidence import (
    AccountReport,
    DeviceReport,
    NodeCpus,
    NodeEvent,
    NodeReport,
    ReservationReport,
    SlotReport,
)
from slurm_gpucost.ledger import leases, timelines


class Report(Protocol):
    """A named tuple that says something of a key, from its ``observed_at_ms`` on."""

    def _asdict(self) -> dict[str, Any]: ...


def log(
    db: sqlite3.Connection,
    table: str,
    key: Sequence[str],
    row: Report,
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
    db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({','.join('?' * len(values))})", tuple(values.values()))
    return True


def add_nodes(db: sqlite3.Connection, reports: Iterable[NodeReport]) -> int:
    """Take in what the controller says that nodes have; the number that differ from what it said before."""
    new = [report for report in reports if log(db, "node_report", ("cluster", "node"), report)]
    timelines.mark(db, ((r.cluster, r.node, r.observed_at_ms) for r in new))
    if new:
        leases.mark_nodes(db, [(r.cluster, r.node, r.observed_at_ms) for r in new])
    return len(new)


def add_node_events(db: sqlite3.Connection, events: Iterable[NodeEvent]) -> int:
    """Take in when nodes were out of use; the number that say something new."""
    key = ("cluster", "node", "source", "start_ms")
    new = [event for event in events if log(db, "node_event", key, event)]
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
    new = [slot for slot in slots if log(db, "slot_report", key, slot)]
    if new:
        leases.mark_slots(db, [(slot.cluster, slot.node, slot.gres_index) for slot in new])
        timelines.mark(db, ((slot.cluster, slot.node, 0) for slot in new))
    return len(new)


def add_devices(db: sqlite3.Connection, reports: Iterable[DeviceReport]) -> int:
    """Take in what the driver says of its devices; the number of new reports."""
    models = dict(db.execute("SELECT device, model FROM device").fetchall())
    new = [report for report in reports if log(db, "device_report", ("device",), report)]
    for report in new:
        if models.get(report.device) != report.model:
            leases.mark_device(db, report.device, renamed=report.device in models)
    return len(new)


def add_accounts(db: sqlite3.Connection, reports: Iterable[AccountReport]) -> int:
    """Take in what sacctmgr says of accounts; the number that differ from what it said before."""
    return sum(log(db, "account_report", ("cluster", "account"), report) for report in reports)


def listed_accounts(db: sqlite3.Connection, cluster: str, until_ms: int) -> set[str]:
    """The accounts that sacctmgr listed when it last told of each, up to a moment."""
    rows = db.execute(
        "SELECT account, description, max(observed_at_ms) FROM account_report "
        "WHERE cluster = ? AND observed_at_ms <= ? GROUP BY account",
        (cluster, until_ms),
    )
    return {account for account, description, _ in rows if description is not None}


def add_reservations(db: sqlite3.Connection, said: Iterable[ReservationReport]) -> int:
    """Take in what slurmdbd says of reservations; the number that differ from what it said before."""
    return sum(log(db, "reservation_report", ("cluster", "id", "start_ms"), report) for report in said)


def latest_reservations(db: sqlite3.Connection, cluster: str) -> list[ReservationReport]:
    """The last word on each reservation of a cluster, of those that slurmdbd then had."""
    names = ", ".join(ReservationReport._fields)
    rows = db.execute(
        f"SELECT {names.replace('observed_at_ms', 'max(observed_at_ms)')} FROM reservation_report "  # names are ours
        "WHERE cluster = ? GROUP BY cluster, id, start_ms",
        (cluster,),
    )
    return [report for row in rows if (report := ReservationReport(*row)).listed]


def add_node_cpus(db: sqlite3.Connection, said: Iterable[NodeCpus]) -> int:
    """Take in how many CPUs nodes have; the number that differ from what was said before."""
    return sum(log(db, "node_cpus", ("cluster", "node"), report) for report in said)
