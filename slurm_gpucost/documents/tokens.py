"""The tokens of users, a row each."""

from __future__ import annotations

from collections.abc import Iterable
from zoneinfo import ZoneInfo

from slurm_gpucost.documents.table import Column, Row, table
from slurm_gpucost.documents.times import with_offset


def page(rows: Iterable[Row], zone: ZoneInfo) -> str:
    """What ``gpucost token list`` shows."""
    columns = [
        Column("ID", lambda row: str(row["id"]), 12),
        Column("User", lambda row: str(row["user"])),
        Column("State", lambda row: str(row["state"])),
        Column("Issued", lambda row: with_offset(row["issued"], zone), 25),
        Column("Expires", lambda row: with_offset(row["expires"], zone), 25),
        Column("IssuedBy", lambda row: str(row["issued_by"])),
    ]
    return table(columns, rows)
