"""Moments as people read them: in the site's zone, to the second."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def local(seconds: int | None, zone: ZoneInfo, none: str = "Unknown") -> str:
    """Seconds UTC as sacct prints a time, like 2026-10-01T12:00:00; ``none`` where there is none."""
    if seconds is None:
        return none
    return datetime.fromtimestamp(seconds, UTC).astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S")


def with_offset(seconds: int | None, zone: ZoneInfo, none: str = "never") -> str:
    """Seconds UTC with the zone's offset, like 2026-10-01 12:00:00+02:00: no hour is ambiguous."""
    if seconds is None:
        return none
    return datetime.fromtimestamp(seconds, UTC).astimezone(zone).isoformat(sep=" ")


def length(seconds: int) -> str:
    """A length as sacct prints Elapsed: [days-]HH:MM:SS."""
    days, rest = divmod(seconds, 86_400)
    text = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}-{text}" if days else text
