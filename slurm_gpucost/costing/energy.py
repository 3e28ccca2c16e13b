"""What energy costs, and what it emits: windows of energy x PUE x tariff. Pure, exact.

    kWh = mJ / 3.6e9 x PUE        amount = kWh x price at that moment

PUE (power usage effectiveness: the site's energy by that of the machines, ISO/IEC 30134-2) and prices change in time;
within a window energy is spread evenly. So a window may be cut anywhere: the parts cost together what it costs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from slurm_gpucost.costing.exact import exact, time_span, whole
from slurm_gpucost.costing.tariff import Tariff, price_segments
from slurm_gpucost.domain.units import MJ_PER_KWH

GRAMS_PER_KG = 1000


class EnergyWindow(NamedTuple):
    """Energy drawn in [start, end) ms UTC, evenly. A Fraction of a mJ where a window was cut or shared."""

    start_ms: int
    end_ms: int
    energy_mj: int | Fraction


class Pue(NamedTuple):
    """A PUE, and the ms UTC from which it holds until the next."""

    since_ms: int
    pue: Fraction


class Terms(NamedTuple):
    """[start, end) in ms UTC, and the price of a kWh and the PUE in it."""

    start_ms: int
    end_ms: int
    price: Fraction
    pue: Fraction


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


def pue_faults(pue: Sequence[Pue]) -> list[tuple[str, str]]:
    """All that is wrong with a list of PUEs, each as (key relative to it, sentence)."""
    found = [] if pue else [("", "there is none; without a site's own figure, say 1")]
    for number, one in enumerate(pue):
        if exact(one.pue, "pue") < 1:
            found.append((f"{number}.pue", "is below 1: a site draws at least what its machines draw"))
    for number, (before, after) in enumerate(pairwise(pue), 1):
        if whole(after.since_ms, "since_ms") <= before.since_ms:
            found.append((f"{number}.from", "is not after the one before it"))
    return found


def terms(tariff: Tariff, pue: Sequence[Pue], zone: ZoneInfo, start_ms: int, end_ms: int) -> list[Terms]:
    """Price and PUE in [start_ms, end_ms), in order, without a gap: what ``energy_lines`` wants, once for a period.

    Raises ValueError for a tariff or PUEs at fault, and for a time before the first of either.
    """
    start_ms, end_ms = time_span(start_ms, end_ms)
    if wrong := pue_faults(pue):
        raise ValueError("; ".join(f"pue.{key}: {what}" for key, what in wrong))
    if start_ms < pue[0].since_ms and start_ms < end_ms:
        raise ValueError(f"the first PUE holds from {pue[0].since_ms} ms on: there is none for {start_ms} ms")
    starts = [one.since_ms for one in pue]
    found = []
    for since, until, price in price_segments(tariff, start_ms, end_ms, zone):
        inside = starts[bisect_right(starts, since) : bisect_right(starts, until - 1)]
        for low, high in pairwise([since, *inside, until]):
            found.append(Terms(low, high, price, Fraction(pue[bisect_right(starts, low) - 1].pue)))
    return found


def energy_lines(windows: Iterable[EnergyWindow], terms: Sequence[Terms]) -> list[EnergyLine]:
    """The energy by price and PUE, in order of these. ``terms`` must cover the windows, else ValueError."""
    starts = [one.start_ms for one in terms]
    drawn: dict[tuple[Fraction, Fraction], Fraction | int] = {}
    for window in windows:
        start, end = time_span(window.start_ms, window.end_ms)
        energy = window.energy_mj if type(window.energy_mj) is int else exact(window.energy_mj, "energy_mj")
        if start == end or energy < 0:
            raise ValueError(f"{energy} mJ in {end - start} ms: a window has some length and no negative energy")
        at = bisect_right(starts, start) - 1
        if at < 0 or end > terms[-1].end_ms:
            raise ValueError(f"the prices do not cover the window from {start} to {end} ms")
        while at < len(terms) and terms[at].start_ms < end:
            one = terms[at]
            here = min(end, one.end_ms) - max(start, one.start_ms)
            part = energy if here == end - start else Fraction(energy * here, end - start)
            key = (one.price, one.pue)
            drawn[key] = drawn.get(key, 0) + part
            at += 1
    return [
        EnergyLine(price, pue, kwh, kwh * price)
        for (price, pue), energy in sorted(drawn.items())
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
