"""What energy costs, and what it emits: windows of energy x PUE x tariff. Pure, exact.

    kWh = mJ / 3.6e9 x PUE        amount = kWh x price at that moment

PUE (power usage effectiveness: the site's energy by that of the machines, ISO/IEC 30134-2) and prices change in time;
within a window energy is spread evenly. So a window may be cut anywhere: the parts cost together what it costs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple
from zoneinfo import ZoneInfo

from slurm_gpucost.costing.exact import exact, time_span
from slurm_gpucost.costing.tariff import Tariff
from slurm_gpucost.costing.terms import Pue, Terms, terms
from slurm_gpucost.domain.units import MJ_PER_KWH

GRAMS_PER_KG = 1000


class EnergyWindow(NamedTuple):
    """Energy drawn in [start, end) ms UTC, evenly. A Fraction of a mJ where a window was cut or shared."""

    start_ms: int
    end_ms: int
    energy_mj: int | Fraction


class EnergyLine(NamedTuple):
    """All energy that had the same price and PUE."""

    price: Fraction
    pue: Fraction
    kwh: Fraction
    """At the site's meter: PUE is in it."""
    amount: Fraction


class EnergyCost(NamedTuple):
    """What energy cost, and how much that was."""

    kwh: Fraction
    """At the site's meter: PUE is in it."""
    amount: Fraction


class Emissions(NamedTuple):
    """What energy emitted, and how much that was."""

    kwh: Fraction
    """At the site's meter: PUE is in it."""
    kg_co2e: Fraction


def energy_lines(windows: Iterable[EnergyWindow], during: Sequence[Terms]) -> list[EnergyLine]:
    """The energy by price and PUE, in order of these. ``during`` must cover the windows, else ValueError."""
    starts = [one.start_ms for one in during]
    drawn: list[int | Fraction] = [0] * len(during)
    for window in windows:
        start, end = time_span(window.start_ms, window.end_ms)
        energy = window.energy_mj if type(window.energy_mj) is int else exact(window.energy_mj, "energy_mj")
        if start == end or energy < 0:
            raise ValueError(f"{energy} mJ in {end - start} ms: a window has some length and no negative energy")
        at = bisect_right(starts, start) - 1
        if at >= 0 and end <= during[at].end_ms:
            drawn[at] += energy
            continue
        left = end - start
        while 0 <= at < len(during) and starts[at] < end:
            here = max(0, min(end, during[at].end_ms) - max(start, starts[at]))
            drawn[at] += Fraction(energy * here, end - start)
            left -= here
            at += 1
        if left:
            raise ValueError(f"the terms do not cover the window from {start} to {end} ms")
    sums: dict[tuple[Fraction, Fraction], int | Fraction] = {}
    for one, energy in zip(during, drawn, strict=True):
        if energy:
            sums[one.price, one.pue] = sums.get((one.price, one.pue), 0) + energy
    return [
        EnergyLine(price, pue, kwh, kwh * price)
        for (price, pue), energy in sorted(sums.items())
        for kwh in [energy * pue / MJ_PER_KWH]
    ]


def energy_cost(windows: Iterable[EnergyWindow], tariff: Tariff, pue: Sequence[Pue], zone: ZoneInfo) -> EnergyCost:
    """What the windows cost in all. For many leases make ``terms`` once and sum up ``energy_lines``.

    Raises ValueError and TypeError as those do.
    """
    windows = list(windows)
    if not windows:
        return EnergyCost(Fraction(0), Fraction(0))
    start, end = min(one.start_ms for one in windows), max(one.end_ms for one in windows)
    lines = energy_lines(windows, terms(tariff, pue, zone, start, end))
    kwh = sum((line.kwh for line in lines), Fraction(0))
    return EnergyCost(kwh, sum((line.amount for line in lines), Fraction(0)))


def emissions(windows: Iterable[EnergyWindow], factors: Tariff, pue: Sequence[Pue], zone: ZoneInfo) -> Emissions:
    """What the windows emit. ``factors`` is a tariff whose prices are g CO2e per kWh at the site's meter.

    Raises ValueError and TypeError as ``energy_cost``.
    """
    kwh, grams = energy_cost(windows, factors, pue, zone)
    return Emissions(kwh, grams / GRAMS_PER_KG)


def mean_pue(lines: Iterable[EnergyLine]) -> Fraction:
    """The PUE by which all the energy of ``lines`` together was multiplied; 1 where there is none."""
    lines = list(lines)
    machines = sum((line.kwh / line.pue for line in lines), Fraction(0))
    return sum((line.kwh for line in lines), Fraction(0)) / machines if machines else Fraction(1)
