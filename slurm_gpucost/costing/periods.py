"""Billing periods: months in a zone, as milliseconds UTC, end exclusive."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


class Period(NamedTuple):
    """[start, end) in ms UTC, and the zone it was cut in."""

    start_ms: int
    end_ms: int
    zone: ZoneInfo

    @property
    def start_iso(self) -> str:
        """ISO 8601 with the zone's offset at that moment."""
        return iso(self.start_ms, self.zone)

    @property
    def end_iso(self) -> str:
        """ISO 8601 with the zone's offset at that moment; exclusive."""
        return iso(self.end_ms, self.zone)


def month(text: str, zone: ZoneInfo) -> Period:
    """The month ``YYYY-MM`` in ``zone``. Raises ValueError for text of another form.

    Where midnight of the first does not exist (a clock change then), the month begins when the clock moves on.
    """
    found = _MONTH.fullmatch(text)
    if not found or not 1970 <= int(found[1]) <= 9998:
        raise ValueError(f"'{text}' is no month; write YYYY-MM, like 2026-10")
    year, number = int(found[1]), int(found[2])
    following = (year + number // 12, number % 12 + 1)
    return Period(midnight(date(year, number, 1), zone), midnight(date(*following, 1), zone), zone)


def month_at(ms: int, zone: ZoneInfo) -> str:
    """The month of a moment, ``YYYY-MM``."""
    return datetime.fromtimestamp(ms // 1000, UTC).astimezone(zone).strftime("%Y-%m")


def midnight(day: date, zone: ZoneInfo) -> int:
    """The beginning of a local day in ms UTC; where the clock skips midnight, when it moves on."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1000


def iso(ms: int, zone: ZoneInfo) -> str:
    """A moment as ISO 8601 to the second, with the zone's offset."""
    return datetime.fromtimestamp(ms // 1000, UTC).astimezone(zone).isoformat()
