"""What a month that is over really cost each account, by who held the GPUs: for information, beside the invoices."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import Any

from slurm_gpucost.costing.allotment import largest_remainder, round_half_up
from slurm_gpucost.costing.free import Line as Use
from slurm_gpucost.costing.invoices import money
from slurm_gpucost.costing.owned import open_ms, spread
from slurm_gpucost.costing.periods import Period
from slurm_gpucost.costing.shares import owned_ms
from slurm_gpucost.costing.showback import Shown, shown
from slurm_gpucost.domain.errors import UsageError
from slurm_gpucost.domain.units import HOUR_MS, decimal_text
from slurm_gpucost.services import bill, meter
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.services.rates import heard_ms, period_costs, period_in
from slurm_gpucost.services.utilization import of_skus
from slurm_gpucost.settings import Pool, Settings
from slurm_gpucost.settings.currencies import minor_unit

Holder = tuple[str, str, str]
"""Cluster, account, user."""


def showback(settings: Settings, queries: Queries, month: str, now_ms: int) -> list[dict[str, Any]]:
    """By pool and SKU: ``cost``, ``gpu_hours`` held, ``cost_per_gpu_hour`` (None: nobody held any), ``idle_cost`` that
    the institution carries, and ``holders``, whose costs add up with it to the cost. Waived time counts as held. Where
    owners carry idle cost theirs is a holder without user.

    Raises UsageError for a month that the accounting was not asked about to its end.
    """
    held: defaultdict[str, defaultdict[Holder, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    for charge in bill.charges(settings, queries, bill.priced_parts(settings, queries, month), month):
        held[charge.key.sku][charge.cluster, charge.account, charge.key.user] += charge.held
    found: list[dict[str, Any]] = []
    for pool in settings.pools:
        period = period_in(month, pool.timezone)
        if heard_ms(queries, now_ms) < period.end_ms:
            raise UsageError(
                f"--month {month}: the accounting was not asked about all of it yet; showback is for months past"
            )
        did = of_skus(settings, queries, *period[:2])
        energy = meter.energy_costs(settings, queries, pool, month, period)
        for sku, cost in period_costs(pool, period, energy).items():
            unused, open_to_all = _unused(settings, pool, sku, period, held[sku])
            made = shown(cost, did[sku]["reported"], held[sku], pool.idle_cost, unused, open_to_all)
            found.append(_row(settings, pool, sku, period, made, held[sku]))
    return found


def _unused(
    settings: Settings, pool: Pool, sku: str, period: Period, held: dict[Holder, Fraction]
) -> tuple[dict[Holder, Fraction], Fraction]:
    """What each owner left unused of his share, and all hours that were open to others; of no user, as on invoices."""
    owned = {share: owned_ms(share, period) for share in pool.costs.shares if share.sku == sku}
    uses = (Use((who[:2], who[2]), who[2], sku, time, Fraction(1)) for who, time in held.items())
    hours = spread(uses, owned) if owned else []
    unused: defaultdict[Holder, Fraction] = defaultdict(Fraction)
    for one in hours:
        unused[settings.cluster, one.share.account, ""] += one.unused
    existed = Fraction(pool.costs.of(sku).counts.device_ms(*period))
    return unused, open_ms(existed, hours)


def _row(
    settings: Settings, pool: Pool, sku: str, period: Period, made: Shown, held: dict[Holder, Fraction]
) -> dict[str, Any]:
    digits = minor_unit(settings.currency)
    exact: list[tuple[Any, Fraction]] = [
        (holder, amount * 10**digits) for holder, amount in sorted(made.amounts.items())
    ]
    total = round_half_up(made.cost * 10**digits)
    kept = ("",), made.kept * 10**digits
    amounts = largest_remainder([*exact, kept], total)
    return {
        "pool": pool.name,
        "sku": sku,
        "period_start": period.start_iso,
        "period_end": period.end_iso,
        "currency": settings.currency,
        "cost": money(total, digits),
        "gpu_hours": decimal_text(sum(held.values(), Fraction(0)) / HOUR_MS, 6),
        "cost_per_gpu_hour": None if made.unit is None else decimal_text(made.unit * HOUR_MS, 6),
        "idle_carried_by": pool.idle_cost,
        "idle_cost": money(amounts[-1], digits),
        "holders": [
            {
                "cluster": holder[0], "account": holder[1], "user": holder[2],
                "gpu_hours": decimal_text(held.get(holder, Fraction(0)) / HOUR_MS, 6), "cost": money(cents, digits),
            }
            for (holder, _), cents in zip(exact, amounts[:-1], strict=True)
        ],
    }  # fmt: skip
