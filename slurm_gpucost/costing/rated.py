"""What the energy of a pool's devices is and costs at rated power. Pure, exact."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import NamedTuple

from slurm_gpucost.costing.periods import midnight
from slurm_gpucost.costing.pools import PoolCosts
from slurm_gpucost.costing.spans import add_months
from slurm_gpucost.costing.terms import Pue, terms
from slurm_gpucost.domain.units import HOUR_MS, OPEN_END_MS


def energy_cost(costs: PoolCosts, sku: str, start_ms: int, end_ms: int) -> Fraction:
    """What the energy of [start, end) ms UTC costs, at rated power, each moment at its price. Additive."""
    one, paid = costs.of(sku), Fraction(0)
    for low, high, count in one.counts.spans(start_ms, end_ms, costs.zone):
        during = terms(costs.tariff, pues(costs), costs.zone, low, high)
        paid += count * sum((part.price * part.pue * (part.end_ms - part.start_ms) for part in during), Fraction(0))
    return one.nameplate_watts * paid / (1000 * HOUR_MS)


class Means(NamedTuple):
    """Over the twelve months from a month on, at the same power in each moment."""

    pue: Fraction
    price: Fraction
    """Of a kWh at the site's meter: a moment weighs by its PUE."""


def means(costs: PoolCosts, first_day: date) -> Means:
    """Of the twelve months from the first day's month on."""
    start = first_day.replace(day=1)
    low, high = midnight(start, costs.zone), midnight(add_months(start, 12), costs.zone)
    during = terms(costs.tariff, pues(costs), costs.zone, low, high)
    drawn = sum((one.pue * (one.end_ms - one.start_ms) for one in during), Fraction(0))
    paid = sum((one.price * one.pue * (one.end_ms - one.start_ms) for one in during), Fraction(0))
    return Means(drawn / (high - low), paid / drawn)


def pues(costs: PoolCosts) -> list[Pue]:
    """The PUE at each moment, each from a local midnight of the pool's zone on."""
    later = (Pue(midnight(day, costs.zone), pue) for day, pue in costs.later_pue)
    return [Pue(-OPEN_END_MS, costs.pue), *later]


def machines_kwh(costs: PoolCosts, sku: str, hours: Fraction | int) -> Fraction:
    """At rated power, before the site's overhead; of the first count, so ask of ``costs.on`` a day."""
    one = costs.of(sku)
    return one.count * one.nameplate_watts * hours / 1000
