from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_gpucost.costing.bands import Band
from slurm_gpucost.costing.energy import EnergyLine, EnergySums, mean_pue
from slurm_gpucost.costing.tariff import Tariff, Version
from slurm_gpucost.costing.terms import Emission, Pue, Terms, pue_faults, terms
from tests.unit.costing.tariffs import CHANGES, MINUTE_MS, ZONES, day_and_night, flat, local, price_at, tariffs, utc

BERLIN = ZoneInfo("Europe/Berlin")
DAY, NIGHT = Fraction(30, 100), Fraction(20, 100)
KILOWATT = 1_000_000  # mJ a second
PUES = st.fractions(min_value=1, max_value=3, max_denominator=100)


class EnergyWindow(NamedTuple):
    """Energy drawn in [start, end) ms UTC, evenly."""

    start_ms: int
    end_ms: int
    energy_mj: int | Fraction


class EnergyCost(NamedTuple):
    """What energy cost, and how much that was at the site's meter."""

    kwh: Fraction
    amount: Fraction


def energy_lines(windows: Iterable[EnergyWindow], during: Sequence[Terms]) -> list[EnergyLine]:
    sums = EnergySums(during)
    for one in windows:
        sums.add(*one)
    return sums.lines()


def energy_cost(windows: Sequence[EnergyWindow], tariff: Tariff, pue: Sequence[Pue], zone: ZoneInfo) -> EnergyCost:
    if not windows:
        return EnergyCost(Fraction(0), Fraction(0))
    start, end = min(one.start_ms for one in windows), max(one.end_ms for one in windows)
    lines = energy_lines(windows, terms(tariff, pue, zone, start, end))
    return EnergyCost(sum((one.kwh for one in lines), Fraction(0)), sum((one.amount for one in lines), Fraction(0)))


def drawn(start: str, end: str, milliwatts: int = KILOWATT) -> EnergyWindow:
    return EnergyWindow(utc(start), utc(end), milliwatts * (utc(end) - utc(start)) // 1000)


@pytest.mark.parametrize(
    ("start", "end", "kwh", "amount"),
    [
        # 1 kW from saturday 00:00 to monday 00:00, in kWh before PUE. Summer time ends: 32 h of day, 17 h of night.
        ("2026-10-23T22:00", "2026-10-25T23:00", 49, Fraction("13.00")),
        # Summer time begins: 32 h of day, 15 h of night.
        ("2026-03-27T23:00", "2026-03-29T22:00", 47, Fraction("12.60")),
        # No change: 32 h and 16 h.
        ("2026-06-05T22:00", "2026-06-07T22:00", 48, Fraction("12.80")),
    ],
)
def test_a_kilowatt_over_a_weekend_with_day_and_night_prices(start: str, end: str, kwh: int, amount: Fraction) -> None:
    tariff, pue = day_and_night(DAY, NIGHT), Fraction(3, 2)
    found = energy_cost([drawn(start, end)], tariff, [Pue(0, pue)], BERLIN)
    assert found == EnergyCost(kwh * pue, amount * pue)


def test_lines_say_how_much_was_drawn_at_which_price_and_pue() -> None:
    # PUE rises at noon of saturday. 1 kW from 05:00 to 23:00: 1 h night and 6 h day before, 10 h and 1 h after.
    windows = [drawn("2026-06-06T03:00", "2026-06-06T21:00")]
    pue = [Pue(0, Fraction(1)), Pue(utc("2026-06-06T10:00"), Fraction(2))]
    during = terms(day_and_night(DAY, NIGHT), pue, BERLIN, utc("2026-06-01T00:00"), utc("2026-07-01T00:00"))
    lines = energy_lines(windows, during)
    assert lines == [
        EnergyLine(NIGHT, Fraction(1), Fraction(1), Fraction("0.20")),
        EnergyLine(NIGHT, Fraction(2), Fraction(2), Fraction("0.40")),
        EnergyLine(DAY, Fraction(1), Fraction(6), Fraction("1.80")),
        EnergyLine(DAY, Fraction(2), Fraction(20), Fraction("6.00")),
    ]
    assert mean_pue(lines) == Fraction(29, 18)
    assert mean_pue([]) == 1


def test_terms_change_where_price_or_pue_does() -> None:
    one, two, noon, evening = Fraction(1), Fraction(2), utc("2026-06-06T10:00"), utc("2026-06-06T20:00")
    start, end = utc("2026-06-06T09:00"), utc("2026-06-06T21:00")
    pue = [Pue(0, one), Pue(noon, two), Pue(evening, one), Pue(end, two)]
    assert terms(day_and_night(DAY, NIGHT), pue, BERLIN, start, end) == [
        Terms(start, noon, DAY, one),
        Terms(noon, evening, DAY, two),
        Terms(evening, end, NIGHT, one),
    ]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tariff, list[EnergyWindow], list[Pue], ZoneInfo]:
    name = draw(st.sampled_from(ZONES))
    middle, zone = draw(st.sampled_from(CHANGES[name] or [utc("2026-03-29T01:00")])), ZoneInfo(name)
    windows = []
    for _ in range(draw(st.integers(1, 4))):
        start = middle + draw(st.integers(-20 * 60, 20 * 60)) * MINUTE_MS + draw(st.integers(0, 59_999))
        end = start + draw(st.integers(1, 3 * 60 * MINUTE_MS))
        windows.append(EnergyWindow(start, end, draw(st.integers(0, 10**10))))
    later = sorted(draw(st.sets(st.integers(middle - 10**7, middle + 10**7), max_size=2)))
    return draw(tariffs(local(middle, zone).date())), windows, [Pue(at, draw(PUES)) for at in [0, *later]], zone


@settings(deadline=None)
@given(cases(), st.data())
def test_windows_may_be_cut_anywhere_and_come_in_any_order(
    case: tuple[Tariff, list[EnergyWindow], list[Pue], ZoneInfo], data: st.DataObject
) -> None:
    tariff, windows, pue, zone = case
    parts = []
    for start, end, energy in windows:
        cuts = data.draw(st.sets(st.integers(start, end), max_size=3)) | {start, end}
        for low, high in pairwise(sorted(cuts)):
            parts.append(EnergyWindow(low, high, Fraction(energy * (high - low), end - start)))
    parts = data.draw(st.permutations(parts))
    whole = energy_cost(windows, tariff, pue, zone)
    assert energy_cost(parts, tariff, pue, zone) == whole
    single = [energy_cost([part], tariff, pue, zone) for part in parts]
    assert sum(one.kwh for one in single) == whole.kwh
    assert sum(one.amount for one in single) == whole.amount
    assert all(isinstance(value, Fraction) for value in whole)


@settings(deadline=None, max_examples=60)
@given(cases())
def test_energy_is_priced_minute_by_minute_as_the_clock_says(
    case: tuple[Tariff, list[EnergyWindow], list[Pue], ZoneInfo],
) -> None:
    tariff, windows, pue, zone = case
    (start, end, energy), kwh, amount = windows[0], Fraction(0), Fraction(0)
    cuts = {start, end, *range(start - start % MINUTE_MS + MINUTE_MS, end, MINUTE_MS)}
    cuts |= {one.since_ms for one in pue if start < one.since_ms < end}
    for low, high in pairwise(sorted(cuts)):
        factor = [one.pue for one in pue if one.since_ms <= low][-1]
        joules = Fraction(energy, end - start) * (high - low) * factor / 1000
        kwh += joules / 3600 / 1000
        amount += joules / 3600 / 1000 * price_at(tariff, low, zone)
    assert energy_cost(windows[:1], tariff, pue, zone) == EnergyCost(kwh, amount)


@settings(deadline=None, max_examples=60)
@given(cases())
def test_a_price_twice_as_high_and_a_pue_twice_as_high_cost_twice_as_much(
    case: tuple[Tariff, list[EnergyWindow], list[Pue], ZoneInfo],
) -> None:
    tariff, windows, pue, zone = case
    doubled = Tariff(
        tuple(
            Version(v.since, tuple(Band(2 * b.price, b.hours, b.days, b.seasons) for b in v.bands))
            for v in tariff.versions
        ),
        tariff.holidays,
    )
    once = energy_cost(windows, tariff, pue, zone)
    assert energy_cost(windows, doubled, pue, zone) == EnergyCost(once.kwh, 2 * once.amount)
    twice = [Pue(one.since_ms, 2 * one.pue) for one in pue]
    assert energy_cost(windows, tariff, twice, zone) == EnergyCost(2 * once.kwh, 2 * once.amount)


def test_emissions_follow_the_factor_of_the_moment_before_prices_do() -> None:
    # 1 kW from 20:00 to 24:00, the price falls at 22:00 and the factor at 23:00: 3 h at 500 g, 1 h at 300 g, PUE 1.25.
    low, high = drawn("2026-06-06T18:00", "2026-06-06T22:00")[:2]
    factors = [Emission(0, Fraction(500)), Emission(high - 3_600_000, Fraction(300))]
    tariff = day_and_night(Fraction(3, 10), Fraction(2, 10))
    during = terms(tariff, [Pue(0, Fraction(5, 4))], BERLIN, low, high, factors)
    sums = EnergySums(during)
    sums.add(low, high, 4 * 3_600_000_000)
    assert [(one.price, one.kwh, one.grams) for one in sums.lines()] == [
        (Fraction(1, 5), Fraction(5, 2), Fraction(5, 4) * 800),
        (Fraction(3, 10), Fraction(5, 2), Fraction(5, 4) * 1000),
    ]
    assert sum(one.grams for one in sums.lines(2)) == 2 * sum(one.grams for one in sums.lines())


def test_negative_prices_earn() -> None:
    window = drawn("2026-06-06T10:00", "2026-06-06T12:00")
    earned = energy_cost([window], flat(Fraction(-1, 50)), [Pue(0, Fraction(1))], BERLIN)
    assert earned == EnergyCost(Fraction(2), Fraction("-0.04"))


@pytest.mark.parametrize("windows", [[], [EnergyWindow(10**12, 10**12 + 1, 0)]])
def test_nothing_drawn_costs_nothing(windows: list[EnergyWindow]) -> None:
    assert energy_cost(windows, flat(1), [Pue(0, Fraction(1))], BERLIN) == EnergyCost(Fraction(0), Fraction(0))


@pytest.mark.parametrize(
    ("window", "error", "said"),
    [
        (EnergyWindow(10**12, 10**12 + 1, 0.5), TypeError, "energy_mj must be an int or a Fraction, not float"),  # type: ignore[arg-type]
        (EnergyWindow(10**12, 1e13, 5), TypeError, "end_ms must be an int, not float"),  # type: ignore[arg-type]
        (EnergyWindow(10**12, 10**12, 5), ValueError, "some length"),
        (EnergyWindow(10**12, 10**12 + 1, -5), ValueError, "no negative energy"),
        (EnergyWindow(10**12, 10**12 - 1, 5), ValueError, "before it begins"),
    ],
)
def test_what_is_no_energy_is_refused(window: EnergyWindow, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        energy_cost([window], flat(1), [Pue(0, Fraction(1))], BERLIN)


def test_a_window_that_the_terms_do_not_cover_is_refused_and_never_dropped() -> None:
    one = Fraction(1)
    for during in (
        [],
        [Terms(5, 9, one, one)],
        [Terms(0, 4, one, one), Terms(6, 20, one, one)],
        [Terms(20, 30, one, one)],
    ):
        with pytest.raises(ValueError, match="do not cover the window from 2 to 8 ms"):
            energy_lines([EnergyWindow(2, 8, 100)], during)


def test_pue_faults_are_all_named() -> None:
    assert pue_faults([Pue(0, Fraction(1)), Pue(5, Fraction(3, 2))]) == []
    assert pue_faults([Pue(5, Fraction(9, 10)), Pue(5, Fraction(1))]) == [
        ("0.pue", "is below 1: a site draws at least what its machines draw"),
        ("1.from", "is not after the one before it"),
    ]
    assert pue_faults([]) == [("", "there is none; without a site's own figure, say 1")]
    with pytest.raises(TypeError, match="pue must be"):
        pue_faults([Pue(0, 1.5)])  # type: ignore[arg-type]


def test_time_before_the_first_pue_is_refused() -> None:
    late = [Pue(utc("2026-06-07T00:00"), Fraction(1))]
    with pytest.raises(ValueError, match=r"holds from 2026-06-07T02:00:00\+02:00 on: there is none for 2026-06-06"):
        energy_cost([drawn("2026-06-06T10:00", "2026-06-08T10:00")], flat(1), late, BERLIN)
