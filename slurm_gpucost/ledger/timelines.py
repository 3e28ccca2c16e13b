"""Runs the pure timeline over the nodes that new evidence or leases touched, and writes what it says.

A node whose time changed from some moment on has its rows from there made anew; what lies before stays.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction

from slurm_gpucost.domain.evidence import NodeEvent, NodeReport, SlotReport
from slurm_gpucost.domain.inventory import Capacity, capacity
from slurm_gpucost.domain.outages import outages
from slurm_gpucost.domain.records import Lease
from slurm_gpucost.domain.timeline import DeviceTime, Hold, timeline

_Key = tuple[str, str]


def mark(db: sqlite3.Connection, changed: Iterable[tuple[str, str, int]]) -> None:
    """Note that these nodes' time (cluster, node, from when on) awaits projection."""
    db.executemany(
        "INSERT INTO dirty_node VALUES (?, ?, ?) ON CONFLICT (cluster, node) DO UPDATE SET from_ms = excluded.from_ms "
        "WHERE excluded.from_ms < dirty_node.from_ms",
        changed,
    )


def mark_all(db: sqlite3.Connection) -> None:
    """Every node that was ever reported, from the beginning."""
    db.execute("DELETE FROM device_time")
    db.execute("DELETE FROM capacity")
    mark(db, db.execute("SELECT DISTINCT cluster, node, 0 FROM node_report").fetchall())


def mark_leases(db: sqlite3.Connection, before: Iterable[Lease], after: Iterable[Lease]) -> None:
    """The nodes where leases changed, from when on. Leases that only end otherwise change nothing before that end."""
    known = set(db.execute("SELECT DISTINCT cluster, node FROM node_report").fetchall())
    if not known:
        return
    old, new = _ends(before), _ends(after)
    changed: dict[_Key, int] = {}
    for place in old.keys() | new.keys():
        was, now = old.get(place, []), new.get(place, [])
        if was == now:
            continue
        if len(was) == len(now):
            at_ms = min(min(a, b)[0] for a, b in zip(was, now, strict=True) if a != b)
        else:
            at_ms = place.start_ms
        key = (place.cluster, place.node or "")
        changed[key] = min(at_ms, changed.get(key, at_ms))
    mark(db, [(*key, at_ms) for key, at_ms in changed.items() if key in known])


def pending(db: sqlite3.Connection) -> int:
    """How many nodes await projection."""
    count: int = db.execute("SELECT count(*) FROM dirty_node").fetchone()[0]
    return count


def marked(db: sqlite3.Connection, most: int) -> list[tuple[str, str, int]]:
    """At most so many of the nodes that await projection: cluster, node, from when on."""
    return db.execute("SELECT cluster, node, from_ms FROM dirty_node LIMIT ?", (most,)).fetchall()


def _ends(leases: Iterable[Lease]) -> dict[Lease, list[tuple[int, int]]]:
    """Place -> (end, epilog) of each lease there, in order: two leases of an attempt can be alike."""
    found: defaultdict[Lease, list[tuple[int, int]]] = defaultdict(list)
    for lease in leases:
        if lease.node is not None:
            found[_place(lease)].append((lease.end_ms, max(lease.end_ms, lease.epilog_ms or 0)))
    return {place: sorted(ends) for place, ends in found.items()}


def _place(lease: Lease) -> Lease:
    """The lease without its end and what does not touch the time of devices."""
    return lease._replace(
        end_ms=0, seen_ms=0, billable=0, user="", account="", device_evidence=None, start_evidence="",
        end_evidence=None, prolog_ms=None, epilog_ms=None, device=None, n=0, state="", partition="", qos="",
        reservation="", run=0, cancelled_by=-1, vanished=0,
    )  # fmt: skip


def project_node(db: sqlite3.Connection, cluster: str, node: str, from_ms: int) -> None:
    """Make a node's time from a moment on anew, inside the caller's transaction."""
    key = (cluster, node)
    where = "WHERE cluster = ? AND node = ?"
    events = [NodeEvent(*row) for row in db.execute(f"SELECT * FROM node_event {where}", key)]
    out = outages(events)
    reports = [NodeReport(*row) for row in db.execute(f"SELECT * FROM node_report {where}", key)]
    slots = [SlotReport(*row) for row in db.execute(f"SELECT * FROM slot_report {where} AND gres_name = 'gpu'", key)]
    existed = capacity(reports, slots, out)
    db.execute(f"DELETE FROM capacity {where}", key)
    db.executemany(f"INSERT INTO capacity VALUES ({','.join('?' * len(Capacity._fields))})", existed)
    since = dict.fromkeys([-1, *(row.gres_index for row in existed)], from_ms)
    # Each slot from the beginning of the rows that reach to from_ms: rows are as long as they can be.
    began = db.execute(
        f"SELECT gres_index, min(start_ms) FROM device_time {where} AND end_ms >= ? GROUP BY 1", (*key, from_ms)
    )
    since |= {index: min(at_ms, from_ms) for index, at_ms in began}
    first = min(since.values())
    holds = _holds(db, cluster, node, first)
    db.execute(f"DELETE FROM device_time {where} AND end_ms >= ?", (*key, from_ms))
    rows = timeline(existed, holds, out, since)
    db.executemany(f"INSERT INTO device_time VALUES ({','.join('?' * len(DeviceTime._fields))})", rows)


def _holds(db: sqlite3.Connection, cluster: str, node: str, first_ms: int) -> list[Hold]:
    found = []
    for start, end, index, kind, units, num, den, suspended, epilog in db.execute(
        "SELECT start_ms, end_ms, gres_index, gres_type, units, share_num, share_den, suspended, epilog_ms FROM lease "
        "WHERE inventoried = 1 AND cluster = ? AND node = ? "
        "AND (CASE WHEN epilog_ms > end_ms THEN epilog_ms ELSE end_ms END) >= ?",
        (cluster, node, first_ms),
    ):
        quantity = Fraction(units * num, den) if den else Fraction(0)
        found.append(Hold(start, end, index, kind, quantity, suspended != "", epilog))
    return found
