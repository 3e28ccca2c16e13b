"""How a life passes, by the convention of the asset register: pure, exact.

A convention says how much the first period bears; that is spread evenly over the days of it from service on, so that
no day before service bears anything. From then on every month, or year, bears the same, spread evenly over its days.

- ``daily``: every day from service to the end of the life bears the same. The life ends on the same day of the month,
  or on the last of a month that has no such day: service on 29 February 2024 and one year end on 28 February 2025.
- ``monthly``: the month of service bears a full month, whatever its day, and the life ends with a month. This is what
  registers call the full-month convention (Blackbaud Financial Edge, "Asset Conventions": "an equal depreciation
  amount every month, starting with the first month in service").
- ``half-year``: the fiscal year of service bears half a year, whatever its day; then whole years; the last half falls
  into the first half of the last fiscal year, as IRS Publication 946, "Which Convention Applies?", has the life
  begin and end in the middle of a year.

A life that is no whole number of periods ends within one, after that part of its days.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from fractions import Fraction
from functools import partial
from typing import NamedTuple

from slurm_gpucost.costing.spans import add_months, at_months, at_years, months_at, years_at

CONVENTIONS = ("daily", "monthly", "half-year")


class _Periods(NamedTuple):
    a_year: int
    first: Fraction
    """What the first period bears, in periods."""
    at: Callable[[Fraction], Fraction]
    position: Callable[[Fraction], Fraction]


def _periods(convention: str, fiscal_month: int) -> _Periods:
    if convention == "monthly":
        return _Periods(12, Fraction(1), months_at, at_months)
    if convention == "half-year":
        years = partial(years_at, first_month=fiscal_month), partial(at_years, first_month=fiscal_month)
        return _Periods(1, Fraction(1, 2), *years)
    raise ValueError(f"'{convention}' is no convention; write one of {', '.join(CONVENTIONS)}")


def end(convention: str, fiscal_month: int, service: date, life_years: Fraction) -> Fraction:
    """The position at which a life is over. OverflowError or ValueError beyond the calendar."""
    begin = Fraction(service.toordinal())
    if convention == "daily":
        whole, part = divmod(life_years * 12, 1)
        last, following = (add_months(service, int(whole) + more).toordinal() for more in (0, 1))
        return last + part * (following - last)
    periods = _periods(convention, fiscal_month)
    life = life_years * periods.a_year
    second = periods.at(begin) // 1 + 1
    if life <= periods.first:
        return begin + life / periods.first * (periods.position(Fraction(second)) - begin)
    return periods.position(second + life - periods.first)


def passed(convention: str, fiscal_month: int, service: date, at: Fraction) -> Fraction:
    """What a life that began at ``service`` has borne up to the position ``at``, in units of the convention."""
    begin = Fraction(service.toordinal())
    if at <= begin:
        return Fraction(0)
    if convention == "daily":
        return at - begin
    periods = _periods(convention, fiscal_month)
    second = periods.at(begin) // 1 + 1
    boundary = periods.position(Fraction(second))
    if at < boundary:
        return periods.first * (at - begin) / (boundary - begin)
    return periods.first + periods.at(at) - second
