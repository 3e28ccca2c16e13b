from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.periods import iso, month

ZONES = st.sampled_from(sorted(z for z in available_timezones() if "/" in z and not z.startswith("Etc/")))
MONTHS = st.tuples(st.integers(1975, 2035), st.integers(1, 12))


def local(ms: int, zone: ZoneInfo) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).astimezone(zone)


def test_a_half_hour_zone() -> None:
    period = month("2026-10", ZoneInfo("Asia/Kolkata"))
    assert period.start_iso == "2026-10-01T00:00:00+05:30"
    assert period.end_iso == "2026-11-01T00:00:00+05:30"
    assert period.end_ms - period.start_ms == 31 * 24 * 3_600_000


def test_the_offset_changes_within_a_month() -> None:
    period = month("2026-10", ZoneInfo("Europe/Berlin"))
    assert (period.start_iso, period.end_iso) == ("2026-10-01T00:00:00+02:00", "2026-11-01T00:00:00+01:00")
    assert period.end_ms - period.start_ms == (31 * 24 + 1) * 3_600_000


def test_a_day_that_has_no_midnight() -> None:
    # Paraguay's clocks went from 23:59:59 on 30 September 2017 to 01:00.
    zone = ZoneInfo("America/Asuncion")
    assert month("2017-10", zone).start_iso == "2017-10-01T01:00:00-03:00"
    assert month("2017-09", zone).end_ms == month("2017-10", zone).start_ms


def test_a_midnight_that_comes_twice_begins_the_month_the_first_time() -> None:
    # Cuba's clocks go back from 01:00 to 00:00 on 1 November 2026.
    assert month("2026-11", ZoneInfo("America/Havana")).start_iso == "2026-11-01T00:00:00-04:00"


@given(MONTHS, ZONES)
def test_months_abut_and_begin_when_the_local_date_does(which: tuple[int, int], name: str) -> None:
    zone, (year, number) = ZoneInfo(name), which
    period = month(f"{year}-{number:02}", zone)
    following = month(f"{year + number // 12}-{number % 12 + 1:02}", zone)
    assert period.end_ms == following.start_ms
    first, before = local(period.start_ms, zone), local(period.start_ms - 1, zone)
    assert (first.year, first.month) == (year, number)
    assert (before.year, before.month) != (year, number)


@pytest.mark.parametrize("text", ["", "2026", "2026-13", "2026-00", "2026-1", "26-10", "2026-10-01", "1969-12"])
def test_what_is_no_month_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="2026-10"):
        month(text, ZoneInfo("UTC"))


def test_a_moment_has_its_own_offset() -> None:
    assert iso(1_793_471_400_000, ZoneInfo("Asia/Kolkata")) == "2026-11-01T00:00:00+05:30"
