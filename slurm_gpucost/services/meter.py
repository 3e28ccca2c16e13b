"""The electricity of a pool's month: what was measured, imputed and assumed, against the bill where there is one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from slurm_gpucost.costing.allotment import largest_remainder, round_half_up
from slurm_gpucost.costing.energy import GRAMS_PER_KG, EnergyLine, EnergyWindow, energy_lines, mean_pue
from slurm_gpucost.costing.lines import ENERGY, HOST_ENERGY, IMPUTED_ENERGY
from slurm_gpucost.costing.meter import Meter, Part, reconcile
from slurm_gpucost.costing.periods import Period
from slurm_gpucost.costing.pools import pues
from slurm_gpucost.costing.terms import terms
from slurm_gpucost.domain.apportion import unobserved
from slurm_gpucost.domain.units import MJ_PER_KWH, decimal_text
from slurm_gpucost.services import energy
from slurm_gpucost.services.places import of_devices
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.services.rates import heard, period_in
from slurm_gpucost.services.usage import load
from slurm_gpucost.settings import Pool, Settings

NIL = Fraction(0)
DECIMALS = 6
METER, TARIFF = "meter", "tariff"
PARTS = ("measured", "imputed", "hosts", "losses", "difference")
"""Together they are the bill."""


Sums = defaultdict[tuple[int, int], Fraction]
"""(start, end) -> mJ. Most windows are whole clock hours, so those of all devices add up to a few."""


def _sums() -> Sums:
    return defaultdict(Fraction)


@dataclass
class Drawn:
    """The energy of a SKU's devices before PUE."""

    measured: Sums = field(default_factory=_sums)
    """What the devices' counters said, whoever held them."""
    of_jobs: Sums = field(default_factory=_sums)
    """The part of it that is of jobs, billed or waived."""
    imputed: Sums = field(default_factory=_sums)
    hosts: Sums = field(default_factory=_sums)
    unobserved_mj: int = 0
    """What counters grew by while nobody looked: of jobs it is imputed, so it counts in no part."""


def drawn(settings: Settings, queries: Queries, pool: Pool, period: Period) -> dict[str, Drawn]:
    """By SKU. One pass over the windows of the period."""
    found = {sku.name: Drawn() for sku in pool.skus}
    measured = load(queries, period.start_ms, period.end_ms, None)
    for device, (of_pool, sku) in of_devices(settings, queries, period.end_ms - 1).items():
        if of_pool.name == pool.name and device in measured.instances:
            windows, of_sku = measured.windows.get(device, []), found[sku.name]
            of_sku.unobserved_mj += unobserved(windows, period.start_ms, period.end_ms).energy_mj
            for one in windows:
                start, end = max(one.start_ms, period.start_ms), min(one.end_ms, period.end_ms)
                if start < end and one.energy_mj:
                    part = Fraction(one.energy_mj * (end - start), one.end_ms - one.start_ms)
                    of_sku.measured[start, end] += part
    for name, kind, those in energy.of_jobs(settings, queries, pool, period, measured):
        kinds = {ENERGY: found[name].of_jobs, IMPUTED_ENERGY: found[name].imputed, HOST_ENERGY: found[name].hosts}
        for energy_window in those:
            kinds[kind][energy_window.start_ms, energy_window.end_ms] += energy_window.energy_mj
    return found


def meter_of(pool: Pool, month: str) -> Meter | None:
    """The bill of a month, if the config has it."""
    return next((one for one in pool.meters if one.month == month), None)


def energy_costs(
    settings: Settings, queries: Queries, pool: Pool, month: str, period: Period
) -> dict[str, Fraction] | None:
    """The bill's amount, split over the SKUs by what they drew, measured or not; by rated power if that is nothing.

    None where there is no bill, or the period is not the whole month: then nobody knows better than rated power.
    """
    bill = meter_of(pool, month)
    if bill is None or period[:2] != period_in(month, pool.timezone)[:2]:
        return None
    by_sku = drawn(settings, queries, pool, period)
    weights = {sku: _sum(one.measured) + _sum(one.imputed) + _sum(one.hosts) for sku, one in by_sku.items()}
    if not any(weights.values()):
        weights = {one.sku: one.count * one.nameplate_watts for one in pool.costs.devices}
    whole = sum(weights.values(), NIL)
    return {
        sku: bill.amount * weight / whole if whole else bill.amount / len(weights) for sku, weight in weights.items()
    }


def electricity(settings: Settings, queries: Queries, month: str, now_ms: int) -> list[dict[str, Any]]:
    """By pool: the parts of its energy in kWh and money, which add up to the bill, and what that emitted.

    With a bill (``basis`` meter) amounts are kWh x the bill's mean price, and the difference is what nobody explains.
    Without one (``tariff``) they are at the tariff's prices, and there is no bill and no difference. A month that the
    accounting was not asked about to its end is not ``complete``: it ends there, and is held against no bill.
    """
    return [_of_pool(settings, queries, pool, month, now_ms) for pool in settings.pools]


def _of_pool(settings: Settings, queries: Queries, pool: Pool, month: str, now_ms: int) -> dict[str, Any]:
    whole = period_in(month, pool.timezone)
    period = heard(queries, whole, now_ms)
    by_sku = drawn(settings, queries, pool, period).values() if period.start_ms < period.end_ms else ()
    bill = meter_of(pool, month) if period == whole else None
    during = terms(pool.costs.tariff, pues(pool.costs), pool.timezone, period.start_ms, period.end_ms)
    windows = {
        "measured": [one.measured for one in by_sku],
        "imputed": [one.imputed for one in by_sku],
        "hosts": [one.hosts for one in by_sku],
    }
    lines = {
        name: energy_lines((EnergyWindow(*at, drawn_mj) for one in those for at, drawn_mj in one.items()), during)
        for name, those in windows.items()
    }
    pue = mean_pue([line for those in lines.values() for line in those])
    if bill is None:
        parts = _by_tariff(lines)
    else:
        measured, imputed, hosts = (sum(map(_sum, those), NIL) for those in windows.values())
        made = reconcile(bill, measured, imputed, hosts, pue)
        parts = dict(
            zip(PARTS, (made.measured, made.imputed, made.overhead, made.losses, made.difference), strict=True)
        )
    kwh = sum((part.kwh for part in parts.values()), NIL)
    grams = pool.energy.grams_per_kwh
    jobs = sum((_sum(one.of_jobs) for one in by_sku), NIL) / MJ_PER_KWH
    return {
        "pool": pool.name,
        "period_start": period.start_iso,
        "period_end": period.end_iso,
        "complete": period == whole,
        "currency": settings.currency,
        "basis": TARIFF if bill is None else METER,
        "parts": _told(parts),
        "total": _told({"": Part(kwh, sum((part.amount for part in parts.values()), NIL))})[""],
        "pue": decimal_text(pue, DECIMALS),
        "measured_of_jobs_kwh": decimal_text(jobs, DECIMALS),
        "unobserved_kwh": decimal_text(Fraction(sum(one.unobserved_mj for one in by_sku)) / MJ_PER_KWH, DECIMALS),
        "kg_co2e": None if grams is None else decimal_text(kwh * grams / GRAMS_PER_KG, DECIMALS),
    }


def _by_tariff(lines: Mapping[str, list[EnergyLine]]) -> dict[str, Part]:
    """Each part before PUE, and what PUE adds as losses."""
    found = {
        name: Part(sum((one.kwh / one.pue for one in those), NIL), sum((one.amount / one.pue for one in those), NIL))
        for name, those in lines.items()
    }
    every = [one for those in lines.values() for one in those]
    kwh, amount = (sum((one[at] * (1 - 1 / one.pue) for one in every), NIL) for at in (2, 3))
    return {**found, "losses": Part(kwh, amount)}


def _sum(sums: Sums) -> Fraction:
    return sum(sums.values(), NIL)


def _told(parts: Mapping[str, Part]) -> dict[str, dict[str, str]]:
    """Rounded so that they add up as they stand."""
    texts: list[list[str]] = []
    for at in (0, 1):
        exact: list[tuple[Any, Fraction]] = [(name, part[at] * 10**DECIMALS) for name, part in parts.items()]
        total = round_half_up(sum((value for _, value in exact), NIL))
        texts.append([decimal_text(Fraction(one, 10**DECIMALS), DECIMALS) for one in largest_remainder(exact, total)])
    return {name: {"kwh": kwh, "amount": money} for name, kwh, money in zip(parts, *texts, strict=True)}
