"""A node's journal: a file of the ledger's schema that also keeps in which order its rows came.

Triggers of the daemon's own connection number every row that comes or changes, in the transaction that brings it: what
is in the tables is numbered, whoever wrote it here. Made with sqlite3 alone.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from slurm_gpucost.domain.errors import LedgerError
from slurm_gpucost.domain.evidence import digest_of
from slurm_gpucost.domain.wire import TABLES
from slurm_gpucost.ledger import migrations
from slurm_gpucost.ledger.own_files import refuse_foreign
from slurm_gpucost.ledger.store import JOURNAL, Ledger, open_readonly, open_writable

CACHE_KIB = 2048
"""SQLite's page cache: a guest on a node keeps little."""
_WAL_BYTES = 4 * 1024 * 1024
MACHINE = (Path("/etc/machine-id"), Path("/sys/class/dmi/id/product_uuid"))
"""A cloned disk has the first in common with its original, and not the second."""
_ELSEWHERE = ("accounting_row", "controller_row", "source_poll", "node_report", "rate")
"""What ledgers hold and journals do not."""


def machine(files: tuple[Path, ...] = MACHINE) -> str:
    """Names this machine: a digest of its ids, or of its host name where it has none that can be read."""
    found = []
    for file in files:
        try:
            found.append(file.read_text(encoding="ascii", errors="replace").strip())
        except OSError:
            found.append("")
    return digest_of("journal", *found if any(found) else [os.uname().nodename]).hex()


class Journal(Ledger):
    """The journal opened for writing, by the one daemon of the node. ``clock`` gives ms UTC."""

    def __init__(self, path: Path, connection: sqlite3.Connection, clock: Callable[[], int], here: str) -> None:
        super().__init__(path, connection)
        self._clock = clock
        self._here = here
        connection.create_function("gpucost_now_ms", 0, clock)
        for statement in (f"PRAGMA cache_size = -{CACHE_KIB}", f"PRAGMA journal_size_limit = {_WAL_BYTES}"):
            connection.execute(statement)
        with self.transaction() as db:
            known = db.execute("SELECT id, machine FROM journal").fetchone()
            if known is None:
                _refuse_ledger(db, path)
            if known is None or known[1] != here:
                self._begin_anew(db)
        for table in TABLES:
            _number_rows(connection, table)

    @property
    def id(self) -> str:
        """32 hex digits."""
        return id_of(self.connection)

    def acknowledge(self, seq: int) -> None:
        """The collector has all entries up to this one; fewer than before where it was restored from a backup."""
        with self.transaction() as db:
            db.execute("UPDATE journal SET acknowledged = ?", (seq,))

    def renew(self) -> None:
        """Become another journal: this one went back, so its numbers stand for other rows than the collector has."""
        with self.transaction() as db:
            self._begin_anew(db)

    def _begin_anew(self, db: sqlite3.Connection) -> None:
        """A new id; its numbers begin at 1 again, and all entries are sent again."""
        db.execute("CREATE TEMP TABLE again AS SELECT at_ms, kind, k1, k2, k3, k4, k5 FROM journal_entry ORDER BY seq")
        db.execute("DELETE FROM journal_entry")
        db.execute("DELETE FROM sqlite_sequence WHERE name = 'journal_entry'")
        db.execute("INSERT INTO journal_entry (at_ms, kind, k1, k2, k3, k4, k5) SELECT * FROM again ORDER BY rowid")
        db.execute("DROP TABLE again")
        db.execute("DELETE FROM journal")
        row = (os.urandom(16).hex(), self._here, self._clock())
        db.execute("INSERT INTO journal (id, machine, made_ms, acknowledged) VALUES (?, ?, ?, 0)", row)


def open_journal(path: Path, clock: Callable[[], int], here: str | None = None) -> Journal:
    """Open for writing, made (mode 0600) where missing. Raises LedgerError, for a ledger too: it is left as it is."""
    refuse_foreign(path)
    if path.exists() and not path.with_name(path.name + "-journal").exists():
        db = open_readonly(path, check_only=True, words=JOURNAL)
        try:
            if migrations.applied(db):
                _refuse_ledger(db, path)
        finally:
            db.close()
    apply = migrations.apply_plainly
    connection = open_writable(path, JOURNAL, apply, "PRAGMA auto_vacuum = INCREMENTAL")
    return Journal(path, connection, clock, machine() if here is None else here)


def read_journal(path: Path) -> sqlite3.Connection:
    """A connection that only reads, for the thread that sends. Raises LedgerError."""
    db = open_readonly(path, words=JOURNAL)
    db.row_factory = None
    db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    return db


def id_of(db: sqlite3.Connection) -> str:
    """The journal's id."""
    found: str = db.execute("SELECT id FROM journal").fetchone()[0]
    return found


def acknowledged(db: sqlite3.Connection) -> int:
    """The collector has all entries up to this number, as far as was noted here."""
    found: int = db.execute("SELECT acknowledged FROM journal").fetchone()[0]
    return found


def last(db: sqlite3.Connection) -> int:
    """The highest number ever given; 0: none."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'journal_entry'").fetchone()
    return int(row[0]) if row else 0


def oldest(db: sqlite3.Connection) -> int:
    """The lowest number that is still here; the next one where none is."""
    row = db.execute("SELECT min(seq) FROM journal_entry").fetchone()
    return last(db) + 1 if row[0] is None else int(row[0])


def tail(db: sqlite3.Connection, number: int) -> str:
    """``N:DIGEST`` of the newest entry up to a number; '' where there is none.

    Numbers alone do not tell one entry from another that a journal that went back has at the same place.
    """
    newest = "SELECT seq, kind, k1, k2, k3, k4, k5 FROM journal_entry WHERE seq <= ? ORDER BY seq DESC LIMIT 1"
    row = db.execute(newest, (number,)).fetchone()
    return "" if row is None else f"{row[0]}:{digest_of(*row[1:]).hex()}"


def key_of(db: sqlite3.Connection, table: str) -> list[str]:
    """The columns of a table's key, in order."""
    columns = [(row[5], row[1]) for row in db.execute(f"PRAGMA main.table_info({table})") if row[5]]
    return [name for _, name in sorted(columns)]


def _number_rows(db: sqlite3.Connection, table: str) -> None:
    """Temporary triggers: other programs that open the file do not have them, and need no function of ours."""
    key = key_of(db, table)
    columns = ", ".join(f"k{n}" for n in range(1, len(key) + 1))
    enter = (
        f"INSERT INTO journal_entry (at_ms, kind, {columns}) "  # names are ours
        f"VALUES (gpucost_now_ms(), '{table}', {', '.join(f'new.{name}' for name in key)});"
    )
    every = [row[1] for row in db.execute(f"PRAGMA main.table_info({table})")]
    changed = " OR ".join(f"new.{name} IS NOT old.{name}" for name in every)
    db.execute(f"CREATE TEMP TRIGGER entry_new_{table} AFTER INSERT ON main.{table} BEGIN {enter} END")
    db.execute(
        f"CREATE TEMP TRIGGER entry_changed_{table} AFTER UPDATE ON main.{table} WHEN {changed} BEGIN {enter} END"
    )


def _refuse_ledger(db: sqlite3.Connection, path: Path) -> None:
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'journal'").fetchone():
        if db.execute("SELECT 1 FROM journal").fetchone():
            return
        tables = (*_ELSEWHERE, *TABLES)
    else:
        tables = ("accounting_row", "hook_event", "source_poll")
    if any(db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in tables):
        raise LedgerError(f"{path}: is a ledger, and a journal is a file of its own; {JOURNAL.other}")
