"""Dates as exact positions in months and years, where the days of a month, or of a year, weigh the same.

A position is the proleptic Gregorian ordinal of a day, and may lie within it. A year can begin in any month, as a
fiscal year does; it has 365 or 366 days, so each whole month and each whole year is exactly 1.
"""

from __future__ import annotations

from calendar import isleap, monthrange
from datetime import date
from fractions import Fraction

LAST_YEAR = 9998
"""The last year that lives and periods may reach."""


def add_months(day: date, months: int) -> date:
    """The same day that many months on, or the last of that month where it has no such day (31 January, 29 February).

    OverflowError beyond LAST_YEAR.
    """
    year, month0 = divmod(day.year * 12 + day.month - 1 + months, 12)
    if year > LAST_YEAR:
        raise OverflowError(f"{months} months after {day} lies beyond the year {LAST_YEAR}")
    return date(year, month0 + 1, min(day.day, monthrange(year, month0 + 1)[1]))


def months_at(position: Fraction) -> Fraction:
    """Calendar months since the year 0: 12 x year + month - 1, and the part of the month that is over."""
    day = date.fromordinal(int(position))
    into = day.day - 1 + position - int(position)
    return day.year * 12 + day.month - 1 + into / monthrange(day.year, day.month)[1]


def at_months(months: Fraction) -> Fraction:
    """The position where :func:`months_at` has that value."""
    whole, part = divmod(months, 1)
    year, month0 = divmod(int(whole), 12)
    return date(year, month0 + 1, 1).toordinal() + part * monthrange(year, month0 + 1)[1]


def years_at(position: Fraction, first_month: int) -> Fraction:
    """Years that begin in ``first_month`` (1 to 12): the calendar year they begin in, and the part that is over."""
    day = date.fromordinal(int(position))
    year = day.year - (day.month < first_month)
    return year + (position - date(year, first_month, 1).toordinal()) / _year_days(year, first_month)


def at_years(years: Fraction, first_month: int) -> Fraction:
    """The position where :func:`years_at` has that value."""
    whole, part = divmod(years, 1)
    year = int(whole)
    return date(year, first_month, 1).toordinal() + part * _year_days(year, first_month)


def _year_days(year: int, first_month: int) -> int:
    return 366 if isleap(year if first_month <= 2 else year + 1) else 365
