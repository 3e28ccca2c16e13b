"""The times of an accounting row: epoch seconds or ISO local, to milliseconds UTC.

Where the clock repeats an hour, ElapsedRaw decides between the two; what it cannot decide is broken, not guessed.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

_NO_TIME = frozenset(("", "Unknown", "None", "0", "N/A"))
_SUSPENDED = re.compile(r"(?:(\d{1,6})-)?(?:(\d{1,6}):)?(\d{1,6}):(\d{1,6})(?:\.\d+)?$", re.ASCII)


class BrokenRow(ValueError):
    """A line that cannot be taken; the message says why and what to do."""


def is_number(text: str) -> bool:
    """ASCII digits of a number that fits the ledger, in milliseconds too."""
    return text.isdigit() and text.isascii() and len(text) <= 15


def duration_ms(text: str) -> int:
    """``[DD-[HH:]]MM:SS`` in milliseconds; '' is 0."""
    if text in ("", "00:00:00"):
        return 0
    found = _SUSPENDED.match(text)
    if not found:
        raise BrokenRow(f"'{text}' is no duration of the form [DD-[HH:]]MM:SS")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000


def times_ms(text: str, zone: ZoneInfo) -> tuple[int, ...]:
    """What ``text`` can mean, in ms UTC: () for no time, one instant, or two for an hour that the clock repeats."""
    if text in _NO_TIME:
        return ()
    if is_number(text):
        return (int(text) * 1000,)
    return _local_times(text, zone)


@lru_cache(maxsize=65536)
def _local_times(text: str, zone: ZoneInfo) -> tuple[int, ...]:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BrokenRow(f"'{text}' is neither epoch seconds nor a time like 2026-10-01T12:00:00") from None
    if moment.tzinfo is not None:
        return (int(moment.timestamp()) * 1000,)
    first = int(moment.replace(tzinfo=zone, fold=0).timestamp()) * 1000
    second = int(moment.replace(tzinfo=zone, fold=1).timestamp()) * 1000
    return (first,) if first >= second else (first, second)


def submit_ms(text: str, zone: ZoneInfo) -> int:
    """Submit, which is part of the row's key: it must be sure."""
    submits = times_ms(text, zone)
    if len(submits) == 1:
        return submits[0]
    if not submits:
        raise BrokenRow(f"Submit '{text}' is no time")
    raise BrokenRow(
        f"Submit {text} happened twice in {zone.key} (clocks went back), so the row has no sure key; "
        "`gpucost backfill --print-command` prints a command line that writes epoch times"
    )


def elapsed_ms(text: str) -> int:
    """ElapsedRaw."""
    if not is_number(text):
        raise BrokenRow(f"ElapsedRaw '{text}' is no number of seconds")
    return int(text) * 1000


def span_ms(
    start_text: str, end_text: str, elapsed: int, suspended: int, zone: ZoneInfo
) -> tuple[int | None, int | None]:
    """Start and End; ElapsedRaw decides where the clock repeats an hour."""
    if is_number(start_text) and is_number(end_text) and start_text != "0":
        start, end = int(start_text) * 1000, int(end_text) * 1000
        if end - start >= elapsed and end:
            return start, end
    starts, ends = times_ms(start_text, zone), times_ms(end_text, zone)
    if not starts:
        if elapsed:
            raise BrokenRow(f"ElapsedRaw is {elapsed // 1000} s without a Start")
        return None, ends[0] if ends else None
    if not ends:
        if len(starts) > 1:
            raise BrokenRow(
                f"Start {start_text} happened twice in {zone.key} and the job still runs; "
                "`gpucost backfill --print-command` prints a command line that writes epoch times"
            )
        return starts[0], None
    spans = [(s, e) for s in starts for e in ends]
    fitting = [(s, e) for s, e in spans if e - s == elapsed + suspended] or [
        (s, e) for s, e in spans if e - s >= elapsed
    ]
    if fitting:
        return fitting[0]
    if elapsed == 0:
        return None, ends[0]  # ended before it began: it never ran
    raise BrokenRow(f"ElapsedRaw {elapsed // 1000} s is longer than from Start {start_text} to End {end_text}")
