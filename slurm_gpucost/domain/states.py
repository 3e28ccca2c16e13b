"""sacct's -s: names of states, and what each means about a window.

As sacct(1) and slurmdbd have it: running is every attempt that ran inside the window, whatever became of it since;
pending every one that waited inside it; an end state is one that was reached inside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from slurm_gpucost.domain.errors import UsageError

CODES = {
    "BF": "BOOT_FAIL", "CA": "CANCELLED", "CD": "COMPLETED", "DL": "DEADLINE", "F": "FAILED", "NF": "NODE_FAIL",
    "OOM": "OUT_OF_MEMORY", "PD": "PENDING", "PR": "PREEMPTED", "R": "RUNNING", "RQ": "REQUEUED", "RS": "RESIZING",
    "RV": "REVOKED", "S": "SUSPENDED", "TO": "TIMEOUT",
}  # fmt: skip


def names(values: Iterable[str]) -> list[str]:
    """Long names of codes or names in any case. Raises UsageError for what is none."""
    found: list[str] = []
    for value in values:
        name = CODES.get(value.upper(), value.upper())
        if name not in CODES.values():
            known = ", ".join(f"{long} ({code})" for code, long in CODES.items())
            raise UsageError(f"-s {value}: no such state; there are {known}")
        found.append(name)
    return found


def matches(attempt: Mapping[str, Any], wanted: Iterable[str], start: int, end: int) -> bool:
    """Whether an attempt that overlaps [start, end), in seconds, was in one of ``wanted`` there."""
    return any(_was(attempt, name, start, end) for name in wanted)


def _was(attempt: Mapping[str, Any], name: str, start: int, end: int) -> bool:
    began, ended = attempt["start"], attempt["end"]
    if name == "RUNNING":
        return began is not None and began < end and (ended > start if ended is not None else True)
    if name == "PENDING":
        eligible = attempt["eligible"]
        return eligible is not None and eligible < end and (began is None or began > start)
    if name == "SUSPENDED":
        return bool(attempt["state"] == name)
    return attempt["state"] == name and ended is not None and start <= ended <= end
