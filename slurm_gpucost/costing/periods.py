"""Billing periods: months in a zone, as milliseconds UTC, end exclusive."""

from __future__ import annotations

import re
from datetime import UTC, datetime
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
    return Period(_midnight(year, number, zone), _midnight(*following, zone), zone)


def _midnight(year: int, number: int, zone: ZoneInfo) -> int:
    return int(datetime(year, number, 1, tzinfo=zone).timestamp()) * 1000


def iso(ms: int, zone: ZoneInfo) -> str:
    """A moment as ISO 8601 to the second, with the zone's offset."""
    return datetime.fromtimestamp(ms // 1000, UTC).astimezone(zone).isoformat()
