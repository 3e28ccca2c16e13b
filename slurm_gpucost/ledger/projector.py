"""Runs the pure projection over the jobs that new evidence touched, and writes what it says.

Reads three tables in step, in order of (cluster, job id): memory stays that of one job and one batch.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TypeVar

from slurm_gpucost.domain.evidence import AccountingRow, ControllerRow, HookEvent, NodeReport, SlotReport
from slurm_gpucost.domain.projection import project
from slurm_gpucost.domain.records import Attempt, JobEvidence, Lease, Topology, Vanished
from slurm_gpucost.ledger import timelines, unprojected
from slurm_gpucost.ledger.leases import Leases
from slurm_gpucost.ledger.store import Ledger

BATCH_JOBS = 5_000
BATCH_NODES = 200
YIELD_SECONDS = 0.005
"""Between batches others get the writers' lock: the daemon goes on taking events in while a backfill is projected."""
PROJECTION = "5"
"""Raise it when the rules of projection change: ledgers then say that they want a rebuild."""
_Row = TypeVar("_Row", AccountingRow, HookEvent, ControllerRow)
Progress = Callable[[int], None]


def settings_key(shards: Mapping[str, int]) -> str:
    """What of the rules and the config a ledger's projection depends on."""
    return json.dumps([PROJECTION, sorted(shards.items())])


def topology(db: sqlite3.Connection, shards: Mapping[str, int]) -> Topology:
    """The slots that nodes reported, and the config's shards per device by GRES type."""
    columns = ", ".join(SlotReport._fields)
    slots = [SlotReport(*row) for row in db.execute(f"SELECT {columns} FROM slot_report")]
    nodes = [NodeReport(*row) for row in db.execute("SELECT cluster, node, observed_at_ms, gres FROM node_report")]
    return Topology(slots, shards, nodes)


def pending(db: sqlite3.Connection) -> int:
    """How many jobs and nodes await projection."""
    count: int = db.execute("SELECT count(*) FROM dirty_job").fetchone()[0]
    return count + timelines.pending(db)


def try_again(ledger: Ledger) -> None:
    """Mark what the projection failed at, when this is perhaps another version."""
    with ledger.transaction() as db:
        unprojected.mark_again(db)


def begin(ledger: Ledger, shards: Mapping[str, int]) -> None:
    """What a daemon does first: one batch of what is marked, what the projection failed at among it."""
    try_again(ledger)
    bring_up_to_date(ledger, shards, batches=1)


def bring_up_to_date(
    ledger: Ledger, shards: Mapping[str, int], progress: Progress | None = None, batches: int | None = None
) -> int:
    """Project what is marked, or everything where the rules or the config's shards are others than the last time."""
    row = ledger.connection.execute("SELECT value FROM meta WHERE key = 'projection'").fetchone()
    if row is not None and row[0] != settings_key(shards):
        return rebuild(ledger, shards, progress)
    return project_dirty(ledger, shards, progress, batches)


def project_dirty(
    ledger: Ledger, shards: Mapping[str, int], progress: Progress | None = None, batches: int | None = None
) -> int:
    """Project the marked jobs, a batch a transaction; returns how many. A kill between batches loses nothing.

    ``batches``: at most so many, where others wait meanwhile; else until none is marked, while more may come.
    """
    done = 0
    while batches is None or batches > 0:
        with ledger.transaction() as db:
            batch = _project_batch(db, partial(topology, db, shards), BATCH_JOBS)
            if batch:
                db.execute("INSERT OR IGNORE INTO meta VALUES ('projection', ?)", (settings_key(shards),))
        done += batch
        if not batch:
            break
        if progress:
            progress(done)
        if batches is not None:
            batches -= 1
        if batches != 0:
            time.sleep(YIELD_SECONDS)
    if pending(ledger.connection):
        _project_nodes(ledger, batches)
    return done


def _project_nodes(ledger: Ledger, batches: int | None) -> None:
    """The time of the devices of marked nodes, a batch a transaction."""
    while True:
        with ledger.transaction() as db:
            if not project_nodes(db):
                return
        if batches is not None:
            return
        time.sleep(YIELD_SECONDS)


def project_nodes(db: sqlite3.Connection) -> int:
    """The time of the devices of some marked nodes, inside the caller's transaction; how many there were."""
    marked = timelines.marked(db, BATCH_NODES)
    for cluster, node, from_ms in unprojected.from_the_beginning(db, marked):
        try:
            with unprojected.savepoint(db):
                timelines.project_node(db, cluster, node, from_ms)
                db.execute("DELETE FROM unprojected_node WHERE cluster = ? AND node = ?", (cluster, node))
        except Exception as error:
            if not unprojected.is_of_values(error):
                raise
            unprojected.note_node(db, cluster, node, error)
        db.execute("DELETE FROM dirty_node WHERE cluster = ? AND node = ?", (cluster, node))
    return len(marked)


def rebuild(ledger: Ledger, shards: Mapping[str, int], progress: Progress | None = None) -> int:
    """Make attempts and leases anew from evidence, in one transaction: readers see the old ones until it is done."""
    with ledger.transaction() as db:
        db.execute("DELETE FROM attempt")
        db.execute("DELETE FROM lease_row")
        db.execute("DELETE FROM holder")
        db.execute("DELETE FROM unknown_device")
        db.execute("DELETE FROM unprojected_job")
        db.execute("DELETE FROM unprojected_node")
        for table in ("accounting_row", "hook_event", "controller_row"):
            db.execute(f"INSERT OR IGNORE INTO dirty_job SELECT DISTINCT cluster, job_id FROM {table}")
        known, done = topology(db, shards), 0
        while batch := _project_batch(db, lambda: known, BATCH_JOBS, fresh=True):
            done += batch
            if progress:
                progress(done)
        timelines.mark_all(db)
        while project_nodes(db):
            pass
        db.execute("INSERT OR REPLACE INTO meta VALUES ('projection', ?)", (settings_key(shards),))
    return done


def _note_longest(db: sqlite3.Connection, length_ms: int) -> None:
    """Questions about a period need to look no further than its end plus the longest attempt, and so lease."""
    db.execute(
        "INSERT INTO meta VALUES ('longest_lease_ms', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value "
        "WHERE CAST(excluded.value AS INTEGER) > CAST(value AS INTEGER)",
        (str(length_ms),),
    )


def _project_batch(db: sqlite3.Connection, ask: Callable[[], Topology], jobs: int, *, fresh: bool = False) -> int:
    """``ask`` gives the topology, which is read only where there is something to project."""
    ordered = "SELECT cluster, job_id FROM dirty_job ORDER BY cluster, job_id LIMIT ?"
    marked: list[tuple[str, int]] = db.execute(ordered, (jobs,)).fetchall()
    if marked:
        _project_jobs(db, marked, ask(), fresh=fresh)
    return len(marked)


def _project_jobs(db: sqlite3.Connection, jobs: list[tuple[str, int]], known: Topology, *, fresh: bool) -> None:
    """All of them but those that it fails at; found by halving, for they are few."""
    try:
        with unprojected.savepoint(db):
            _project_all(db, jobs, known, fresh=fresh)
    except Exception as error:
        if not unprojected.is_of_values(error):
            raise
        if len(jobs) == 1:
            unprojected.note_job(db, *jobs[0], error)
            return
        middle = len(jobs) // 2
        for part in (jobs[:middle], jobs[middle:]):
            _project_jobs(db, part, known, fresh=fresh)


def _project_all(db: sqlite3.Connection, jobs: list[tuple[str, int]], known: Topology, *, fresh: bool) -> None:
    db.execute("CREATE TEMP TABLE IF NOT EXISTS batch (cluster TEXT, job_id INTEGER, PRIMARY KEY (cluster, job_id))")
    db.execute("DELETE FROM batch")
    db.executemany("INSERT INTO batch VALUES (?, ?)", jobs)
    before: list[Lease] = []
    writer = Leases(db)
    if not fresh:
        before = writer.of_batch()
        db.execute("DELETE FROM attempt WHERE (cluster, job_id) IN (SELECT cluster, job_id FROM batch)")
        writer.delete_batch()
    attempts: list[Attempt] = []
    leases: list[Lease] = []
    for evidence in _evidence(db):
        projected = project(evidence, known)
        attempts += projected.attempts
        leases += projected.leases
    lengths = (a.end_ms - a.start_ms for a in attempts if a.start_ms is not None and a.end_ms is not None)
    _note_longest(db, max(lengths, default=0))
    db.executemany(f"INSERT INTO attempt VALUES ({','.join('?' * len(Attempt._fields))})", attempts)
    writer.write(leases)
    if not fresh:
        timelines.mark_leases(db, before, leases)
    for table in ("dirty_job", "unprojected_job"):
        db.execute(f"DELETE FROM {table} WHERE (cluster, job_id) IN (SELECT cluster, job_id FROM batch)")


def _evidence(db: sqlite3.Connection) -> Iterator[JobEvidence]:
    hooks = _by_job(db, "hook_event", HookEvent)
    controller = _by_job(db, "controller_row", ControllerRow)
    accounting = _by_job(db, "accounting_row", AccountingRow)
    lost: dict[tuple[str, int], list[Vanished]] = {}
    for cluster, job, *gone in db.execute(
        "SELECT v.cluster, v.job_id, submit_ms, last_named_ms, observed_at_ms FROM vanished_row v "
        "JOIN batch b ON b.cluster = v.cluster AND b.job_id = v.job_id"
    ):
        lost.setdefault((cluster, job), []).append(Vanished(*gone))
    for key in db.execute("SELECT cluster, job_id FROM batch ORDER BY cluster, job_id").fetchall():
        yield JobEvidence(key[0], key[1], accounting(key), hooks(key), controller(key), lost.get(key, []))


def _by_job(db: sqlite3.Connection, table: str, kind: type[_Row]) -> Callable[[tuple[str, int]], list[_Row]]:
    """A reader of ``table`` in order of job: asked with rising keys, gives each key's rows."""
    columns = ", ".join(f"t.{name}" for name in kind._fields)
    cursor = db.execute(
        f"SELECT {columns} FROM batch b CROSS JOIN {table} t "  # names are ours
        "ON t.cluster = b.cluster AND t.job_id = b.job_id ORDER BY b.cluster, b.job_id"
    )
    groups = groupby(cursor, key=itemgetter(0, 1))
    ahead = next(groups, None)

    def rows_of(key: tuple[str, int]) -> list[_Row]:
        nonlocal ahead
        if ahead is None or ahead[0] != key:
            return []
        rows = [kind._make(row) for row in ahead[1]]
        ahead = next(groups, None)
        return rows

    return rows_of
