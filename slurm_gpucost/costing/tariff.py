"""What a kWh costs at each moment: prices by hour, weekday and season, effective-dated. Pure, exact.

A moment has the price that holds at the local time and date which a clock in the pool's zone shows then. So an hour
that the clock skips does not exist, and one that comes twice is priced both times.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from slurm_gpucost.costing.bands import SUNDAY, Band, day_cells, times, year_day
from slurm_gpucost.costing.clock import offset_spans
from slurm_gpucost.costing.exact import time_span
from slurm_gpucost.costing.weeks import week_faults

_DAY_MS = 86_400_000
_MINUTE_MS = 60_000
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class Version:
    """The prices from a local date on, until the next version begins."""

    since: date
    bands: tuple[Band, ...]


@dataclass(frozen=True)
class Tariff:
    """A tariff's versions in order of their dates. One price always is one version of one band."""

    versions: tuple[Version, ...]
    holidays: frozenset[date] = frozenset()
    """Local dates that count as sundays."""


class PriceSegment(NamedTuple):
    """[start, end) in ms UTC, and the price of a kWh in it."""

    start_ms: int
    end_ms: int
    price: Fraction


def faults(tariff: Tariff) -> list[tuple[str, str]]:
    """All that is wrong with a tariff, each as (key relative to it, sentence); empty if nothing is.

    A version whose hours, days or seasons cannot be read is not searched for holes and overlaps: those would follow.
    """
    if not tariff.versions:
        return [("versions", "there is none; a tariff needs at least one price")]
    found: list[tuple[str, str]] = []
    for number, (before, after) in enumerate(pairwise(tariff.versions), 1):
        if after.since <= before.since:
            what = f"{after.since} is not after {before.since}, from which the version before it holds"
            found.append((f"versions.{number}.from", what))
    for number, version in enumerate(tariff.versions):
        key = f"versions.{number}.bands"
        read = [times(band) for band in version.bands]
        unread = [(f"{key}.{n}.{part}", what) for n, (_, wrong) in enumerate(read) for part, what in wrong]
        found += unread or [(key, what) for what in week_faults([one for one, _ in read])]
    return found


def price_segments(tariff: Tariff, start_ms: int, end_ms: int, zone: ZoneInfo) -> Iterator[PriceSegment]:
    """The prices in [start_ms, end_ms), in order, without a gap; neighbours differ in price.

    Raises ValueError for a tariff at fault, and (when it is reached) for a time before the first version; TypeError
    for times that are no integers.
    """
    start_ms, end_ms = time_span(start_ms, end_ms)
    return _merged(_cells(_calendar(tariff), start_ms, end_ms, zone))


class _Calendar:
    """A tariff without faults, ready to be asked for a day."""

    def __init__(self, tariff: Tariff) -> None:
        wrong = faults(tariff)
        if wrong:
            raise ValueError("; ".join(f"{key}: {what}" for key, what in wrong))
        self.starts = [version.since for version in tariff.versions]
        self.holidays = tariff.holidays
        self.versions = tariff.versions
        self.times = [tuple(times(band)[0] for band in version.bands) for version in tariff.versions]
        self.days: dict[tuple[int, int, int], tuple[tuple[int, int, Fraction], ...]] = {}

    def day(self, day: date) -> tuple[tuple[int, int, Fraction], ...]:
        """(from, to, price) of a local date: [from, to) in ms after midnight by the clock."""
        number = bisect_right(self.starts, day) - 1
        if number < 0:
            raise ValueError(f"the tariff begins on {self.starts[0]}: there is no price for {day}")
        weekday = SUNDAY if day in self.holidays else day.weekday()
        key = (number, year_day(day), weekday)
        if key not in self.days:
            bands = self.versions[number].bands
            self.days[key] = tuple(
                (cell.start * _MINUTE_MS, cell.end * _MINUTE_MS, bands[cell.bands[0]].price)
                for cell in day_cells(self.times[number], key[1], weekday)
            )
        return self.days[key]


@lru_cache(maxsize=64)
def _calendar(tariff: Tariff) -> _Calendar:
    return _Calendar(tariff)


def _cells(calendar: _Calendar, start_ms: int, end_ms: int, zone: ZoneInfo) -> Iterator[PriceSegment]:
    for since, until, ahead in offset_spans(zone, start_ms, end_ms):
        for day in range((since + ahead) // _DAY_MS, (until + ahead - 1) // _DAY_MS + 1):
            midnight = day * _DAY_MS - ahead
            for low, high, price in calendar.day(date.fromordinal(_EPOCH + day)):
                start, end = max(midnight + low, since), min(midnight + high, until)
                if start < end:
                    yield PriceSegment(start, end, price)


def _merged(segments: Iterator[PriceSegment]) -> Iterator[PriceSegment]:
    last = next(segments, None)
    for segment in segments:
        if last is not None and segment.price == last.price:
            last = PriceSegment(last.start_ms, segment.end_ms, last.price)
        else:
            if last is not None:
                yield last
            last = segment
    if last is not None:
        yield last
