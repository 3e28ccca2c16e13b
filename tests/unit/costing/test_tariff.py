from __future__ import annotations

import struct
import time
from datetime import date
from fractions import Fraction
from importlib import resources
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_gpucost.costing.bands import Band
from slurm_gpucost.costing.clock import DAY_S
from slurm_gpucost.costing.tariff import PriceSegment, Tariff, Version, faults, price_segments
from tests.unit.costing.tariffs import (
    CHANGES,
    MINUTE_MS,
    ZONES,
    day_and_night,
    flat,
    local,
    price_at,
    tariffs,
    utc,
)

BERLIN = ZoneInfo("Europe/Berlin")
DAY, NIGHT = Fraction(30, 100), Fraction(20, 100)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tariff, int, int, ZoneInfo]:
    """A tariff and up to two days, mostly around a change of the clocks, ending at any millisecond."""
    name = draw(st.sampled_from(ZONES))
    near = [*CHANGES[name], utc("2025-12-31T23:00"), utc("2028-02-29T12:00")]
    middle = draw(st.sampled_from(near))
    start = middle - draw(st.integers(0, 24 * 60 * MINUTE_MS))
    end = middle + draw(st.integers(0, 24 * 60 * MINUTE_MS))
    zone = ZoneInfo(name)
    return draw(tariffs(local(middle, zone).date())), start, end, zone


@settings(deadline=None)
@given(cases())
def test_segments_cover_the_time_to_the_millisecond_at_the_price_on_the_clock(
    case: tuple[Tariff, int, int, ZoneInfo],
) -> None:
    tariff, start, end, zone = case
    assert faults(tariff) == []
    found = list(price_segments(tariff, start, end, zone))
    if start == end:
        assert found == []
        return
    assert (found[0].start_ms, found[-1].end_ms) == (start, end)
    for before, after in pairwise(found):
        assert before.end_ms == after.start_ms
        assert before.price != after.price
    assert all(one.start_ms < one.end_ms and isinstance(one.price, Fraction) for one in found)
    minutes = range(start - start % MINUTE_MS, end, MINUTE_MS)
    segment = iter(found)
    here = next(segment)
    for minute in minutes:
        expected = price_at(tariff, max(minute, start), zone)
        while here.end_ms <= max(minute, start):
            here = next(segment)
        assert here.price == expected, local(minute, zone)
        assert here.end_ms >= min(minute + MINUTE_MS, end), "prices change on whole minutes only"


@settings(deadline=None)
@given(cases(), st.data())
def test_asking_in_two_parts_gives_the_same_prices(
    case: tuple[Tariff, int, int, ZoneInfo], data: st.DataObject
) -> None:
    tariff, start, end, zone = case
    cut = data.draw(st.integers(start, end))
    parts = [*price_segments(tariff, start, cut, zone), *price_segments(tariff, cut, end, zone)]
    edges = {edge for one in parts for edge in one[:2]} | {start, end}
    assert edges == {edge for one in price_segments(tariff, start, end, zone) for edge in one[:2]} | {start, cut, end}
    assert sum(one.end_ms - one.start_ms for one in parts) == end - start


def test_a_day_and_night_tariff_over_the_weekend_on_which_summer_time_ends() -> None:
    # 25 October 2026: 03:00 becomes 02:00. Night is 00-06 (6 h), 22-24 and 00-06 with 02-03 twice (2 + 7 h), 22-24.
    found = list(price_segments(day_and_night(DAY, NIGHT), utc("2026-10-23T22:00"), utc("2026-10-25T23:00"), BERLIN))
    assert found == [
        PriceSegment(utc("2026-10-23T22:00"), utc("2026-10-24T04:00"), NIGHT),
        PriceSegment(utc("2026-10-24T04:00"), utc("2026-10-24T20:00"), DAY),
        PriceSegment(utc("2026-10-24T20:00"), utc("2026-10-25T05:00"), NIGHT),
        PriceSegment(utc("2026-10-25T05:00"), utc("2026-10-25T21:00"), DAY),
        PriceSegment(utc("2026-10-25T21:00"), utc("2026-10-25T23:00"), NIGHT),
    ]


@pytest.mark.parametrize(
    ("zone", "start", "hours", "minutes"),
    [
        # The local hour that the clocks repeat, halve, lengthen or skip: how long it really is.
        ("Europe/Berlin", "2026-10-24T12:00", "02:00-03:00", [120]),
        ("Europe/Berlin", "2026-10-24T12:00", "02:00-02:30", [30, 30]),
        ("Europe/Berlin", "2026-03-28T12:00", "02:00-03:00", []),
        ("Europe/Berlin", "2026-03-28T12:00", "01:30-03:30", [60]),
        ("America/New_York", "2026-10-31T20:00", "01:00-02:00", [120]),
        ("America/St_Johns", "2026-03-07T20:00", "02:00-03:00", []),
        ("Australia/Lord_Howe", "2026-04-04T04:00", "01:00-02:00", [90]),
        ("Australia/Lord_Howe", "2026-04-04T04:00", "01:30-02:00", [60]),
        ("Australia/Lord_Howe", "2026-10-03T04:00", "02:00-03:00", [30]),
        ("Asia/Kolkata", "2026-10-03T04:00", "02:00-03:00", [60]),
        ("Africa/Casablanca", "2026-02-14T12:00", "02:00-03:00", [120]),
        ("Africa/Casablanca", "2026-03-21T12:00", "02:00-03:00", []),
    ],
)
def test_a_local_hour_is_as_long_as_the_clock_makes_it(zone: str, start: str, hours: str, minutes: list[int]) -> None:
    first, last = hours.split("-")
    tariff = Tariff((Version(date(2020, 1, 1), (Band(DAY, (hours,)), Band(NIGHT, (f"{last}-{first}",)))),))
    found = price_segments(tariff, utc(start), utc(start) + 24 * 60 * MINUTE_MS, ZoneInfo(zone))
    assert [(one.end_ms - one.start_ms) // MINUTE_MS for one in found if one.price == DAY] == minutes


def test_a_new_version_begins_at_midnight_of_its_date_in_the_zone() -> None:
    tariff = Tariff((Version(date(2025, 1, 1), (Band(DAY),)), Version(date(2026, 7, 1), (Band(NIGHT),))))
    found = list(price_segments(tariff, utc("2026-06-30T00:00"), utc("2026-07-02T00:00"), ZoneInfo("Asia/Kolkata")))
    assert [(one.start_ms, one.price) for one in found] == [
        (utc("2026-06-30T00:00"), DAY),
        (utc("2026-06-30T18:30"), NIGHT),
    ]


def test_a_holiday_is_priced_as_a_sunday() -> None:
    bands = (Band(DAY, days=("mon-sat",)), Band(NIGHT, days=("sun",)))
    tariff = Tariff((Version(date(2020, 1, 1), bands),), frozenset({date(2026, 12, 25)}))  # a friday
    found = list(price_segments(tariff, utc("2026-12-24T00:00"), utc("2026-12-27T12:00"), BERLIN))
    assert [(one.start_ms, one.price) for one in found] == [
        (utc("2026-12-24T00:00"), DAY),
        (utc("2026-12-24T23:00"), NIGHT),
        (utc("2026-12-25T23:00"), DAY),
        (utc("2026-12-26T23:00"), NIGHT),
    ]


def test_a_night_belongs_to_the_days_on_which_its_hours_lie() -> None:
    bands = (
        Band(NIGHT, ("22:00-06:00",), ("mon-fri",)),
        Band(DAY, ("06:00-22:00",), ("mon-fri",)),
        Band(Fraction(1), days=("sat", "sun")),
    )
    tariff = Tariff((Version(date(2020, 1, 1), bands),))
    friday_22, monday_6 = utc("2026-06-05T20:00"), utc("2026-06-08T04:00")
    found = list(price_segments(tariff, friday_22, monday_6, BERLIN))
    assert [((one.end_ms - one.start_ms) // (60 * MINUTE_MS), one.price) for one in found] == [
        (2, NIGHT),
        (48, Fraction(1)),
        (6, NIGHT),
    ]


@pytest.mark.parametrize("year", [2026, 2027, 2028])
def test_a_season_begins_and_ends_on_its_dates_in_leap_years_and_others(year: int) -> None:
    bands = (Band(DAY, seasons=("03-01..09-30",)), Band(NIGHT, seasons=("10-01..02-29",)))
    tariff = Tariff((Version(date(2020, 1, 1), bands),))
    found = list(price_segments(tariff, utc(f"{year}-01-01T00:00"), utc(f"{year + 1}-01-01T00:00"), BERLIN))
    last_of_february = 29 if year == 2028 else 28
    assert [(one.end_ms, one.price) for one in found] == [
        (utc(f"{year}-02-{last_of_february}T23:00"), NIGHT),
        (utc(f"{year}-09-30T22:00"), DAY),
        (utc(f"{year + 1}-01-01T00:00"), NIGHT),
    ]


def test_one_price_always_is_one_segment() -> None:
    start, end = utc("2025-01-01T00:00"), utc("2026-01-01T00:00")
    assert list(price_segments(flat(DAY), start, end, BERLIN)) == [PriceSegment(start, end, DAY)]


def test_what_lies_before_the_first_version_has_no_price() -> None:
    tariff = flat(DAY, since=date(2026, 1, 1))
    with pytest.raises(ValueError, match="begins on 2026-01-01: there is no price for 2025-12-31"):
        list(price_segments(tariff, utc("2025-12-31T22:00"), utc("2026-01-02T00:00"), BERLIN))
    # In the zone it is 2026 already.
    assert len(list(price_segments(tariff, utc("2025-12-31T23:00"), utc("2026-01-02T00:00"), BERLIN))) == 1


def test_a_tariff_at_fault_is_refused_before_anything_is_priced() -> None:
    tariff = Tariff((Version(date(2026, 1, 1), (Band(DAY, ("06:00-22:00",)),)),))
    with pytest.raises(ValueError, match=r"versions\.0\.bands: no price on any day 00:00-06:00"):
        price_segments(tariff, 0, 1, BERLIN)


def test_floats_are_refused() -> None:
    with pytest.raises(TypeError, match="price must be an int or a Fraction, not float"):
        Band(0.3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="end_ms must be an int, not float"):
        price_segments(flat(DAY), 0, 1e12, BERLIN)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="before it begins"):
        price_segments(flat(DAY), 2, 1, BERLIN)


def test_a_year_of_two_bands_takes_well_under_a_second() -> None:
    tariff, times = day_and_night(DAY, NIGHT), []
    for _ in range(3):
        began = time.process_time()
        found = list(price_segments(tariff, utc("2025-12-31T23:00"), utc("2026-12-31T23:00"), BERLIN))
        times.append(time.process_time() - began)
    assert len(found) == 2 * 365 + 1
    assert sorted(times)[1] < 0.3


def test_no_zone_changes_its_clocks_twice_in_a_day() -> None:
    """What ``offset_spans`` relies on: read from the zone files themselves, without zoneinfo."""
    looked_at, shortest = 0, 10**9
    for name in sorted(available_timezones()):
        file = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
        if not file.is_file():
            continue
        data = file.read_bytes()
        _, _, leaps, times, types, chars = struct.unpack(">6l", data[20:44])
        at = 44 + times * 5 + types * 6 + chars + leaps * 8 + sum(struct.unpack(">2l", data[20:28]))
        _, _, _, times, types, _ = struct.unpack(">6l", data[at + 20 : at + 44])
        at += 44
        moments = struct.unpack(f">{times}q", data[at : at + 8 * times])
        kinds = data[at + 8 * times : at + 9 * times]
        offsets = [
            struct.unpack(">l", data[n : n + 4])[0] for n in range(at + 9 * times, at + 9 * times + 6 * types, 6)
        ]
        offset, changed = offsets[0], None
        for moment, kind in zip(moments, kinds, strict=True):
            if offsets[kind] != offset:
                shortest = min(shortest, moment - changed if changed is not None else shortest)
                offset, changed = offsets[kind], moment
        looked_at += 1
    assert looked_at > 400
    assert shortest > DAY_S
