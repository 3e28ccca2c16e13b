"""What is known of accounts, a row a fact."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from slurm_gpucost.documents.table import Column, Row, table
from slurm_gpucost.documents.terminal import safe

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


def imported(result: Row) -> str:
    """What ``gpucost accounts import`` took in."""
    passed = [
        f"{result[key]} {why}"
        for key, why in (("not_active", "not active"), ("without_account", "without a Slurm account"))
        if result[key]
    ]
    out = [f"{result['file']}: accounts: {result['accounts']}, new facts: {len(result['changed'])}"]
    out += [f"  passed over: allocations, {', '.join(passed)}"] if passed else []
    out += [f"  {one['account']}: {one['field']} {one['value'] or 'is not said any more'}" for one in result["changed"]]
    return "".join(f"{safe(line)}\n" for line in out)
