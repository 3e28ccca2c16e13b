"""Who looked at cost items, issued tokens, acted for others: in the chained log of changes, subject ``access``."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from slurm_gpucost.ledger import changes
from slurm_gpucost.ledger.changes import Change
from slurm_gpucost.ledger.queries import ask
from slurm_gpucost.sources.identity import Identity

SUBJECT = "access"
LONGEST_VALUE = 1_000
"""Characters of a parameter's JSON that are kept."""


def note(
    db: sqlite3.Connection,
    who: Identity,
    what: Mapping[str, Any],
    now_ms: int,
    *,
    users: Iterable[str] = (),
    why: str = "",
) -> int:
    """Write down what somebody did, inside a transaction of the ledger; its number in the log.

    ``who`` of a request: ``Identity(caller.user, caller.uid, caller.host, caller.via)``. ``what`` has ``did``, and what
    of; ``users`` are those whose records or rights it touches.
    """
    told = json.dumps({**what, "users": sorted(set(users))}, sort_keys=True, ensure_ascii=False)
    return changes.add(db, Change(now_ms, who.login, who.uid, who.host, who.terminal, SUBJECT, told, why))


def looked(db: sqlite3.Connection, who: Identity, name: str, params: Mapping[str, Any], now_ms: int) -> int:
    """Write down that somebody was shown cost items by the question of that name."""
    return note(db, who, {"did": "looked", "query": name, "params": _shortened(params)}, now_ms)


def _shortened(params: Mapping[str, Any]) -> dict[str, Any]:
    """As much of them as tells what was asked; the log is kept for ever."""
    told = {name: value for name, value in params.items() if len(json.dumps(value)) <= LONGEST_VALUE}
    left = sorted(params.keys() - told.keys())
    return {**told, "left_out": left} if left else told


def acted_on(db: sqlite3.Connection, user: str | None) -> list[dict[str, Any]]:
    """What was done by a user or concerns him, oldest first; None: all that was done."""
    return [
        {
            "seq": row["seq"],
            "at": row["at_ms"] // 1000,
            "login": row["login"],
            "uid": row["uid"],
            "host": row["host"],
            "terminal": row["terminal"],
            **json.loads(row["what"]),
            "why": row["why"],
        }
        for row in ask(db, "access_log", user=user)
    ]
