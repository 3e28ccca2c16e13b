"""What a journal lets go of: what the collector has had for long, and at its bound what can be spared.

Windows can: the energy counter at both sides of a gap still tells what was drawn in it, and its time is unobserved.
Hook events cannot, and go only when they are acknowledged.
"""

from __future__ import annotations

import sqlite3

from slurm_gpucost.domain.wire import TABLES
from slurm_gpucost.ledger.journal import Journal, acknowledged, key_of

CHUNK = 20_000
"""Entries that go in one transaction: others get the writer's turn between two."""
_FEWEST = 500
_ENTRY_BYTES = 250
"""About what an entry takes, with its row."""
_SPARED = ("usage_window", "device_process")
"""What goes unsent at the bound, in this order."""
_STANDING = {
    "device_report": ("device",),
    "slot_report": ("cluster", "node", "gres_name", "gres_index"),
    "mig_report": ("parent",),
}
"""Reports that stand until the next of the same of these columns: the newest is never let go of."""
_MARKED = ("dirty_job", "dirty_node", "unknown_device")
"""What is marked for projection; journals are not projected."""
_DROPPED = "dropped_windows"


def used_bytes(db: sqlite3.Connection) -> int:
    """The bytes of the file that are in use."""
    pages: int = db.execute("PRAGMA page_count").fetchone()[0] - db.execute("PRAGMA freelist_count").fetchone()[0]
    size: int = db.execute("PRAGMA page_size").fetchone()[0]
    return pages * size


def dropped_windows(db: sqlite3.Connection) -> int:
    """How many windows went unsent, ever."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (_DROPPED,)).fetchone()
    return int(row[0]) if row else 0


def prune(journal: Journal, before_ms: int) -> int:
    """Let go of acknowledged entries that came before then, with their rows; how many entries went, CHUNK at most."""
    with journal.transaction() as db:
        for table in _MARKED:
            db.execute(f"DELETE FROM {table}")
        stays = db.execute("SELECT seq FROM journal_entry WHERE at_ms >= ? ORDER BY seq LIMIT 1", (before_ms,))
        row = stays.fetchone()
        gone = _drop(db, acknowledged(db) if row is None else min(row[0] - 1, acknowledged(db)), CHUNK)
        _give_back(db)
    return gone


def shrink(journal: Journal, most_bytes: int) -> int:
    """Where more is in use: let go of what is acknowledged, else of what can be spared, oldest first, CHUNK at most.

    How many windows went unsent. Call it again and again: it does a step at a time.
    """
    over = used_bytes(journal.connection) - most_bytes
    if over <= 0:
        return 0
    unsent, chunk = 0, min(CHUNK, _FEWEST + over // _ENTRY_BYTES)
    with journal.transaction() as db:
        if not _drop(db, acknowledged(db), chunk):
            unsent = _spare(db, chunk)
        _give_back(db)
    return unsent


def _drop(db: sqlite3.Connection, upto: int, chunk: int) -> int:
    """So many of the first entries up to this one go, with the rows that no later entry is about; how many went."""
    first = "SELECT seq FROM journal_entry WHERE seq <= ? ORDER BY seq LIMIT ?"
    end: int | None = db.execute(f"SELECT max(seq) FROM ({first})", (upto, chunk)).fetchone()[0]
    if end is None:
        return 0
    for kind, columns in _STANDING.items():
        _enter_again(db, kind, columns, end)
    for kind in TABLES:
        key = key_of(db, kind)
        ks = ", ".join(f"k{n}" for n in range(1, len(key) + 1))
        gone = f"({', '.join(key)}) IN (SELECT {ks} FROM journal_entry WHERE kind = :kind AND seq <= :end)"
        if kind != "usage_window":  # a window never changes: it has one entry
            gone += f" AND ({', '.join(key)}) NOT IN (SELECT {ks} FROM journal_entry WHERE kind = :kind AND seq > :end)"
        db.execute(f"DELETE FROM {kind} WHERE {gone}", {"kind": kind, "end": end})  # names are ours
    return db.execute("DELETE FROM journal_entry WHERE seq <= ?", (end,)).rowcount


def _enter_again(db: sqlite3.Connection, kind: str, columns: tuple[str, ...], end: int) -> None:
    """The newest reports that go with these entries get a new number, so that the collector has them again."""
    key = key_of(db, kind)
    ks = [f"k{n}" for n in range(1, len(key) + 1)]
    same = " AND ".join(f"{name} = k{key.index(name) + 1}" for name in columns)
    at = f"k{key.index('observed_at_ms') + 1}"
    db.execute(
        f"INSERT INTO journal_entry (at_ms, kind, {', '.join(ks)}) "  # names are ours
        f"SELECT DISTINCT gpucost_now_ms(), kind, {', '.join(ks)} FROM journal_entry WHERE kind = ? AND seq <= ? "
        f"AND {at} = (SELECT max(observed_at_ms) FROM {kind} WHERE {same})",
        (kind, end),
    )


def _spare(db: sqlite3.Connection, chunk: int) -> int:
    """So many of the first entries of what can be spared go; how many windows went."""
    for kind in _SPARED:
        key = key_of(db, kind)
        ks = ", ".join(f"k{n}" for n in range(1, len(key) + 1))
        first = "SELECT seq FROM journal_entry WHERE kind = ? ORDER BY seq LIMIT ?"
        end: int | None = db.execute(f"SELECT max(seq) FROM ({first})", (kind, chunk)).fetchone()[0]
        if end is None:
            continue
        gone = db.execute(
            f"DELETE FROM {kind} WHERE ({', '.join(key)}) IN "  # names are ours
            f"(SELECT {ks} FROM journal_entry WHERE kind = ? AND seq <= ?)",
            (kind, end),
        ).rowcount
        db.execute("DELETE FROM journal_entry WHERE kind = ? AND seq <= ?", (kind, end))
        if kind == "usage_window":
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_DROPPED, str(dropped_windows(db) + gone)))
            return gone
        return 0
    return 0


def _give_back(db: sqlite3.Connection) -> None:
    """Free pages go back to the file system: on tmpfs they are the node's memory."""
    db.execute("PRAGMA incremental_vacuum").fetchall()
