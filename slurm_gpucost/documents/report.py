"""The reports of GPU time by account and user, and of whole clusters, as sreport lays them out."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from zoneinfo import ZoneInfo

from slurm_gpucost.documents.table import Column, Row
from slurm_gpucost.documents.times import local
from slurm_gpucost.domain.units import decimal_text

DEFAULT = "Cluster,Account,Login,Proper,SKU,Used,Cost"
ENERGY = "kWh,Measured,KgCO2e"
"""What ``-T energy`` adds; each is a column of its own for ``format=``."""
UTILIZATION_DEFAULT = "Cluster,SKU,Allocated,Down,PlannedDown,Idle,Other,Reported,Percent"
_OTHER = ("suspended", "held", "completing", "unobserved")
"""Together, less oversubscribed, the column Other, so that the usual columns add up."""
UNITS = {"Seconds": 1, "Minutes": 60, "Hours": 3600}
"""sreport's time formats that a length alone can answer."""
_RULE = "-" * 80
_DECIMALS = {"Seconds": 0, "Minutes": 2, "Hours": 4}


def columns(unit: str, proper_name: Callable[[str], str]) -> list[Column]:
    """All columns, for rows as the report's ``--json`` has them; ``unit`` is a key of :data:`UNITS`."""

    def used(row: Row) -> str:
        return decimal_text(Fraction(row["gpu_seconds"]) / UNITS[unit], _DECIMALS[unit])

    return [
        Column("Cluster", lambda row: str(row["cluster"]), 9),
        Column("Account", lambda row: str(row["account"]), 15),
        Column("Login", lambda row: str(row["user"]), 9),
        Column("Proper", lambda row: proper_name(row["user"]) if row["user"] else "", 15),
        Column("TresName", lambda row: "gres/gpu", 8),
        Column("SKU", lambda row: row["sku"] or "unpriced", 8),
        Column("Used", used, 12, number=True),
        Column("Cost", lambda row: "" if row["cost"] is None else str(row["cost"]), 12, number=True),
        Column("Currency", lambda row: str(row["currency"]), 8),
        Column("kWh", lambda row: row["energy_kwh"] or "", 14, number=True),
        Column("Measured", lambda row: row["measured_kwh"] or "", 14, number=True),
        Column("KgCO2e", lambda row: row["kg_co2e"] or "", 14, number=True),
    ]


def utilization_columns(unit: str) -> list[Column]:
    """All columns of the cluster's report."""

    def of(key: str) -> Callable[[Row], str]:
        return lambda row: "" if row[key] is None else decimal_text(Fraction(row[key]) / UNITS[unit], _DECIMALS[unit])

    def other(row: Row) -> str:
        if row["reported_gpu_seconds"] is None:
            return ""
        total = sum((Fraction(row[f"{name}_gpu_seconds"]) for name in _OTHER), Fraction(0))
        return decimal_text((total - Fraction(row["oversubscribed_gpu_seconds"])) / UNITS[unit], _DECIMALS[unit])

    return [
        Column("Cluster", lambda row: str(row["cluster"]), 9),
        Column("TresName", lambda row: "gres/gpu", 8),
        Column("SKU", lambda row: row["sku"] or "unpriced", 8),
        Column("Devices", lambda row: "" if row["devices"] is None else str(row["devices"]), 7, number=True),
        Column("Allocated", of("allocated_gpu_seconds"), 14, number=True),
        Column("Suspended", of("suspended_gpu_seconds"), 12, number=True),
        Column("Held", of("held_gpu_seconds"), 12, number=True),
        Column("Down", of("down_gpu_seconds"), 12, number=True),
        Column("PlannedDown", of("planned_down_gpu_seconds"), 12, number=True),
        Column("Completing", of("completing_gpu_seconds"), 12, number=True),
        Column("Idle", of("idle_gpu_seconds"), 14, number=True),
        Column("Unobserved", of("unobserved_gpu_seconds"), 12, number=True),
        Column("Oversubscribed", of("oversubscribed_gpu_seconds"), 14, number=True),
        Column("Other", other, 12, number=True),
        Column("Reported", of("reported_gpu_seconds"), 14, number=True),
        Column("Percent", lambda row: str(row["allocated_percent"] or ""), 8, number=True),
    ]


def utilization_heading(start_s: int, end_s: int, unit: str, currency: str, zone: ZoneInfo) -> str:
    """The lines above the cluster's report; it has no money in it."""
    del currency
    return (
        f"{_RULE}\n"
        f"Cluster Utilization {local(start_s, zone)} - {local(end_s - 1, zone)} ({end_s - start_s} secs)\n"
        f"Usage reported in GPU {unit}\n"
        "Where no inventory is known Idle is derived: the config's devices x time, less Allocated\n"
        f"{_RULE}\n"
    )


def heading(start_s: int, end_s: int, unit: str, currency: str, zone: ZoneInfo) -> str:
    """The lines above the table; the last second is inside, as sreport writes it."""
    return (
        f"{_RULE}\n"
        f"Cluster/Account/User Utilization {local(start_s, zone)} - {local(end_s - 1, zone)} ({end_s - start_s} secs)\n"
        f"Usage reported in GPU {unit}; Cost in {currency}: list price x usage, an estimate and no invoice\n"
        f"{_RULE}\n"
    )
