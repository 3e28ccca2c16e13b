"""What is known of accounts, a row a fact."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from slurm_gpucost.documents.table import Column, Row, table

_COLUMNS = [
    Column("Cluster", lambda row: str(row["cluster"])),
    Column("Account", lambda row: str(row["account"]), 10),
    Column("Fact", lambda row: str(row["field"])),
    Column("Value", lambda row: _value(row["value"]), 12),
]


def page(rows: Iterable[Row]) -> str:
    """What ``gpucost accounts list`` shows; where a fact comes from stands last, for it may be long."""
    facts = [{**row, **fact} for row in rows for fact in row["facts"]]
    source = Column("Source", lambda row: str(row["source"]), max([8, *(len(fact["source"]) for fact in facts)]))
    return table([*_COLUMNS, source], facts)


def _value(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
