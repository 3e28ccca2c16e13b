"""The time grammar against what Slurm's own parser answers, and against libc's calendar."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_gpucost.domain.errors import UsageError
from slurm_gpucost.domain.timegrammar import parse_time

BERLIN = ZoneInfo("Europe/Berlin")
NOW = 1795439130
"""2026-11-23T14:05:30 in Berlin."""

# What parse_time() of Slurm 26.05 answered with this clock in TZ=Europe/Berlin: its source was compiled by itself
# and asked. First with past=1 (sacct, sreport), then with past=0 (sbatch --begin).
SLURM_SAYS = """
    now                 | 1795439130 1795439130
    now-7days           | 1794834330 1794834330
    now-1hour           | 1795435530 1795435530
    NOW-1Hours          | 1795435530 1795435530
    now+90              | 1795439220 1795439220
    now+2weeks          | 1796648730 1796648730
    now-3minutes        | 1795438950 1795438950
    now - 1 day         | 1795352730 1795352730
    now-12seconds       | 1795439118 1795439118
    today               | 1795388400 1795388400
    tomorrow            | 1795474800 1795474800
    midnight            | 1795388400 1795474800
    noon                | 1795431600 1795518000
    elevenses           | 1795428000 1795514400
    fika                | 1795442400 1795442400
    teatime             | 1795446000 1795446000
    today-09:30         | 1795422600 1795422600
    noon tomorrow       | 1795518000 1795518000
    todaynoon           | 1795431600 1795431600
    09:30               | 1795422600 1795509000
    14:05               | 1795439100 1795525500
    14:06               | 1795439160 1795439160
    23:59:59            | 1795474799 1795474799
    9:30                | 1795422600 1795509000
    9:30pm              | 1795465800 1795465800
    12:00AM             | 1795388400 1795474800
    12:30 pm            | 1795433400 1795519800
    00:30PM             | 1795433400 1795519800
    1001                | 1790805600 1822341600
    1123                | 1795388400 1826924400
    1124                | 1795474800 1795474800
    1231                | 1767135600 1798671600
    100125              | 1759269600 1759269600
    10/01               | 1790805600 1822341600
    10/01/25            | 1759269600 1759269600
    10.01               | 1790805600 1822341600
    10.01.25            | 1759269600 1759269600
    1/5                 | 1767567600 1799103600
    1001-12:00          | 1790848800 1822384800
    10/01/25-12:00:01   | 1759312801 1759312801
    2026-10-01          | 1790805600 1790805600
    2026-10-01T12:00    | 1790848800 1790848800
    2026-10-01T12:00:59 | 1790848859 1790848859
    2026-10-01 12:00    | 1790848800 1790848800
    12:00 2026-10-01    | 1790848800 1790848800
    2026-10-1           | 1790805600 1790805600
    uts1790000000       | 1790000000 1790000000
    UTS1790000000       | 1790000000 1790000000
"""
SLURM_REFUSES = [
    "131",
    "13:00pm",
    "13:00am",
    "24:00",
    "12:60",
    "2026-13-01",
    "2026-10",
    "2026-10-01T12",
    "10/01/2026",
    "0001",
    "1332",
    "15",
    "now-",
    "now-1min",
    "now-1h",
    "now-days",
    "10am",
    "monday",
    "uts99",
    "uts",
    "2026-10-01T12:00Z",
    "2026-10-01T12:00:00.5",
    "+1hour",
    "1 day",
]


def _row(line: str) -> tuple[str, int, int]:
    text, _, answers = line.partition("|")
    past, future = answers.split()
    return text.strip(), int(past), int(future)


TABLE = [_row(line) for line in SLURM_SAYS.strip().splitlines()]


def parse(text: str, now: int = NOW, zone: ZoneInfo = BERLIN, *, past: bool = True) -> int:
    ms = parse_time(text, now * 1000 + 789, zone, "--starttime", past=past)
    assert ms % 1000 == 0
    return ms // 1000


def local(text: str, zone: ZoneInfo = BERLIN) -> int:
    """Seconds of an ISO time with an offset, or local where it has none."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp())


@pytest.mark.parametrize(("text", "past", "future"), TABLE, ids=[row[0] for row in TABLE])
def test_answers_as_slurm_does(text: str, past: int, future: int) -> None:
    assert (parse(text), parse(text, past=False)) == (past, future)


@pytest.mark.parametrize("text", SLURM_REFUSES)
def test_refuses_what_slurm_refuses(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith(f"--starttime '{text}': ")
    assert "now-7days" in str(caught.value), "the message must show how to write it"


def test_the_message_names_the_units() -> None:
    with pytest.raises(UsageError, match="seconds, minutes, hours, days or weeks in full"):
        parse("now-3h")
    with pytest.raises(UsageError, match="a month needs a day"):
        parse("2026-10")


@pytest.mark.parametrize(
    "text", ["", "  ", "-", "T", "now-1day noon", "noon 12:00", "today tomorrow", "uts" + "9" * 5000]
)
def test_refuses_nothing_and_contradictions(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


def test_a_bare_clock_time_is_todays_even_where_it_is_to_come() -> None:
    assert parse("23:00") == local("2026-11-23T23:00")
    assert parse("23:00", past=False) == local("2026-11-23T23:00")
    assert parse("13:00", past=False) == local("2026-11-24T13:00")


def test_days_that_do_not_exist_are_refused_not_moved_on() -> None:
    for text in ("2026-02-29", "0230", "02/29/27", "2026-04-31T10:00"):
        with pytest.raises(UsageError, match="there is no day"):
            parse(text)
    assert parse("2028-02-29") == local("2028-02-29")


def test_words_in_any_case_and_yesterday() -> None:
    assert parse("Today") == parse("TODAY") == local("2026-11-23")
    assert parse("Teatime") == local("2026-11-23T16:00")
    assert parse("yesterday") == local("2026-11-22")
    assert parse("yesterday-14:00") == local("2026-11-22T14:00")


def test_a_skipped_time_is_later_by_what_was_skipped() -> None:
    assert parse("2026-03-29T02:30") == local("2026-03-29T03:30+02:00")
    assert parse("2026-03-29T01:59:59") == local("2026-03-29T01:59:59+01:00")
    # Lord Howe's clocks move by half an hour.
    howe = ZoneInfo("Australia/Lord_Howe")
    assert parse("2026-10-04T02:15", zone=howe) == local("2026-10-04T02:45+11:00")


def test_a_midnight_that_does_not_exist_is_when_the_day_begins() -> None:
    assert parse("2026-03-08", zone=ZoneInfo("America/Havana")) == local("2026-03-08T01:00-04:00")


def test_a_time_that_happens_twice_is_the_first() -> None:
    first = local("2026-10-25T02:30+02:00")
    assert parse("2026-10-25T02:30") == first
    assert parse(f"uts{first + 3600}") == local("2026-10-25T02:30+01:00")


def test_now_is_exact_in_the_repeated_hour() -> None:
    second = local("2026-10-25T02:30+01:00")
    assert parse("now", second) == second
    assert parse("now-1hour", second) == second - 3600


def test_tomorrow_is_the_next_day_of_the_calendar() -> None:
    # A day of 25 hours: 24 hours later it would still be the same day.
    assert parse("tomorrow", local("2026-10-25T00:10+02:00")) == local("2026-10-26")
    assert parse("tomorrow", local("2026-03-28T23:30")) == local("2026-03-29")


def test_new_years_eve() -> None:
    eve, new = local("2026-12-31T23:59:59"), local("2027-01-01")
    assert parse("tomorrow", eve) == new
    assert parse("1231", new) == local("2026-12-31")
    assert parse("0101", eve, past=False) == new


@pytest.mark.parametrize(
    "text", ["now-99999weeks", "now+9999999999999999999999weeks", "9999-01-01", "1969-12-31", "uts999999999999"]
)
def test_outside_of_the_years_that_can_be_meant(text: str) -> None:
    with pytest.raises(UsageError, match="1970 to 9998"):
        parse(text)


def test_the_epoch_as_everything() -> None:
    assert parse("1970-01-01", zone=ZoneInfo("Asia/Kolkata")) == -19800


CALENDAR = datetime(1990, 1, 1), datetime(2037, 12, 31)  # noqa: DTZ001 (local times)
UNITS = {"": 1, "second": 1, "minutes": 60, "hour": 3600, "days": 86400, "weeks": 604800}
NOWS = st.integers(1_600_000_000, 2_000_000_000)
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo"]
)


@settings(deadline=None)
@given(NOWS, st.integers(0, 5000), st.sampled_from(sorted(UNITS)), st.sampled_from("+-"), ZONES)
def test_now_and_a_count(now: int, count: int, unit: str, sign: str, zone: str) -> None:
    wanted = now + (1 if sign == "+" else -1) * count * UNITS[unit]
    if wanted > 0:
        assert parse(f"now{sign}{count}{unit}", now, ZoneInfo(zone)) == wanted


@settings(deadline=None)
@given(NOWS, st.datetimes(*CALENDAR), ZONES)
def test_a_full_time_is_what_libc_says(now: int, moment: datetime, zone: str) -> None:
    text = moment.replace(microsecond=0).isoformat()
    seconds = parse(text, now, ZoneInfo(zone))
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    time.tzset()
    try:
        said = time.localtime(seconds)
        candidates = {
            int(time.mktime((*moment.timetuple()[:6], 0, 0, dst)))
            for dst in (0, 1, -1)
            if time.localtime(time.mktime((*moment.timetuple()[:6], 0, 0, dst)))[:6] == moment.timetuple()[:6]
        }
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()
    if candidates:
        assert said[:6] == moment.timetuple()[:6]
        assert seconds == min(candidates), "the first of the two"
    else:
        shown = datetime(*said[:6])  # noqa: DTZ001 (local times)
        assert shown - moment.replace(microsecond=0) in (timedelta(hours=1), timedelta(minutes=30))


@settings(deadline=None)
@given(st.text(max_size=30) | st.text("now-+T:0123456789 /.apmdhstoy", max_size=20), st.booleans())
def test_any_text_is_a_time_or_a_clear_error(text: str, past: bool) -> None:
    try:
        ms = parse_time(text, NOW * 1000, BERLIN, "start=", past=past)
    except UsageError as error:
        assert str(error).startswith("start= ")
    else:
        assert -86_400_000 < ms < 253_370_764_800_000


@settings(deadline=None)
@given(NOWS, st.integers(0, 23), st.integers(0, 59), ZONES)
def test_the_next_clock_time_lies_ahead_and_within_a_day(now: int, hour: int, minute: int, zone: str) -> None:
    seconds = parse(f"{hour}:{minute:02}", now, ZoneInfo(zone), past=False)
    assert -60 < seconds - now <= 26 * 3600
    today = datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(zone)).date()
    was = (
        datetime.fromtimestamp(parse(f"{hour}:{minute:02}", now, ZoneInfo(zone)), UTC).astimezone(ZoneInfo(zone)).date()
    )
    assert was == today
