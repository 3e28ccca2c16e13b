"""The oracle lays a life out day by day from calendar facts alone; it knows nothing of positions or running sums."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_gpucost.costing.asset_faults import asset_faults
from slurm_gpucost.costing.capital import Addition, Asset, base, book_value, depreciation, end_of_life

F = Fraction
DAY = timedelta(days=1)
DATES = st.dates(date(2019, 12, 1), date(2029, 3, 31))
MONEY = st.fractions(1, 10**6, max_denominator=100)
SHARES = st.sampled_from([F(0), F(1, 3), F(1, 2), F(1)])


def asset(service: date, years: Fraction | int = 5, **more: object) -> Asset:
    return Asset("T1", "main", "a100", 8, F(300_000), service, F(years), **more)  # type: ignore[arg-type]


def days(start: date, end: date) -> Iterator[date]:
    while start < end:
        yield start
        start += DAY


def month_on(year: int, month: int, more: int) -> date:
    for _ in range(more):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return date(year, month, 1)


@cache
def fiscal_year(day: date, first_month: int) -> date:
    while (day.month, day.day) != (first_month, 1):
        day -= DAY
    return day


def spread(amount: Fraction, over: list[date]) -> Iterator[tuple[date, Fraction]]:
    return ((day, amount / len(over)) for day in over)


def schedule(thing: Asset) -> dict[date, Fraction]:
    """What each day bears, for a life of whole years."""
    years = int(thing.life_years)
    layers = [(thing.in_service, (1 - thing.federal_share) * (thing.price - thing.residual))]
    layers += [(a.date, (1 - a.federal_share) * a.amount) for a in thing.additions]
    borne: dict[date, Fraction] = {}
    for begin, amount in layers:
        for day, part in {"daily": by_day, "monthly": by_month, "half-year": by_half_year}[thing.convention](
            thing, begin, amount, years
        ):
            borne[day] = borne.get(day, F(0)) + part
    if thing.retired:
        left = sum((part for day, part in borne.items() if day >= thing.retired), F(0))
        borne = {day: part for day, part in borne.items() if day < thing.retired}
        if thing.at_retirement == "expense":
            borne[thing.retired] = left
    return borne


def by_day(thing: Asset, begin: date, amount: Fraction, years: int) -> Iterator[tuple[date, Fraction]]:
    service = thing.in_service
    leap_day = (service.month, service.day) == (2, 29) and monthrange(service.year + years, 2)[1] == 28
    end = date(service.year + years, 2, 28) if leap_day else service.replace(year=service.year + years)
    return spread(amount, list(days(begin, end)))


def by_month(thing: Asset, begin: date, amount: Fraction, years: int) -> Iterator[tuple[date, Fraction]]:
    service = thing.in_service
    gone = (begin.year - service.year) * 12 + begin.month - service.month
    for month in range(gone, 12 * years):
        first, following = (month_on(service.year, service.month, month + more) for more in (0, 1))
        yield from spread(amount / (12 * years - gone), list(days(max(begin, first), following)))


def by_half_year(thing: Asset, begin: date, amount: Fraction, years: int) -> Iterator[tuple[date, Fraction]]:
    starts = [fiscal_year(thing.in_service, thing.fiscal_month)]
    while len(starts) < years + 2:
        starts.append(fiscal_year(starts[-1] + 366 * DAY, thing.fiscal_month))
    gone = max(n for n, start in enumerate(starts) if start <= begin)
    length = (starts[years + 1] - starts[years]).days
    middle = list(days(starts[years], starts[years] + timedelta(days=(length + 1) // 2)))
    weights = {day: F(1) for day in middle}
    if length % 2:
        weights[middle[-1]] = F(1, 2)
    if gone == years:  # what the last half year bears of something new in it
        weights = {day: weight for day, weight in weights.items() if day >= begin}
        whole = sum(weights.values(), F(0))
        yield from ((day, amount * weight / whole) for day, weight in weights.items())
        return
    a_year = amount / (years - gone)
    yield from spread(a_year / 2, list(days(begin, starts[gone + 1])))
    for n in range(gone + 1, years):
        yield from spread(a_year, list(days(starts[n], starts[n + 1])))
    yield from ((day, a_year / length * weight) for day, weight in weights.items())


@st.composite
def assets(draw: st.DrawFn, lives: st.SearchStrategy[Fraction] | None = None) -> Asset:
    """Assets without faults, many of them with additions and a retirement."""
    service = draw(st.one_of(st.sampled_from([date(2024, 2, 29), date(2023, 12, 31), date(2024, 1, 1)]), DATES))
    price = draw(MONEY)
    thing = Asset(
        *("T1", "main", "a100", draw(st.integers(1, 8)), price, service),
        draw(st.integers(1, 4).map(Fraction) if lives is None else lives),
        residual=price * draw(SHARES),
        funding="award 7",
        federal_share=draw(SHARES),
        convention=draw(st.sampled_from(["daily", "monthly", "half-year"])),
        fiscal_month=draw(st.sampled_from([1, 2, 3, 7, 10])),
        at_retirement=draw(st.sampled_from(["expense", "stop"])),
    )
    alive = st.integers(0, (end_of_life(thing) - service).days - 1).map(lambda n: service + n * DAY)
    additions = draw(st.lists(st.builds(Addition, alive, MONEY, SHARES), max_size=2))
    latest = max([service, *(a.date for a in additions)])
    retired = draw(st.none() | st.integers(1, 2000).map(lambda n: latest + n * DAY))
    return replace(thing, additions=tuple(additions), retired=retired)


@st.composite
def periods(draw: st.DrawFn, thing: Asset) -> tuple[date, date]:
    """Periods whose ends lie in the first or last year of the asset's life, or just at a day on which something is."""
    turns = [thing.in_service, end_of_life(thing), *(a.date for a in thing.additions)]
    turns += [thing.retired] if thing.retired else []
    near = st.tuples(st.sampled_from(turns), st.integers(-1, 1) | st.integers(-400, 400))
    one, other = (day + n * DAY for day, n in (draw(near), draw(near)))
    return min(one, other), max(one, other)


LONG = (date(2019, 1, 1), date(2060, 1, 1))
ANY_LIFE = st.fractions(F(1, 400), 9, max_denominator=400)


@settings(deadline=None)
@given(assets(), st.data())
def test_any_period_is_the_sum_of_its_days(thing: Asset, data: st.DataObject) -> None:
    assert not list(asset_faults(thing))
    start, end = data.draw(periods(thing))
    borne = schedule(thing)
    assert depreciation(thing, start, end) == sum((part for day, part in borne.items() if start <= day < end), F(0))
    own = (1 - thing.federal_share) * thing.price
    added = sum(((1 - a.federal_share) * a.amount for a in thing.additions if a.date <= end), F(0))
    before = sum((part for day, part in borne.items() if day < end), F(0))
    assert book_value(thing, end) == (0 if end < thing.in_service else own + added - before)


@given(assets(ANY_LIFE))
def test_a_life_bears_its_base_exactly_unless_it_is_stopped(thing: Asset) -> None:
    own = (1 - thing.federal_share) * (thing.price - thing.residual)
    expected = own + sum(((1 - a.federal_share) * a.amount for a in thing.additions), F(0))
    assert base(thing) == expected
    borne = depreciation(thing, *LONG)
    early = thing.retired is not None and thing.retired < end_of_life(thing)
    if early and thing.at_retirement == "stop":
        assert 0 <= borne <= expected and (borne < expected or not expected)
    else:
        assert borne == expected
        assert book_value(thing, LONG[1]) == (1 - thing.federal_share) * thing.residual


@given(assets(ANY_LIFE), st.lists(st.dates(*LONG), min_size=2, max_size=8).map(sorted))
def test_time_can_be_cut_anywhere(thing: Asset, cuts: list[date]) -> None:
    parts = [depreciation(thing, a, b) for a, b in pairwise(cuts)]
    assert all(part >= 0 for part in parts)
    assert sum(parts, F(0)) == depreciation(thing, cuts[0], cuts[-1])


@given(assets(ANY_LIFE))
def test_nothing_is_borne_before_service_nor_after_the_life(thing: Asset) -> None:
    end = end_of_life(thing)
    assert depreciation(thing, LONG[0], thing.in_service) == 0
    assert depreciation(thing, max(end, (thing.retired or end) + DAY), LONG[1]) == 0
    unretired = replace(thing, retired=None)
    if base(thing):
        assert depreciation(unretired, end - DAY, end) > 0


@given(assets(ANY_LIFE))
def test_a_retirement_or_an_addition_changes_no_day_before_it(thing: Asset) -> None:
    day = min([*(a.date for a in thing.additions), *([thing.retired] if thing.retired else [])], default=LONG[1])
    plain = replace(thing, additions=(), retired=None)
    assert depreciation(thing, LONG[0], day) == depreciation(plain, LONG[0], day)


@given(assets(ANY_LIFE), st.randoms(use_true_random=False), DATES)
def test_the_order_of_additions_does_not_matter(thing: Asset, random: object, day: date) -> None:
    additions = list(thing.additions)
    random.shuffle(additions)  # type: ignore[attr-defined]
    mixed = replace(thing, additions=tuple(additions))
    assert depreciation(mixed, LONG[0], day) == depreciation(thing, LONG[0], day)


def test_uw_madison_schedule_viii() -> None:
    """UW-Madison, Procedure 403.A, Appendix 1, Schedule VIII: www.bussvc.wisc.edu/acct/policy/rpa/calc/rpa2app8.html.

    Its column "Annual Depreciation", life and salvage value of four purchases.
    In the fiscal year 1999/2000, the first in which all four were in service all year; their own first years follow
    no convention of ours (a whole year for some, none for the server).
    """
    bought = [
        ("Autoclave", date(1997, 7, 2), 10, 10_000, 1000, 900),
        ("Controller", date(1998, 3, 3), 8, 73_000, 9000, 8000),
        ("Microscope", date(1998, 12, 30), 20, 25_000, 2500, 1125),
        ("Server", date(1999, 5, 15), 5, 9000, 500, 1700),
    ]
    for convention in ("monthly", "half-year"):
        for name, service, years, price, residual, annual in bought:
            thing = Asset(name, "rpa", "", 1, F(price), service, F(years), F(residual), "", F(0), convention, 7)
            assert depreciation(thing, date(1999, 7, 1), date(2000, 7, 1)) == annual, name


@pytest.mark.parametrize(
    ("service", "years", "end"),
    [
        (date(2024, 2, 29), F(1), date(2025, 2, 28)),
        (date(2024, 2, 29), F(4), date(2028, 2, 29)),
        (date(2024, 1, 31), F(1, 12), date(2024, 2, 29)),
        (date(2024, 8, 31), F(1, 2), date(2025, 2, 28)),
        (date(2024, 10, 15), F("4.5"), date(2029, 4, 15)),
        (date(2024, 3, 1), F(1, 24), date(2024, 3, 17)),  # half of March's 31 days: the 16th bears half a day
    ],
)
def test_the_end_of_a_life_by_day(service: date, years: Fraction, end: date) -> None:
    assert end_of_life(asset(service, years)) == end


def test_the_last_half_day_bears_half() -> None:
    thing = asset(date(2024, 3, 1), F(1, 24))
    assert depreciation(thing, date(2024, 3, 16), date(2024, 3, 17)) * 31 == 300_000
    assert depreciation(thing, date(2024, 3, 15), date(2024, 3, 16)) * 31 == 600_000


def test_the_month_of_service_bears_a_full_month_from_service_on() -> None:
    thing = asset(date(2026, 3, 20), convention="monthly")
    assert depreciation(thing, date(2026, 3, 1), date(2026, 3, 20)) == 0
    assert depreciation(thing, date(2026, 3, 1), date(2026, 4, 1)) == 5000  # 300,000 / 60
    assert depreciation(thing, date(2028, 2, 1), date(2028, 3, 1)) == 5000
    assert end_of_life(thing) == date(2031, 3, 1)


def test_the_first_and_the_last_fiscal_year_bear_half_a_year() -> None:
    thing = asset(date(2026, 9, 1), convention="half-year", fiscal_month=7)
    year = [depreciation(thing, date(y, 7, 1), date(y + 1, 7, 1)) for y in range(2025, 2033)]
    assert year == [0, 30_000, 60_000, 60_000, 60_000, 60_000, 30_000, 0]
    assert depreciation(thing, date(2026, 7, 1), date(2026, 9, 1)) == 0
    assert depreciation(thing, date(2026, 9, 1), date(2026, 10, 1)) == F(30_000) * 30 / 303  # September to June
    assert end_of_life(thing) == date(2031, 12, 31)  # the year has 366 days, its middle is midnight


def test_an_early_retirement_expenses_what_is_left_or_stops() -> None:
    thing = asset(date(2026, 1, 1), residual=F(60_000), convention="monthly", retired=date(2028, 1, 1))
    january = (date(2028, 1, 1), date(2028, 2, 1))
    assert depreciation(thing, date(2026, 1, 1), date(2028, 1, 1)) == 96_000
    assert depreciation(thing, *january) == 144_000
    assert book_value(thing, january[1]) == 60_000
    stopped = replace(thing, at_retirement="stop")
    assert depreciation(stopped, *january) == 0
    assert book_value(stopped, january[1]) == 204_000


def test_an_addition_is_depreciated_over_what_is_left() -> None:
    more = Addition(date(2030, 7, 15), F(12_000), F(1, 2))
    thing = asset(date(2026, 1, 1), convention="monthly", additions=(more,))
    plain = asset(date(2026, 1, 1), convention="monthly")
    for month in range(7, 13):
        period = (date(2030, month, 1), month_on(2030, month, 1))
        assert depreciation(thing, *period) - depreciation(plain, *period) == 1000  # 6,000 over 6 months
    assert depreciation(thing, date(2031, 1, 1), date(2040, 1, 1)) == 0


def test_a_federally_funded_asset_bears_nothing() -> None:
    thing = asset(date(2026, 1, 1), federal_share=F(1), funding="NSF 2026-1", retired=date(2027, 1, 1))
    assert depreciation(thing, *LONG) == book_value(thing, date(2026, 6, 1)) == 0


@pytest.mark.parametrize("field", ["price", "residual", "life_years", "federal_share"])
def test_a_float_raises(field: str) -> None:
    with pytest.raises(TypeError, match=f"{field} must be an int or a Fraction, not float"):
        replace(asset(date(2026, 1, 1)), **{field: 0.5})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="amount"):
        Addition(date(2026, 1, 1), 0.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not bool"):
        Addition(date(2026, 1, 1), True)  # type: ignore[arg-type]


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="before it begins"):
        depreciation(asset(date(2026, 1, 1)), date(2026, 2, 1), date(2026, 1, 1))
