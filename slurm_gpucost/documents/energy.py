"""The electricity of a month, for eyes: its parts, in kWh and money, and what they add up to."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from slurm_gpucost.documents.table import Row
from slurm_gpucost.documents.terminal import safe

_MEANING = {
    "measured": "by the GPUs' own counters",
    "imputed": "held by jobs and not measured, by rule",
    "hosts": "of hosts beside the GPUs held, as the config states",
    "losses": "what PUE adds: cooling, conversion",
    "difference": "on the bill beyond all that; below 0: less",
}


def page(rows: Iterable[Row]) -> str:
    """What ``gpucost energy --json`` prints, as text."""
    return "\n".join(_pool(row) for row in rows)


def _pool(row: Row) -> str:
    metered, currency = row["basis"] == "meter", row["currency"]
    parts = [(name, row["parts"][name], meaning) for name, meaning in _MEANING.items() if name in row["parts"]]
    parts.append(("bill", row["total"], "the authority") if metered else ("total", row["total"], "no bill is known"))
    wide, dear = (max(len(f"{Decimal(part[key]):,}") for _, part, _ in parts) for key in ("kwh", "amount"))
    price = "kWh x the bill's mean price" if metered else "kWh x the tariff's price at each moment"
    out = [
        f"Electricity of pool {safe(row['pool'])}, {row['period_start']} to {row['period_end']} (end exclusive)",
        f"Amounts: {price}",
    ]
    if not row["complete"]:
        out.append("The month is not over, or the accounting was not asked about its end: no bill is looked at.")
    out.append("")
    for name, part, meaning in parts:
        kwh, amount = Decimal(part["kwh"]), Decimal(part["amount"])
        out.append(f"  {name:10} {kwh:>{wide},} kWh {amount:>{dear},} {currency}  {meaning}")
    out += ["", f"Of what was measured, {Decimal(row['measured_of_jobs_kwh']):,} kWh are of jobs; PUE {row['pue']}."]
    if Decimal(row["unobserved_kwh"]):
        out.append(
            f"While nobody looked, counters grew by {Decimal(row['unobserved_kwh']):,} kWh more: in no part above."
        )
    if row["kg_co2e"] is not None:
        out.append(f"Emitted: {Decimal(row['kg_co2e']):,} kg CO2e.")
    return "\n".join(out) + "\n"
