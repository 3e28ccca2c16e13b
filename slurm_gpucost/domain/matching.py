"""Which attempt of a job a hook event or a controller row belongs to. Pure."""

from __future__ import annotations

from slurm_gpucost.domain.evidence import ControllerRow, HookEvent
from slurm_gpucost.domain.records import Attempt
from slurm_gpucost.domain.units import OPEN_END_MS

HOOK_SLACK_MS = 120_000
"""How far a node's clock may be behind the controller's."""
PROLOG_LATE_MS = 5_000
"""How far after an attempt's end its prolog may lie: it runs a second after Start, and a job can be shorter."""
TRUNCATION_MS = 1000
"""Slurm truncates to seconds: a prolog runs 0.01-1.05 s after Start (seen on 22.05, 24.11, 26.05)."""


def match_hook(event: HookEvent, attempts: list[Attempt]) -> int | None:
    """The attempt that a hook belongs to. Restart counts do not help: an epilog already shows the next number.

    An exact SLURM_JOB_START_TIME decides; else a prolog belongs to the attempt that had last started, an epilog
    to the one that had last ended, or still ran, at its time.
    """
    started = [
        (i, a.start_ms, OPEN_END_MS if a.end_ms is None else a.end_ms)
        for i, a in enumerate(attempts)
        if a.start_ms is not None
    ]
    for i, start, _ in started:
        if start == event.job_start_ms:
            return i
    ranked = (_rank_prolog if event.hook == "prolog" else _rank_epilog)(event, started)
    return min(ranked)[-1] if ranked else None


def _rank_prolog(event: HookEvent, started: list[tuple[int, int, int]]) -> list[tuple[int, ...]]:
    """A prolog after an attempt's end is the next one's, of which the accounting may not have told yet."""
    if event.job_start_ms is not None:  # the controller's clock, to the second
        at, early, late = event.job_start_ms, TRUNCATION_MS, 0
    else:
        at, early, late = event.at_ms, HOOK_SLACK_MS, PROLOG_LATE_MS
    return [
        (start > at + TRUNCATION_MS, abs(at - start), i)
        for i, start, end in started
        if start - early <= at <= end + late
    ]


def _rank_epilog(event: HookEvent, started: list[tuple[int, int, int]]) -> list[tuple[int, ...]]:
    """An epilog can be late by as long as processes ignore SIGTERM, or a node is away."""
    return [
        (event.at_ms < end, abs(event.at_ms - end), i)
        for i, start, end in started
        if start - HOOK_SLACK_MS <= event.at_ms
    ]


def match_controller(row: ControllerRow, attempts: list[Attempt]) -> int | None:
    """By submit time; a resized job's later rows have a Submit of their own, so else by the time of looking."""
    for i, a in enumerate(attempts):
        if a.submit_ms == row.submit_ms and a.witness != "hooks":
            return i
    for i, a in enumerate(attempts):
        if a.start_ms is None or a.witness == "hooks":
            continue
        if a.start_ms <= row.observed_at_ms and (a.end_ms is None or row.observed_at_ms <= a.end_ms + TRUNCATION_MS):
            return i
    return None
