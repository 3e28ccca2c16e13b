"""When witnesses were asked, up to when their answers reach, and what they have as not ended."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import NamedTuple

from slurm_gpucost.domain.evidence import Poll

_ASKED_UNTIL = "sacct_asked_until:"
_LOOKED_BACK = "sacct_looked_back:"
_RECONCILED = "reconciled:"


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


def last_poll_until(db: sqlite3.Connection, witness: str, cluster: str, until_ms: int) -> int | None:
    """The same, of what was told up to a moment: what a clock that ran ahead noted is not there yet."""
    row = db.execute(
        "SELECT max(observed_at_ms) FROM source_poll WHERE witness = ? AND ok = 1 AND current = 1 AND cluster = ? "
        "AND observed_at_ms <= ?",
        (witness, cluster, until_ms),
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
