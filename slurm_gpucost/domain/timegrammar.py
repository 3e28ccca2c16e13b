"""Slurm's time grammar, as sacct's -S and -E and sreport's start= and end= take it.

Read off ``parse_time()`` in Slurm's src/common/parse_time.c (26.05) and sacct(1). What differs, on purpose:

- A day that does not exist (0230) is refused; Slurm takes the day so many days on.
- ``tomorrow`` is the next day of the calendar; Slurm adds 24 hours, which misses it where a day has 25.
- ``now`` stays exact in the hour that a clock change repeats; Slurm goes by way of local time.
- ``yesterday`` is ours. Words may be written in any case.

Local times and clock changes: a time that happens twice is the first of the two (``uts<seconds>`` names the other);
one that is skipped is as much later as the clock moves on, so 02:30 in a spring night means 03:30.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from slurm_gpucost.domain.errors import UsageError

_EXAMPLES = "like 2026-10-01T12:00, now-7days, midnight or 14:30"
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_DAYS = {"today": 0, "tomorrow": 1, "yesterday": -1}
_CLOCKS = {"midnight": 0, "elevenses": 11, "noon": 12, "fika": 15, "teatime": 16}
_NOW = re.compile(
    r"now\s*(?:(?P<sign>[+-])\s*(?P<count>\d+(?:\s*\d)*)\s*(?P<unit>(?:second|minute|hour|day|week)s?)?)?\s*",
    re.I | re.A,
)
_UTS = re.compile(r"uts(\d{1,20})", re.I | re.A)
_TOKEN = re.compile(
    r"(?P<separator>[ \t-]|T(?=[ \t\d-]|$))"
    rf"|(?P<day>{'|'.join(_DAYS)})"
    rf"|(?P<clock>{'|'.join(_CLOCKS)})"
    r"|(?P<hour>\d\d?+):(?P<minute>\d\d)(?::(?P<second>\d\d))?(?:\s*(?P<half>[ap]m))?"
    r"|(?P<iso>(?P<year>\d{4})-(?P<imonth>\d\d)-(?P<iday>\d\d?+))"
    r"|(?P<month>\d\d?+)[./]?(?P<mday>\d\d?+)(?:[./]?(?P<yy>\d\d))?+[./]?(?!\d)",
    re.I | re.A,
)  # fmt: skip
_FIRST_UTS = 1_000_000
_FIRST_YEAR, _LAST_YEAR = 1970, 9998
_LAST_SECOND = 253_370_764_800


class _NoTime(ValueError):
    """Why a text is no time."""


def parse_time(text: str, now_ms: int, zone: ZoneInfo, option: str, *, past: bool = True) -> int:
    """The moment that ``text`` means at ``now_ms``, as milliseconds UTC in whole seconds.

    ``past`` is how sacct and sreport read what is incomplete: a bare clock time is today's, even where it is yet to
    come; a date with no year lies in this year, or in the last where its month is after the present one. Without
    ``past`` it is the next such time to come (as sbatch --begin reads it). Raises UsageError naming ``option``.
    """
    stripped = text.strip()
    now = now_ms // 1000
    try:
        if found := _UTS.fullmatch(stripped):
            seconds = int(found[1])
            if seconds < _FIRST_UTS:
                raise _NoTime(f"uts takes seconds since 1970, at least {_FIRST_UTS}")
        elif found := _NOW.fullmatch(stripped):
            seconds = now + _offset(found)
        else:
            local = _local(stripped, datetime.fromtimestamp(now, UTC).astimezone(zone), past)
            seconds = int(local.replace(tzinfo=zone).timestamp())
        if not -86_400 < seconds < _LAST_SECOND:
            raise _NoTime(f"lies outside of the years {_FIRST_YEAR} to {_LAST_YEAR}")
    except _NoTime as error:
        raise UsageError(f"{option} '{text}': {error}; write {_EXAMPLES}") from None
    return seconds * 1000


def _offset(found: re.Match[str]) -> int:
    if not found["count"]:
        return 0
    count = int("".join(found["count"].split())[:20])
    unit = (found["unit"] or "second").lower().removesuffix("s")
    return count * _UNITS[unit] * (-1 if found["sign"] == "-" else 1)


def _local(text: str, now: datetime, past: bool) -> datetime:
    """The local time of a text made of a day, a clock time or both, in any order."""
    day: date | re.Match[str] | None = None
    clock: time | None = None
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found:
            raise _NoTime(_hint(text, at))
        if found["clock"] or found["hour"]:
            if clock is not None:
                raise _NoTime("has two clock times")
            clock = _clock(found)
        elif not found["separator"]:
            if day is not None:
                raise _NoTime("has two days")
            day = now.date() + timedelta(_DAYS[found["day"].lower()]) if found["day"] else found
        at = found.end()
    if clock is None and day is None:
        raise _NoTime("is empty")
    if day is None:
        assert clock is not None
        come = past or (clock.hour, clock.minute) > (now.hour, now.minute)
        day = now.date() if come else now.date() + timedelta(1)
    elif isinstance(day, re.Match):
        day = _date(day, now, clock or time(), past)
    return datetime.combine(day, clock or time())


def _clock(found: re.Match[str]) -> time:
    if found["clock"]:
        return time(_CLOCKS[found["clock"].lower()])
    hour, half = int(found["hour"]), (found["half"] or "").lower()
    if half == "pm":
        hour = 12 if hour == 12 else hour + 12
    elif half == "am" and hour == 12:
        hour = 0
    elif half == "am" and hour > 12:
        raise _NoTime(f"{found[0]} is no clock time")
    try:
        return time(hour, int(found["minute"]), int(found["second"] or 0))
    except ValueError:
        raise _NoTime(f"{found[0]} is no clock time") from None


def _date(found: re.Match[str], now: datetime, clock: time, past: bool) -> date:
    month, day = int(found["imonth"] or found["month"]), int(found["iday"] or found["mday"])
    if found["iso"]:
        year = int(found["year"])
        if not _FIRST_YEAR <= year <= _LAST_YEAR:
            raise _NoTime(f"lies outside of the years {_FIRST_YEAR} to {_LAST_YEAR}")
    elif found["yy"]:
        year = 2000 + int(found["yy"])
    elif past:
        year = now.year - (month > now.month)
    else:
        year = now.year + ((month, day, clock.hour, clock.minute) <= (now.month, now.day, now.hour, now.minute))
    try:
        return date(year, month, day)
    except ValueError:
        raise _NoTime(f"there is no day {day} of month {month} in {year}") from None


def _hint(text: str, at: int) -> str:
    if re.match(r"now", text, re.I):
        return "after now comes + or -, a number, and seconds, minutes, hours, days or weeks in full"
    if re.fullmatch(r"\d{4}-\d\d?", text):
        return "a month needs a day, too"
    return f"'{text[at:]}' is not understood" if at else "is no time"
