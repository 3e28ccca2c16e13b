"""The electricity of a pool's month: what was measured, imputed and assumed, against the bill where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from slurm_gpucost.costing.allotment import largest_remainder, round_half_up
from slurm_gpucost.costing.energy import GRAMS_PER_KG, EnergyLine, EnergySums, mean_pue
from slurm_gpucost.costing.exact import plain
from slurm_gpucost.costing.lines import ENERGY, HOST_ENERGY, IMPUTED_ENERGY
from slurm_gpucost.costing.meter import Meter, Part, reconcile
from slurm_gpucost.costing.periods import Period
from slurm_gpucost.domain.apportion import unobserved
from slurm_gpucost.domain.units import MJ_PER_KWH, decimal_text
from slurm_gpucost.services.drawn import Drawn, JobsEnergy, terms_of
from slurm_gpucost.services.places import of_devices
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.services.rates import heard, period_in
from slurm_gpucost.services.usage import Measured
from slurm_gpucost.settings import Pool, Settings

NIL = Fraction(0)
DECIMALS = 6
METER, TARIFF = "meter", "tariff"
PARTS = ("measured", "imputed", "hosts", "losses", "difference")
"""Together they are the bill."""


@dataclass
class OfSku:
    """The energy of a SKU's devices in a period."""

    measured: EnergySums
    """What the devices' counters said, whoever held them."""
    jobs: dict[str, list[Drawn]] = field(default_factory=lambda: {ENERGY: [], IMPUTED_ENERGY: [], HOST_ENERGY: []})
    """By kind: what is of jobs, billed or waived. What was measured of them is a part of ``measured``."""
    unobserved_mj: int = 0
    """What counters grew by while nobody looked: of jobs it is imputed, so it counts in no part."""

    def of_jobs(self, kind: str) -> Fraction:
        """In mJ, before PUE."""
        return sum((one.energy_mj for one in self.jobs[kind]), NIL)

    @property
    def energy_mj(self) -> Fraction:
        """All of it, before PUE."""
        return self.measured.energy_mj + self.of_jobs(IMPUTED_ENERGY) + self.of_jobs(HOST_ENERGY)


def drawn(settings: Settings, queries: Queries, pool: Pool, period: Period) -> dict[str, OfSku]:
    """By SKU. Devices are where they were at the end of the period."""
    during = terms_of(pool, period)
    found = {sku.name: OfSku(EnergySums(during)) for sku in pool.skus}
    devices = of_devices(settings, queries, period.end_ms - 1)

    def each(measured: Measured, start_ms: int, end_ms: int) -> None:
        for device, (of_pool, sku) in devices.items():
            if of_pool.name == pool.name and device in measured.instances:
                windows, of_sku = measured.windows.get(device, []), found[sku.name]
                of_sku.unobserved_mj += unobserved(windows, start_ms, end_ms).energy_mj
                for one in windows:
                    start, end = max(one.start_ms, start_ms), min(one.end_ms, end_ms)
                    if start < end and one.energy_mj:
                        part = Fraction(one.energy_mj * (end - start), one.end_ms - one.start_ms)
                        of_sku.measured.add(start, end, plain(part))

    parts = {(pool.name, period.start_ms): period}
    for one in JobsEnergy(settings, queries, parts, period.start_ms, each).found():
        found[one.owner.sku].jobs[one.kind].append(one)
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
    weights = {sku: one.energy_mj for sku, one in by_sku.items()}
    if not any(weights.values()):
        weights = {one.sku: one.nameplate_watts * one.counts.device_ms(*period) for one in pool.costs.devices}
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
    lines = {
        "measured": [line for one in by_sku for line in one.measured.lines()],
        "imputed": [line for one in by_sku for those in one.jobs[IMPUTED_ENERGY] for line in those.lines],
        "hosts": [line for one in by_sku for those in one.jobs[HOST_ENERGY] for line in those.lines],
    }
    every = [line for those in lines.values() for line in those]
    pue = mean_pue(every)
    if bill is None:
        parts = _by_tariff(lines)
    else:
        measured = sum((one.measured.energy_mj for one in by_sku), NIL)
        imputed, hosts = (sum((one.of_jobs(k) for one in by_sku), NIL) for k in (IMPUTED_ENERGY, HOST_ENERGY))
        made = reconcile(bill, measured, imputed, hosts, pue)
        parts = dict(
            zip(PARTS, (made.measured, made.imputed, made.overhead, made.losses, made.difference), strict=True)
        )
    kwh = sum((part.kwh for part in parts.values()), NIL)
    jobs = sum((one.of_jobs(ENERGY) for one in by_sku), NIL) / MJ_PER_KWH
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
        "kg_co2e": decimal_text(kwh * _grams(pool, period, every) / GRAMS_PER_KG, DECIMALS)
        if pool.energy.emission
        else None,
    }


def _grams(pool: Pool, period: Period, lines: list[EnergyLine]) -> Fraction:
    """CO2e of a kWh in the period: the mean of what was drawn; of the time where nothing was."""
    if kwh := sum((line.kwh for line in lines), NIL):
        return sum((line.grams for line in lines), NIL) / kwh
    during = terms_of(pool, period)
    time = sum(one.end_ms - one.start_ms for one in during)
    return sum((one.grams * (one.end_ms - one.start_ms) for one in during), NIL) / time if time else NIL


def _by_tariff(lines: Mapping[str, list[EnergyLine]]) -> dict[str, Part]:
    """Each part before PUE, and what PUE adds as losses."""
    found = {
        name: Part(sum((one.kwh / one.pue for one in those), NIL), sum((one.amount / one.pue for one in those), NIL))
        for name, those in lines.items()
    }
    every = [one for those in lines.values() for one in those]
    kwh = sum((one.kwh * (1 - 1 / one.pue) for one in every), NIL)
    amount = sum((one.amount * (1 - 1 / one.pue) for one in every), NIL)
    return {**found, "losses": Part(kwh, amount)}


def _told(parts: Mapping[str, Part]) -> dict[str, dict[str, str]]:
    """Rounded so that they add up as they stand."""
    texts: list[list[str]] = []
    for at in (0, 1):
        exact: list[tuple[Any, Fraction]] = [(name, part[at] * 10**DECIMALS) for name, part in parts.items()]
        total = round_half_up(sum((value for _, value in exact), NIL))
        texts.append([decimal_text(Fraction(one, 10**DECIMALS), DECIMALS) for one in largest_remainder(exact, total)])
    return {name: {"kwh": kwh, "amount": money} for name, kwh, money in zip(parts, *texts, strict=True)}
