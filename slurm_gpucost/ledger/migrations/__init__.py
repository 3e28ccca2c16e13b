"""Numbered .sql files, each one transaction; ``sqlite3 FILE < NNNN_name.sql`` can run them too.

:func:`apply` uses sqlite-utils, which records each step with it in one transaction. A file whose recorded steps
are not all known here was written by a newer gpucost and is refused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

APPLICATION_ID = 0x67707563
"""``gpuc``: what `file` and SQLite show of a ledger."""
SET = "gpucost"


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


def _step(name: str) -> Callable[[Any], None]:
    def run(database: Any) -> None:
        for statement in statements(name):
            database.execute(statement)

    return run
