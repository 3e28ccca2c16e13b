"""A band of a tariff: when it holds, as a person writes it, and the week that bands make together. Pure.

All times are what a clock on the wall shows. A minute belongs to the day of the calendar on which it lies: a band of
"22:00-06:00" on "mon" is monday 00:00-06:00 and monday 22:00-24:00.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple, TypeVar

from slurm_gpucost.costing.exact import exact

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SUNDAY = 6
DAY_MINUTES = 1440
YEAR_DAYS = 366
"""Seasons are counted in a leap year, so that 02-29 has its place; other years never ask for it."""
_SHORT = tuple(day[:3] for day in DAYS)
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|(24):(00)", re.ASCII)
_MONTH_DAY = re.compile(r"\d\d-\d\d", re.ASCII)
_LEAP = date(2000, 1, 1)
T = TypeVar("T")


@dataclass(frozen=True)
class Band:
    """A price, and when it holds: at each minute that is in one of the hours, on one of the days, in one season."""

    price: Fraction
    """Per kWh, in the currency (or grams of CO2e). May be negative, as on spot markets. A float raises TypeError."""
    hours: tuple[str, ...] = ("00:00-24:00",)
    """``HH:MM-HH:MM``; may go over midnight."""
    days: tuple[str, ...] = ("mon-sun",)
    """``mon`` to ``sun``, or ranges of them."""
    seasons: tuple[str, ...] = ("01-01..12-31",)
    """``MM-DD..MM-DD``, both included; may go over the end of the year."""

    def __post_init__(self) -> None:
        exact(self.price, "price")


class Times(NamedTuple):
    """When a band holds, in numbers."""

    minutes: tuple[tuple[int, int], ...]
    """[from, to) in minutes after midnight, from < to."""
    days: frozenset[int]
    """0 is monday."""
    year_days: frozenset[int]
    """0 is 01-01, 59 is 02-29."""


class Cell(NamedTuple):
    """A part of a day within which the same bands hold: one of them, if nothing is wrong."""

    start: int
    end: int
    """Minutes after midnight, exclusive."""
    bands: tuple[int, ...]


def times(band: Band) -> tuple[Times, list[tuple[str, str]]]:
    """When the band holds, and its faults: (key, sentence) each. What is at fault holds never."""
    found: list[tuple[str, str]] = []
    minutes = _read("hours", band.hours, minutes_of, found)
    days, year_days = _read("days", band.days, days_of, found), _read("seasons", band.seasons, season_of, found)
    return Times(tuple(minutes), frozenset(days), frozenset(year_days)), found


def _read(key: str, texts: Sequence[str], one: Callable[[str], list[T]], faults: list[tuple[str, str]]) -> list[T]:
    if not texts:
        faults.append((key, "names none; leave it out if the price holds always"))
    parts: list[T] = []
    for text in texts:
        try:
            parts += one(text)
        except ValueError as error:
            faults.append((key, str(error)))
    return parts


def minutes_of(text: str) -> list[tuple[int, int]]:
    """``22:00-06:00`` as [from, to) in minutes after midnight, two of them if it goes over midnight."""
    first, _, last = text.partition("-")
    ends = [_CLOCK.fullmatch(first), _CLOCK.fullmatch(last)]
    if not ends[0] or not ends[1] or ends[0][3]:
        raise ValueError(f"'{text}' is no time of the day; write HH:MM-HH:MM, like 22:00-06:00")
    start, end = (int(found[1] or found[3]) * 60 + int(found[2] or found[4]) for found in ends if found)
    if start == end:
        raise ValueError(f"'{text}' ends where it begins; write 00:00-24:00 for the whole day")
    if start < end:
        return [(start, end)]
    return [(0, end), (start, DAY_MINUTES)] if end else [(start, DAY_MINUTES)]


def days_of(text: str) -> list[int]:
    """``sat`` or ``mon-fri`` (or ``sat-mon``) as numbers, 0 is monday."""
    first, dash, last = text.partition("-")
    if first not in _SHORT or (last if dash else "mon") not in _SHORT:
        raise ValueError(f"'{text}' is no day; write {', '.join(_SHORT)}, or a range like mon-fri")
    start, end = _SHORT.index(first), _SHORT.index(last if dash else first)
    return [(start + n) % 7 for n in range((end - start) % 7 + 1)]


def season_of(text: str) -> list[int]:
    """``11-01..03-31`` as days of a leap year, 0 is 01-01."""
    first, _, last = text.partition("..")
    try:
        if not (_MONTH_DAY.fullmatch(first) and _MONTH_DAY.fullmatch(last)):
            raise ValueError
        start, end = (year_day(date.fromisoformat(f"2000-{day}")) for day in (first, last))
    except ValueError:
        raise ValueError(f"'{text}' is no season; write MM-DD..MM-DD, like 11-01..03-31") from None
    return [(start + n) % YEAR_DAYS for n in range((end - start) % YEAR_DAYS + 1)]


def year_day(day: date) -> int:
    """A date's day of a leap year: 0 is 01-01, 60 is 03-01 in every year."""
    return (day.replace(year=2000) - _LEAP).days


def month_day(day: int) -> str:
    """A day of a leap year as ``MM-DD``."""
    return (_LEAP + timedelta(days=day)).strftime("%m-%d")


def day_cells(bands: Sequence[Times], year_day: int, weekday: int) -> tuple[Cell, ...]:
    """The day, cut wherever another set of bands begins to hold; covers 00:00 to 24:00 without a gap."""
    here = [(n, one.minutes) for n, one in enumerate(bands) if weekday in one.days and year_day in one.year_days]
    cuts = sorted({0, DAY_MINUTES, *(minute for _, spans in here for span in spans for minute in span)})
    cells: list[Cell] = []
    for start, end in pairwise(cuts):
        holding = tuple(n for n, spans in here if any(low <= start and end <= high for low, high in spans))
        if cells and cells[-1].bands == holding:
            start = cells.pop().start
        cells.append(Cell(start, end, holding))
    return tuple(cells)
