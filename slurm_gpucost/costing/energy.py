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
    grams: Fraction = Fraction(0)
    """CO2e, each moment at its factor."""


class EnergyCost(NamedTuple):
    """What energy cost, and how much that was."""

    kwh: Fraction
    """At the site's meter: PUE is in it."""
    amount: Fraction


class EnergySums:
    """Energy added up by the terms it was drawn in, so that windows need not be kept."""

    def __init__(self, during: Sequence[Terms]) -> None:
        """``during`` must cover what is added."""
        self._during, self._starts = during, [one.start_ms for one in during]
        self._drawn: list[int | Fraction] = [0] * len(during)

    @property
    def energy_mj(self) -> int | Fraction:
        """Of all, before PUE."""
        return sum(self._drawn)

    def add(self, start_ms: int, end_ms: int, energy_mj: int | Fraction) -> None:
        """Energy drawn in [start, end) ms UTC, evenly. ValueError for less than nothing, or where no terms hold."""
        start, end = time_span(start_ms, end_ms)
        energy = energy_mj if type(energy_mj) is int else exact(energy_mj, "energy_mj")
        if start == end or energy < 0:
            raise ValueError(f"{energy} mJ in {end - start} ms: a window has some length and no negative energy")
        during, starts = self._during, self._starts
        at = bisect_right(starts, start) - 1
        if at >= 0 and end <= during[at].end_ms:
            self._drawn[at] += energy
            return
        left = end - start
        while 0 <= at < len(during) and starts[at] < end:
            here = max(0, min(end, during[at].end_ms) - max(start, starts[at]))
            self._drawn[at] += Fraction(energy * here, end - start)
            left -= here
            at += 1
        if left:
            raise ValueError(f"the terms do not cover the window from {start} to {end} ms")

    def lines(self, times: Fraction | int = 1) -> list[EnergyLine]:
        """By price and PUE, in order of these, all of it so many times."""
        sums: dict[tuple[Fraction, Fraction], tuple[int | Fraction, int | Fraction]] = {}
        for one, drawn in zip(self._during, self._drawn, strict=True):
            if energy := drawn * times:
                before, grams = sums.get((one.price, one.pue), (0, 0))
                sums[one.price, one.pue] = before + energy, grams + energy * one.grams
        return [
            EnergyLine(price, pue, kwh, kwh * price, grams * pue / MJ_PER_KWH)
            for (price, pue), (energy, grams) in sorted(sums.items())
            for kwh in [energy * pue / MJ_PER_KWH]
        ]


def energy_lines(windows: Iterable[EnergyWindow], during: Sequence[Terms]) -> list[EnergyLine]:
    """The energy of windows as :class:`EnergySums` adds it up; raises ValueError as that does."""
    sums = EnergySums(during)
    for one in windows:
        sums.add(*one)
    return sums.lines()


def energy_cost(windows: Iterable[EnergyWindow], tariff: Tariff, pue: Sequence[Pue], zone: ZoneInfo) -> EnergyCost:
    """What the windows cost in all. For many leases make ``terms`` once.

    Raises ValueError and TypeError as ``terms`` and ``energy_lines`` do.
    """
    windows = list(windows)
    if not windows:
        return EnergyCost(Fraction(0), Fraction(0))
    start, end = min(one.start_ms for one in windows), max(one.end_ms for one in windows)
    lines = energy_lines(windows, terms(tariff, pue, zone, start, end))
    kwh = sum((line.kwh for line in lines), Fraction(0))
    return EnergyCost(kwh, sum((line.amount for line in lines), Fraction(0)))


def mean_pue(lines: Iterable[EnergyLine]) -> Fraction:
    """The PUE by which all the energy of ``lines`` together was multiplied; 1 where there is none."""
    lines = list(lines)
    machines = sum((line.kwh / line.pue for line in lines), Fraction(0))
    return sum((line.kwh for line in lines), Fraction(0)) / machines if machines else Fraction(1)
