"""The oracle asks each day of a period what it bears."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_gpucost.costing.items import CostItem, cost, faults

F = Fraction
DAY = timedelta(days=1)
DATES = st.dates(date(2023, 6, 1), date(2025, 4, 1))
SPACE = CostItem("Room", "space", F(36_500), "year")


@st.composite
def items(draw: st.DrawFn) -> CostItem:
    """Items without faults."""
    per = draw(st.sampled_from(["year", "month", "once"]))
    credit = draw(st.booleans())
    amount = draw(st.fractions(0, 10**6, max_denominator=100)) * (-1 if credit else 1)
    begin, until = draw(st.none() | DATES), draw(st.none() | DATES)
    months = None
    if begin and until and until <= begin:
        begin, until = (until, begin) if until < begin else (begin, None)
    if per == "once":
        begin = begin or draw(DATES)
        months = draw(st.integers(1, 40)) if until is None or until <= begin else None
        until = None if months else until
    item = CostItem(
        *("x", "rebate" if credit else "staff", amount, per, begin, until, months),
        fte=draw(st.fractions(F(1, 10), 20, max_denominator=20)),
        share=draw(st.fractions(0, 1, max_denominator=20)),
        fiscal_month=draw(st.sampled_from([1, 2, 3, 7, 10])),
    )
    assert not list(faults(item))
    return item


def bears(item: CostItem, day: date) -> Fraction:
    """What a day bears, from the calendar alone."""
    whole = item.amount * item.fte * item.share
    if (item.from_ and day < item.from_) or (item.until and day >= item.until):
        return F(0)
    if item.per == "month":
        return whole / monthrange(day.year, day.month)[1]
    if item.per == "year":
        begin = date(day.year, item.fiscal_month, 1)
        begin = begin if begin <= day else begin.replace(year=day.year - 1)
        return whole / (begin.replace(year=begin.year + 1) - begin).days
    assert item.from_
    if item.until:
        return whole / (item.until - item.from_).days
    assert item.months
    for first, following in pairwise(same_day(item.from_, n) for n in range(item.months + 1)):
        if first <= day < following:
            return whole / item.months / (following - first).days
    return F(0)


@cache
def same_day(day: date, months: int) -> date:
    first = date(day.year, day.month, 1)
    for _ in range(months):
        first = (first + 31 * DAY).replace(day=1)
    last = monthrange(first.year, first.month)[1]
    return first.replace(day=day.day if day.day <= last else last)


@settings(deadline=None)
@given(items(), DATES, DATES)
def test_any_period_is_the_sum_of_its_days(item: CostItem, one: date, other: date) -> None:
    start, end = sorted((one, other))
    by_days = sum((bears(item, start + n * DAY) for n in range((end - start).days)), F(0))
    assert cost(item, start, end) == by_days


@given(items(), st.lists(st.dates(date(2000, 1, 1), date(2050, 1, 1)), min_size=2, max_size=8).map(sorted))
def test_time_can_be_cut_anywhere(item: CostItem, cuts: list[date]) -> None:
    parts = [cost(item, a, b) for a, b in pairwise(cuts)]
    assert all(part * item.amount >= 0 for part in parts)
    assert sum(parts, F(0)) == cost(item, cuts[0], cuts[-1])


@given(items())
def test_what_comes_once_is_charged_once(item: CostItem) -> None:
    once = replace(item, per="once", from_=item.from_ or date(2020, 2, 29), months=None if item.until else 7)
    assert cost(once, date(1990, 1, 1), date(2100, 1, 1)) == item.total


@pytest.mark.parametrize("year", [2024, 2025, 2100, 2000])
@pytest.mark.parametrize("first_month", range(1, 13))
def test_a_year_is_exactly_the_amount_wherever_it_begins(year: int, first_month: int) -> None:
    item = replace(SPACE, fiscal_month=first_month)
    assert cost(item, date(year, first_month, 1), date(year + 1, first_month, 1)) == 36_500


def test_a_day_of_a_year_costs_the_same_in_february() -> None:
    assert cost(SPACE, date(2026, 2, 1), date(2026, 3, 1)) == 2800
    assert cost(SPACE, date(2026, 3, 1), date(2026, 4, 1)) == 3100


def test_a_month_is_exactly_the_amount() -> None:
    item = CostItem("Line", "network", F(1000), "month", date(2024, 1, 16))
    months = [cost(item, date(2024, m, 1), date(2024, m + 1, 1)) for m in range(1, 12)]
    assert months == [F(16_000, 31), *[1000] * 10]


def test_staff_is_equivalents_times_cost_times_share() -> None:
    item = CostItem("Administrators", "staff", F(90_000), "year", fte=F("1.5"), share=F("0.4"))
    assert cost(item, date(2026, 1, 1), date(2027, 1, 1)) == 54_000


def test_engineering_is_spread_over_months() -> None:
    item = CostItem("Migration", "engineering", F(24_000), "once", date(2026, 2, 1), months=24)
    assert {cost(item, date(2027, m, 1), date(2027, m + 1, 1)) for m in range(1, 12)} == {F(1000)}
    assert cost(item, date(2026, 1, 1), date(2026, 2, 1)) == cost(item, date(2028, 2, 1), date(2029, 1, 1)) == 0
    assert cost(item, date(2028, 1, 1), date(2028, 2, 15)) == 1000
    assert cost(replace(item, from_=date(2026, 1, 31)), date(2026, 2, 1), date(2026, 2, 28)) == F(1000 * 27, 28)


def test_a_rebate_on_one_day() -> None:
    item = CostItem("Vendor", "rebate", F(-500), "once", date(2026, 3, 31), date(2026, 4, 1))
    assert cost(item, date(2026, 3, 1), date(2026, 4, 1)) == -500


def test_all_faults_come_in_one_go() -> None:
    bad = CostItem("", "licenses", F(-1), "weekly", date(2026, 2, 1), date(2026, 2, 1), 3, F(0), F(2), "", "weight")
    found = dict(faults(replace(bad, fiscal_month=0)))
    assert list(found) == ["name", "kind", "per", "until", "months", "fte", "share", "key", "fiscal_month"]
    assert found["kind"] == "'licenses' is unknown; did you mean licence?"


@pytest.mark.parametrize(
    ("item", "keys"),
    [
        (replace(SPACE, amount=F(-1)), ["amount"]),
        (replace(SPACE, kind="credit", amount=F(1, 100)), ["amount"]),
        (replace(SPACE, per="once"), ["from", "until"]),
        (replace(SPACE, per="once", from_=date(2026, 1, 1), until=date(2026, 2, 1), months=2), ["months"]),
        (replace(SPACE, per="once", from_=date(2026, 1, 1), months=0), ["months"]),
        (replace(SPACE, per="once", from_=date(9990, 1, 1), months=120), ["months"]),
    ],
)
def test_one_fault_each(item: CostItem, keys: list[str]) -> None:
    assert [key for key, _ in faults(item)] == keys


@pytest.mark.parametrize("field", ["amount", "fte", "share"])
def test_a_float_raises(field: str) -> None:
    with pytest.raises(TypeError, match=f"{field} must be an int or a Fraction"):
        replace(SPACE, **{field: 0.5})  # type: ignore[arg-type]
