"""What the ledger knows of nodes' journals, and of who told of which device.

Call what writes inside :meth:`slurm_gpucost.ledger.store.Ledger.transaction`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from slurm_gpucost.ledger.tokens import Who

TAKEN = "taken"
WAITING = "waiting"
RETIRED = "retired"
MOST = 16
"""Journals of a node that are not taken, and are remembered."""


class Journal(NamedTuple):
    """A journal that was sent here. Field order is column order."""

    journal: str
    cluster: str
    node: str
    state: str
    """TAKEN; WAITING: another one of that node is alive; RETIRED: another took its place."""
    held: int
    """All entries up to this number are in the ledger."""
    missing: int
    """Entries that the node had no more when it was asked for them."""
    first_heard_ms: int
    last_heard_ms: int
    clock_ahead_ms: int
    version: str
    said: str
    """JSON."""


class Claim(NamedTuple):
    """A node told of a device. Field order is column order."""

    device: str
    cluster: str
    node: str
    journal: str
    first_ms: int
    """When it first did, by the collector's clock."""
    last_ms: int
    """The latest moment of which it told, at most that of the telling."""


_WRITE = f"INSERT OR REPLACE INTO node_journal VALUES ({','.join('?' * len(Journal._fields))})"
_CLAIM = f"INSERT OR REPLACE INTO device_claim VALUES ({','.join('?' * len(Claim._fields))})"


def find(db: sqlite3.Connection, journal: str) -> Journal | None:
    """What is known of a journal."""
    row = db.execute("SELECT * FROM node_journal WHERE journal = ?", (journal,)).fetchone()
    return None if row is None else Journal(*row)


def of_node(db: sqlite3.Connection, who: Who) -> list[Journal]:
    """All journals of a node, in order of their ids."""
    rows = db.execute("SELECT * FROM node_journal WHERE cluster = ? AND node = ? ORDER BY journal", who)
    return [Journal(*row) for row in rows]


def taken(db: sqlite3.Connection, who: Who) -> Journal | None:
    """The journal of a node that is taken in now; None: there is none."""
    row = db.execute(
        "SELECT * FROM node_journal WHERE cluster = ? AND node = ? AND state = ?", (*who, TAKEN)
    ).fetchone()
    return None if row is None else Journal(*row)


def make_room(db: sqlite3.Connection, who: Who) -> None:
    """Before another journal of a node is noted: of MOST others that are not taken, those heard longest ago go.

    Nothing is lost: a journal that is not known here sends all again, and what is here already is not taken twice.
    """
    db.execute(
        "DELETE FROM node_journal WHERE journal IN (SELECT journal FROM node_journal WHERE cluster = ? AND node = ? "
        "AND state <> ? ORDER BY last_heard_ms DESC, journal LIMIT -1 OFFSET ?)",
        (*who, TAKEN, MOST - 1),
    )


def write(db: sqlite3.Connection, journal: Journal) -> None:
    """Make it so."""
    db.execute(_WRITE, journal)


def take(db: sqlite3.Connection, who: Who, journal: str) -> None:
    """This journal of the node is taken in from now on, and no other one."""
    db.execute(
        "UPDATE node_journal SET state = ? WHERE cluster = ? AND node = ? AND state = ? AND journal <> ?",
        (RETIRED, *who, TAKEN, journal),
    )
    db.execute("UPDATE node_journal SET state = ? WHERE journal = ?", (TAKEN, journal))


def claims_on(db: sqlite3.Connection, device: str) -> list[Claim]:
    """Who told of a device."""
    return [Claim(*row) for row in db.execute("SELECT * FROM device_claim WHERE device = ?", (device,))]


def write_claims(db: sqlite3.Connection, claims: Iterable[Claim]) -> None:
    """Make them so."""
    db.executemany(_CLAIM, claims)
