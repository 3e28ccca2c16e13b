"""Nodes that write to the ledger, a row for each journal, and their tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

from slurm_gpucost.documents.table import Column, Row, table
from slurm_gpucost.documents.terminal import safe
from slurm_gpucost.documents.times import with_offset


def page(rows: Sequence[Row], zone: ZoneInfo) -> str:
    """What ``gpucost node list`` shows."""
    columns = [
        Column("Cluster", lambda row: str(row["cluster"])),
        Column("Node", lambda row: str(row["node"])),
        Column("State", lambda row: str(row["state"]) if row["enrolled"] else f"{row['state']}, no token"),
        Column("LastHeard", lambda row: with_offset(row["last_heard"], zone, "never"), 25),
        Column("Held", lambda row: _number(row["held"]), number=True),
        Column("Unsent", lambda row: _number(row["unsent"]), number=True),
        Column("Spool", lambda row: _number(row["spool"]), number=True),
        Column("Missing", lambda row: _number(row["missing"]), number=True),
        Column("ClockMs", lambda row: _number(row["clock_ahead_ms"]), number=True),
        Column("Version", lambda row: str(row["version"] or "")),
        Column("Driver", lambda row: "paused" if row["paused"] else str(row["driver"] or "")),
        Column("Journal", lambda row: str(row["journal"] or ""), 32),
    ]
    return table(columns, rows)


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def summary(rows: Iterable[Row]) -> list[str]:
    """Lines for ``gpucost status``: how many journals are in which state; none where no node is known."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["state"]] = counts.get(row["state"], 0) + 1
    return [f"  {state}: {count}" for state, count in sorted(counts.items())]


def enrolled(rows: Iterable[Row]) -> str:
    """Each node with its token, or with the file that it was written to."""
    return "".join(f"{safe(row['node'])} {safe(str(row.get('file') or row['token']))}\n" for row in rows)


def revoked(rows: Iterable[Row]) -> str:
    """Each node and how many tokens it had."""
    return "".join(f"{safe(row['node'])}: {row['tokens']} revoked\n" for row in rows)
