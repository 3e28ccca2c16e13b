"""What imported files say of accounts. Call these inside :meth:`slurm_gpucost.ledger.store.Ledger.transaction`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from slurm_gpucost.domain.evidence import AccountFact

_STANDS = (
    "SELECT value, from_ms FROM account_fact WHERE cluster = ? AND account = ? AND field = ? AND from_ms <= ? "
    "ORDER BY from_ms DESC, imported_at_ms DESC LIMIT 1"
)


def add_facts(db: sqlite3.Connection, facts: Iterable[AccountFact], *, dated: bool) -> list[AccountFact]:
    """Keep what is new; these facts, in their order.

    ``dated``: somebody names the day, so each fact is kept, unless it stands there from that very day on: what is said
    of days between may come later. Else it is what a portal says now, and only changes are kept.
    """
    new = []
    for fact in facts:
        row = db.execute(_STANDS, (fact.cluster, fact.account, fact.field, fact.from_ms)).fetchone()
        value, from_ms = row or ("", None)
        if value != fact.value or (dated and from_ms != fact.from_ms):
            db.execute("INSERT OR REPLACE INTO account_fact VALUES (?, ?, ?, ?, ?, ?, ?, ?)", fact)
            new.append(fact)
    return new
