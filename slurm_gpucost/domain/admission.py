"""Which rows of a node can be facts: values within what machines have, times within what clocks show. Pure.

A row beyond them is set aside. It would spoil sums (SQLite's end in an error when they overflow), or keep the
projection busy for hours; no real hook or driver writes one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_type_hints

from slurm_gpucost.domain.evidence import HookEvent
from slurm_gpucost.domain.readings import COUNTER, MOST_COUNTER_MJ, MOST_MEMORY_BYTES, POWER, Window
from slurm_gpucost.domain.units import HOUR_MS
from slurm_gpucost.domain.wire import TABLES

EARLIEST_MS = 946_684_800_000
"""2000-01-01: before it a clock was not set."""
LATEST_AHEAD_MS = 86_400_000
LONGEST_TEXT = 8_192
LONGEST_DIGEST = 32
MOST_INDEXES = 1_024
"""GRES indexes that a hook can name."""
_MOST_NUMBER = 10**18
_MOST_MJ = 20_000 * 3_600_000
"""20 kW for an hour."""
_MOST_MIB = 1 << 24
_SMALL = 1 << 16
_MOST = {
    "energy_mj": _MOST_MJ,
    "sm_percent_ms": 100 * HOUR_MS,
    "memctl_percent_ms": 100 * HOUR_MS,
    "memory_used_mib_ms": _MOST_MIB * HOUR_MS,
    "memory_used_peak_mib": _MOST_MIB,
    "energy_uncertainty_permille": 1_000,
    "energy_counter_start_mj": MOST_COUNTER_MJ,
    "energy_counter_end_mj": MOST_COUNTER_MJ,
    "energy_restarted": 1,
    "temperature_c_ms": 1_000 * HOUR_MS,
    "temperature_peak_c": 1_000,
    "gres_index": _SMALL,
    "minor": _SMALL,
    "nvml_index": _SMALL,
    "memory_bytes": MOST_MEMORY_BYTES,
    "mig_mode": 1,
    "gpu_instance": _SMALL,
    "compute_instance": _SMALL,
    "gpu_slices": _SMALL,
    "compute_slices": _SMALL,
    "slices_of": _SMALL,
    "memory_mib": _MOST_MIB,
    "memory_peak_mib": _MOST_MIB,
}
"""By column; others can be as large as the text of a hook's number."""
_MOMENTS = frozenset("at_ms job_start_ms start_ms end_ms observed_at_ms first_seen_ms last_seen_ms".split())
_Limit = tuple[str, bool, int, int, str]
"""(column, whether its length counts, least, most, what is wrong beyond them)."""


class Admission:
    """The bounds as of a moment; ``fault`` says what is wrong with a row, '' where nothing is."""

    def __init__(self, now_ms: int) -> None:
        self._limits = {table: _limits(record, now_ms) for table, record in TABLES.items()}

    def fault(self, table: str, row: Any) -> str:
        """What no row of that table can be."""
        for value, (column, is_long, least, most, wrong) in zip(row, self._limits[table], strict=True):
            if value is not None and not least <= (len(value) if is_long else value) <= most:
                return f"{column} {wrong}"
        check = _CHECKS.get(table)
        return check(row) if check else ""


def is_time(at_ms: int, now_ms: int) -> bool:
    """Whether a clock can have shown it."""
    return EARLIEST_MS <= at_ms <= now_ms + LATEST_AHEAD_MS


def _limits(record: Any, now_ms: int) -> list[_Limit]:
    hints = get_type_hints(record)
    return [_limit(column, hints[column], now_ms) for column in record._fields]


def _limit(column: str, hint: Any, now_ms: int) -> _Limit:
    if hint in (bytes, bytes | None):
        return column, True, 1, LONGEST_DIGEST, f"is no digest of 1 to {LONGEST_DIGEST} bytes"
    if hint in (str, str | None):
        return column, True, 0, LONGEST_TEXT, f"is longer than {LONGEST_TEXT} characters"
    if column in _MOMENTS:
        return column, False, EARLIEST_MS, now_ms + LATEST_AHEAD_MS, "is before 2000, or more than a day ahead"
    most = _MOST.get(column, HOUR_MS if column.endswith("_ms") else _MOST_NUMBER)
    return column, False, 0, most, f"is not within 0 and {most}"


def _window(row: Window) -> str:
    if not 0 < row.end_ms - row.start_ms <= HOUR_MS:
        return "end_ms is not within an hour after start_ms"
    return "" if row.energy_source in (COUNTER, POWER, "") else "energy_source is not known here"


def _hook(row: HookEvent) -> str:
    if row.hook not in ("prolog", "epilog"):
        return "hook is neither prolog nor epilog"
    return f"job_gpus names more than {MOST_INDEXES} indexes" if _indexes(row.job_gpus or "") > MOST_INDEXES else ""


def _indexes(text: str) -> int:
    """How many indexes ``0,2-4`` names at most; made of it without making them."""
    count = 0
    for part in text.split(","):
        low, dash, high = part.partition("-")
        if dash and len(part) <= 40 and part.isascii() and low.isdigit() and high.isdigit():
            count += max(0, int(high) - int(low))
        count += 1
    return count


_CHECKS: dict[str, Callable[[Any], str]] = {
    "usage_window": _window,
    "hook_event": _hook,
    "device_process": lambda row: (
        "" if row.first_seen_ms <= row.last_seen_ms else "last_seen_ms is before first_seen_ms"
    ),
}
