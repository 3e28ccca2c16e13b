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

from slurm_gpucost.costing.exact import exact, time_span
from slurm_gpucost.costing.terms import Terms
from slurm_gpucost.domain.units import MJ_PER_KWH

GRAMS_PER_KG = 1000


class EnergyLine(NamedTuple):
    """All energy that had the same price and PUE."""

    price: Fraction
    pue: Fraction
    kwh: Fraction
    """At the site's meter: PUE is in it."""
    amount: Fraction
    grams: Fraction = Fraction(0)
    """CO2e, each moment at its factor."""


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


def mean_pue(lines: Iterable[EnergyLine]) -> Fraction:
    """The PUE by which all the energy of ``lines`` together was multiplied; 1 where there is none."""
    lines = list(lines)
    machines = sum((line.kwh / line.pue for line in lines), Fraction(0))
    return sum((line.kwh for line in lines), Fraction(0)) / machines if machines else Fraction(1)
