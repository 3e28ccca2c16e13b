"""What is written down of looks at cost items and of rights, a row an act."""

from __future__ import annotations

from collections.abc import Iterable
from zoneinfo import ZoneInfo

from slurm_gpucost.documents.table import Column, Row, table
from slurm_gpucost.documents.times import with_offset


def page(rows: Iterable[Row], zone: ZoneInfo) -> str:
    """What ``gpucost access log`` shows."""
    columns = [
        Column("When", lambda row: with_offset(row["at"], zone), 25),
        Column("Who", lambda row: str(row["login"])),
        Column("Host", lambda row: str(row["host"])),
        Column("Did", _did, 14),
        Column("Concerns", lambda row: ",".join(row["users"])),
        Column("Why", lambda row: str(row["why"])),
    ]
    return table(columns, rows)


def _did(row: Row) -> str:
    return f"{row['did']}: {row['query']}" if "query" in row else str(row["did"])
