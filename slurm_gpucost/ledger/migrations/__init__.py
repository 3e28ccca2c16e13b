"""Numbered .sql files, each one transaction; ``sqlite3 FILE < NNNN_name.sql`` can run them too.

:func:`apply` uses sqlite-utils, which records each step with it in one transaction; :func:`apply_plainly` does the same
without it, for nodes. Either goes on where the other stopped. A file whose recorded steps are not all known here was
written by a newer gpucost and is refused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import resources
from typing import Any

APPLICATION_ID = 0x67707563
"""``gpuc``: what `file` and SQLite show of a ledger."""
SET = "gpucost"
_RECORDS = (
    'CREATE TABLE "_sqlite_migrations" (\n'
    '   "id" INTEGER PRIMARY KEY,\n   "migration_set" TEXT,\n   "name" TEXT,\n   "applied_at" TEXT\n)',
    'CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"\n'
    '    ON "_sqlite_migrations" ("migration_set", "name")',
)
"""The table of records as sqlite-utils 4 makes it."""


def names() -> list[str]:
    """The known steps, in order."""
    return sorted(f.name[:-4] for f in resources.files(__name__).iterdir() if f.name.endswith(".sql"))


def statements(name: str) -> Iterator[str]:
    """The single statements of a step."""
    text = (resources.files(__name__) / f"{name}.sql").read_text(encoding="utf-8")
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def applied(connection: sqlite3.Connection) -> list[str]:
    """The steps a file has had; read only."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone()
    if not found:
        return []
    return [row[0] for row in connection.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = ?", [SET])]


def apply(connection: sqlite3.Connection) -> None:
    """Bring a file to the newest schema; each step and its record are one transaction."""
    import sqlite_utils

    steps = sqlite_utils.Migrations(SET)
    for name in names():
        steps(name=name)(_step(name))
    steps.apply(sqlite_utils.Database(connection))


def apply_plainly(connection: sqlite3.Connection) -> None:
    """The same with sqlite3 alone; the connection is one without transactions of its own (isolation_level None)."""
    for name in names():
        connection.execute("BEGIN IMMEDIATE")
        try:
            done = applied(connection)
            if (
                not done
                and not connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone()
            ):
                for statement in _RECORDS:
                    connection.execute(statement)
            if name not in done:
                for statement in statements(name):
                    connection.execute(statement)
                connection.execute(
                    "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, ?, ?)",
                    (SET, name, str(datetime.now(UTC))),
                )
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def _step(name: str) -> Callable[[Any], None]:
    def run(database: Any) -> None:
        for statement in statements(name):
            database.execute(statement)

    return run
