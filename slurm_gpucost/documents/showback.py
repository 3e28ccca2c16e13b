"""What a month really cost, for eyes: each SKU's cost, and who held how much of it."""

from __future__ import annotations

from collections.abc import Iterable

from slurm_gpucost.documents.table import Column, Row, table
from slurm_gpucost.documents.terminal import safe

_HOLDERS = [
    Column("Cluster", lambda row: str(row["cluster"]), 9),
    Column("Account", lambda row: str(row["account"]), 15),
    Column("User", lambda row: str(row["user"]) or "(account)", 9),
    Column("GPU-hours", lambda row: str(row["gpu_hours"]), 14, number=True),
    Column("Cost", lambda row: str(row["cost"]), 14, number=True),
]


def page(rows: Iterable[Row]) -> str:
    """What ``gpucost showback --json`` prints, as text."""
    return "\n".join(_sku(row) for row in rows)


def _sku(row: Row) -> str:
    currency, unit = row["currency"], row["cost_per_gpu_hour"]
    told = "nobody held any" if unit is None else f"{unit} {currency} a GPU-hour"
    head = [
        f"SHOWBACK for information, no invoice: pool {safe(row['pool'])}, SKU {safe(row['sku'])}",
        f"{row['period_start']} to {row['period_end']} (end exclusive)",
        f"Cost {row['cost']} {currency}; held {row['gpu_hours']} GPU-hours; {told}",
        f"Carried by the institution: {row['idle_cost']} {currency}",
    ]
    return "\n".join(head) + "\n\n" + (table(_HOLDERS, row["holders"]) if row["holders"] else "")
