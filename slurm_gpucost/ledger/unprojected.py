"""Jobs and nodes that the projection fails at: a fault of ours, which one strange fact brought to light.

They are left out, with the reason, and all others go on. What was projected of them before stays, but in a rebuild, and
so does their evidence; they are tried again when more of it comes, when a daemon starts, and by a rebuild.
"""

from __future__ import annotations

import logging
import sqlite3
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slurm_gpucost.domain.errors import LedgerError
from slurm_gpucost.ledger import timelines

log = logging.getLogger("gpucostd")
_OF_VALUES = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH)


@contextmanager
def savepoint(db: sqlite3.Connection) -> Iterator[None]:
    """What is done in it is done whole or not at all, within the caller's transaction."""
    db.execute("SAVEPOINT part")
    try:
        yield
    except BaseException:
        if db.in_transaction:  # a full disk can have rolled it back whole
            db.execute("ROLLBACK TO part")
            db.execute("RELEASE part")
        raise
    db.execute("RELEASE part")


def is_of_values(error: Exception) -> bool:
    """Whether it can come of what was projected; a disk that is full, or a file that is locked, cannot."""
    if isinstance(error, sqlite3.Error):
        return (getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR) & 0xFF in _OF_VALUES
    return not isinstance(error, (LedgerError, OSError, MemoryError))


def note_job(db: sqlite3.Connection, cluster: str, job_id: int, error: Exception) -> None:
    """It is not marked any more, and stands here."""
    reason = _reason(error)
    log.error("job %s of %s cannot be projected, and is left out: %s", job_id, cluster, reason)
    db.execute("DELETE FROM dirty_job WHERE cluster = ? AND job_id = ?", (cluster, job_id))
    db.execute("INSERT OR REPLACE INTO unprojected_job VALUES (?, ?, ?)", (cluster, job_id, reason))


def note_node(db: sqlite3.Connection, cluster: str, node: str, error: Exception) -> None:
    """The same of a node's time."""
    reason = _reason(error)
    log.error("the time of node %s of %s cannot be projected, and is left out: %s", node, cluster, reason)
    db.execute("INSERT OR REPLACE INTO unprojected_node VALUES (?, ?, ?)", (cluster, node, reason))


def from_the_beginning(db: sqlite3.Connection, marked: list[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    """Nodes (cluster, node, from when on); those that it failed at are made whole, for their old mark is gone."""
    failed = set(db.execute("SELECT cluster, node FROM unprojected_node").fetchall())
    return [(cluster, node, 0 if (cluster, node) in failed else from_ms) for cluster, node, from_ms in marked]


def mark_again(db: sqlite3.Connection) -> None:
    """Mark them all for projection."""
    db.execute("INSERT OR IGNORE INTO dirty_job SELECT cluster, job_id FROM unprojected_job")
    timelines.mark(db, db.execute("SELECT cluster, node, 0 FROM unprojected_node").fetchall())


def _reason(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})"[:500]
