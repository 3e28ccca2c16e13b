"""What turns energy into money and CO2e at each moment: tariff, PUE, emission factor, effective-dated. Pure, exact."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from slurm_gpucost.costing.exact import exact, time_span, whole
from slurm_gpucost.costing.periods import iso
from slurm_gpucost.costing.tariff import Tariff, price_segments


class Pue(NamedTuple):
    """A PUE, and the ms UTC from which it holds until the next."""

    since_ms: int
    pue: Fraction


class Emission(NamedTuple):
    """Grams of CO2e of a kWh at the site's meter, and the ms UTC from which that holds until the next."""

    since_ms: int
    grams: Fraction


class Terms(NamedTuple):
    """[start, end) in ms UTC, and the price of a kWh, the PUE and the grams of CO2e of a kWh in it."""

    start_ms: int
    end_ms: int
    price: Fraction
    pue: Fraction
    grams: Fraction = Fraction(0)


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


def terms(
    tariff: Tariff, pue: Sequence[Pue], zone: ZoneInfo, start_ms: int, end_ms: int, emission: Sequence[Emission] = ()
) -> list[Terms]:
    """The terms in [start_ms, end_ms), in order, without a gap: what ``EnergySums`` wants, once for a period.

    ``emission`` is in order; before the first nothing is emitted. Raises ValueError for a tariff or PUEs at fault, and
    for a time before the first of either.
    """
    start_ms, end_ms = time_span(start_ms, end_ms)
    if wrong := pue_faults(pue):
        raise ValueError("; ".join(f"pue.{key}: {what}" for key, what in wrong))
    if start_ms < pue[0].since_ms and start_ms < end_ms:
        raise ValueError(
            f"the first PUE holds from {iso(pue[0].since_ms, zone)} on: there is none for {iso(start_ms, zone)}"
        )
    starts = [one.since_ms for one in pue]
    emitting = [one.since_ms for one in emission]
    changes = sorted({*starts, *emitting})
    found = []
    for since, until, price in price_segments(tariff, start_ms, end_ms, zone):
        inside = changes[bisect_right(changes, since) : bisect_right(changes, until - 1)]
        for low, high in pairwise([since, *inside, until]):
            at = bisect_right(emitting, low)
            grams = exact(emission[at - 1].grams, "grams") if at else Fraction(0)
            found.append(Terms(low, high, price, Fraction(pue[bisect_right(starts, low) - 1].pue), grams))
    return found
