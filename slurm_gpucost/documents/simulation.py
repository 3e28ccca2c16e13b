"""A simulation for eyes: prices now and then, and a chart of the price over how much is used."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from slurm_gpucost.documents.table import Column, Row, table
from slurm_gpucost.documents.terminal import safe

BAR = 48


def page(rows: Sequence[Row]) -> str:
    """What ``gpucost rates simulate`` prints."""
    cloud = next((row["cloud_price"] for row in rows if row["cloud_price"]), None)
    out = [table(_columns(cloud is not None), rows).rstrip("\n")]
    for row in rows:
        if row["by_utilization"]:
            out += ["", *_chart(row)]
    return "\n".join(out) + "\n"


def _columns(cloud: bool) -> list[Column]:
    columns = [
        Column("Pool", lambda row: row["pool"]),
        Column("SKU", lambda row: row["sku"]),
        Column("Now", lambda row: row["unit_price"] or "-", 12, number=True),
        Column("Then", lambda row: row["then"] or "-", 12, number=True),
        Column(
            "Change",
            lambda row: "-" if row["change_percent"] is None else f"{row['change_percent']} %",
            10,
            number=True,
        ),
        Column("Currency", lambda row: row["currency"]),
    ]
    if cloud:
        columns.append(Column("BreakEven", _break_even, 10, number=True))
    return columns


def _break_even(row: Row) -> str:
    if row["break_even_percent"] is None:
        return "-"
    return "never" if Decimal(row["break_even_percent"]) > 100 else f"{row['break_even_percent']} %"


def _chart(row: Row) -> list[str]:
    """Bars as long as the price; | where the cloud's price is."""
    prices = [Decimal(one["unit_price"]) for one in row["by_utilization"]]
    cloud = Decimal(row["cloud_price"]) if row["cloud_price"] else None
    longest = max(*prices, cloud or Decimal(0)) or Decimal(1)
    out = [f"{safe(row['sku'])} in pool {safe(row['pool'])}: {row['currency']} per GPU-hour by utilization"]
    mark = None if cloud is None else min(BAR - 1, int(cloud / longest * BAR))
    for one, price in zip(row["by_utilization"], prices, strict=True):
        bar = list(("#" * int(price / longest * BAR)).ljust(BAR))
        if mark is not None:
            bar[mark] = "|"
        out.append(f"{one['utilization_percent']:>7} % {one['unit_price']:>12}  {''.join(bar).rstrip()}")
    if cloud is not None:
        out.append(f"{'':9} {row['cloud_price']:>12}  {' ' * (mark or 0)}| the cloud's price")
    return out
