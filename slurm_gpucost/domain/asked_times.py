"""The time that a question is about, as its asker wrote it, with the defaults of the Slurm command that it is like."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from slurm_gpucost.domain.errors import UsageError
from slurm_gpucost.domain.timegrammar import parse_time


def as_sacct(
    start: str | None, end: str | None, by_id: bool, by_state: bool, now_ms: int, zone: ZoneInfo
) -> tuple[int, int]:
    """[start, end) in ms UTC, with the defaults of sacct(1), DEFAULT TIME WINDOW.

    As in Slurm, an end that is the start or now includes that second.
    """
    now = now_ms // 1000 * 1000
    start_ms = None if start is None else parse_time(start, now_ms, zone, "-S")
    end_ms = None if end is None else parse_time(end, now_ms, zone, "-E")
    if by_state and end_ms is None and start_ms is not None:
        end_ms = start_ms
    if start_ms is None:
        start_ms = 0 if by_id else now if by_state else parse_time("midnight", now_ms, zone, "-S")
    if end_ms is None:
        end_ms = now
    if start_ms > end_ms:
        raise UsageError(f"-S {start or 'by default'} -E {end or 'by default'}: the start is after the end")
    return start_ms, end_ms + 1000 if end_ms in (start_ms, now) else end_ms


def as_sreport(start: str | None, end: str | None, now_ms: int, zone: ZoneInfo) -> tuple[int, int]:
    """[start, end) in ms UTC: yesterday by default; an end yet to come is now, as in sreport."""
    start_ms = parse_time(start or "yesterday", now_ms, zone, "start=")
    end_ms = min(parse_time(end or "today", now_ms, zone, "end="), now_ms // 1000 * 1000)
    if start_ms >= end_ms:
        raise UsageError(f"start={start or 'yesterday'} end={end or 'today'}: the start is not before the end")
    return start_ms, end_ms


def until(start: str | None, usual: str, end: str | None, now_ms: int, zone: ZoneInfo) -> tuple[int, int]:
    """[start, end) in ms UTC: from ``usual`` until now by default."""
    start_ms = parse_time(start or usual, now_ms, zone, "-S")
    end_ms = parse_time(end or "now", now_ms, zone, "-E")
    if start_ms >= end_ms:
        raise UsageError(f"-S {start or usual} -E {end or 'now'}: the start is not before the end")
    return start_ms, end_ms
