"""Named questions with parameters that return rows: ``NAME.sql`` beside this file.

A person can run them in the sqlite3 shell (``.parameter set :start 0``). Every row is a plain dict, so that the
same question can be asked of a service without changing the one who asks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from typing import Any

Rows = list[dict[str, Any]]


@lru_cache(maxsize=64)
def text_of(name: str) -> str:
    """The SQL of a named query. Raises KeyError for an unknown name."""
    file = resources.files(__name__) / f"{name}.sql"
    if not name.replace("_", "").isalnum() or not file.is_file():
        raise KeyError(f"no query is named {name!r}")
    return file.read_text(encoding="utf-8")


def ask(db: sqlite3.Connection, name: str, **params: Any) -> Rows:
    """The rows of a named query."""
    return list(each(db, name, **params))


def each(db: sqlite3.Connection, name: str, **params: Any) -> Iterator[dict[str, Any]]:
    """The same, one by one."""
    cursor = tuples(db, name, **params)
    columns = [column[0] for column in cursor.description]
    return (dict(zip(columns, row, strict=True)) for row in cursor)


def tuples(db: sqlite3.Connection, name: str, **params: Any) -> sqlite3.Cursor:
    """The same without the names of columns, in the order in which the query has them."""
    return db.execute(text_of(name), params)
