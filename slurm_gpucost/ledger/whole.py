"""Whether a ledger's file is whole, by SQLite's own check, without what that sees wrongly."""

from __future__ import annotations

import re
import sqlite3

_NULL = re.compile(r"NULL value in (\w+)\.(\w+)")
_MOST_LINES = 1_000_000_000
_ENOUGH = 100


def faults(db: sqlite3.Connection) -> list[str]:
    """Lines that say what is damaged; none of a whole file.

    SQLite 3.40 (Debian 12) says "NULL value in T.C" of each row of a table WITHOUT ROWID whose key is not made of its
    first columns, as slot_report and device_report: it looks at another column. So the column is asked itself.
    """
    found: list[str] = []
    asked: set[tuple[str, str]] = set()
    for (line,) in db.execute(f"PRAGMA integrity_check({_MOST_LINES})"):
        match = _NULL.fullmatch(line)
        if match and (match[1], match[2]) in asked:
            continue
        if match:
            asked.add((match[1], match[2]))
            # Not IS NULL: that is never true of a NOT NULL column, and SQLite does not look.
            where = f"SELECT 1 FROM {match[1]} WHERE typeof({match[2]}) = 'null' LIMIT 1"
            if db.execute(where).fetchone() is None:
                continue
        found.append(line)
        if len(found) == _ENOUGH:
            break
    return [] if found == ["ok"] else found
