"""An audit for eyes: each pool's balance, how well uses are attributed, and every difference."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from slurm_gpucost.documents.terminal import safe
from slurm_gpucost.domain.units import decimal_text

_TERMS = (
    ("cost", "what the pool's devices cost in the period"),
    ("attributed", "= held or blocked by jobs, or kept by reservations, billed or not"),
    ("idle", "+ held by nobody, and idle"),
    ("unavailable", "+ out of use: down, drained, maintenance, powered down"),
    ("orphan", "+ held by nobody, and working all the same"),
    ("unattributed", "+ held by jobs that the accounting does not know"),
    ("charged", "on invoices, without surcharges and tax"),
    ("recovery_difference", "= attributed + price x billed - cost x held"),
    ("rounding", "+ amounts less price x billed"),
)


def page(answer: Mapping[str, Any]) -> str:
    """What ``gpucost audit --json`` prints, as text."""
    out: list[str] = []
    for pool in answer["pools"]:
        out += [
            f"Pool {safe(pool['pool'])}, {pool['period_start']} to {pool['period_end']}, in {answer['currency']}",
            "",
        ]
        widest = max(len(f"{Decimal(pool[name]):,}") for name, _ in _TERMS)
        cost = Decimal(pool["cost"])
        for name, meaning in _TERMS:
            if name == "charged":
                out.append("")
            amount = Decimal(pool[name])
            share = f"{decimal_text(100 * Fraction(amount) / Fraction(cost), 2):>6} %" if cost else ""
            out.append(f"  {name.replace('_', ' '):20} {amount:>{widest},} {share:>9}  {meaning}")
        if pool["idle_kind"] == "derived":
            out += ["", "  Idle is derived from the config's number of devices where the inventory is not known."]
        out.append("")
    accuracy = answer["accuracy"]
    if accuracy["difference_percent"] is not None:
        out.append(
            f"Chargeback accuracy: {accuracy['difference_percent']} % between what the scheduler allocated "
            f"({accuracy['allocated_gpu_seconds']} GPU-seconds) and what is attributed (target: below 5 %)"
        )
    for pool in answer["pools"]:
        if pool["orphan_percent"] is not None:
            out.append(
                f"Orphan use in pool {safe(pool['pool'])}: {pool['orphan_percent']} % of its time (target: below 2 %)"
            )
    if answer["log"]:
        out.append(f"Log of changes: {answer['log']}")
    if answer["differences"]:
        out += ["", f"{len(answer['differences'])} differences:"]
        for one in answer["differences"]:
            where = f"pool {one['pool']}: " if one["pool"] else ""
            out.append(f"  {one['what']}: {safe(where + one['detail'])}")
    else:
        out.append("Everything adds up.")
    return "\n".join(out) + "\n"
