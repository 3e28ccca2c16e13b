"""The attempts of a job as hooks can know them: which run it was, from when to when, on which nodes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

from slurm_gpucost.domain.evidence import HookEvent
from slurm_gpucost.domain.records import Attempt
from slurm_gpucost.domain.units import OPEN_END_MS

HOOK_SLACK_MS = 120_000
"""How far a node's clock may be behind the controller's."""
PROLOG_LATE_MS = 5_000
"""How far after an attempt's start a prolog may lie that is sure to be its own, be it shorter than that."""
PROLOG_SOON_MS = 1_100
"""A prolog runs 0.01-1.05 s after Start, which Slurm truncates to seconds (seen on 22.05, 24.11, 26.05)."""


class Run(NamedTuple):
    """An attempt as hooks can know it."""

    place: int
    """In the list of attempts."""
    number: int | None
    """How often the job had been restarted before it; None: the accounting does not have all runs before it."""
    began_ms: int
    end_ms: int
    """Where nobody says: when the job was submitted anew, for it has one run at a time."""
    last: bool
    died: bool
    """With its node: then the epilog waits until that returns."""
    open: bool
    """Nobody says when it ended."""
    resized: bool
    nodes: frozenset[str]
    """Empty: nobody says."""

    def on(self, node: str) -> bool:
        """It may have run there."""
        return not self.nodes or node in self.nodes

    def may_begin(self, at_ms: int) -> bool:
        """With a clock that is behind, its prolog may be of this time: it runs about a second after the start, or later
        while it runs (without PrologFlags=Alloc).
        """
        latest = max(self.end_ms + PROLOG_SOON_MS, self.began_ms + PROLOG_LATE_MS)
        return self.began_ms - HOOK_SLACK_MS <= at_ms <= latest

    def near_end(self, at_ms: int) -> bool:
        """With a clock that is off, at this time it may have ended."""
        return abs(at_ms - self.end_ms) <= HOOK_SLACK_MS


def runs_of(attempts: Sequence[Attempt], nodes: Sequence[frozenset[str]]) -> list[Run]:
    """Those that began, in order of Submit."""
    found: list[Run] = []
    order = sorted(range(len(attempts)), key=lambda i: (attempts[i].submit_ms, i))
    number: int | None = 0
    for i, after in zip_longest(order, order[1:]):
        attempt = attempts[i]
        began = began_ms(attempt)
        again = OPEN_END_MS if after is None else attempts[after].submit_ms
        end = again if attempt.end_ms is None else attempt.end_ms
        if began is not None:
            died, resized = attempt.state == "NODE_FAIL", attempt.state == "RESIZING"
            is_open = attempt.end_ms is None
            found.append(Run(i, number, began, max(began, end), after is None, died, is_open, resized, nodes[i]))
        if attempt.state != "RESIZING":
            number = number + 1 if number is not None and _follows(attempt, again) else None
    return found


def run_numbers(attempts: Sequence[Attempt]) -> list[int]:
    """Which run of its job each attempt is, from 1; they are in order of Submit.

    One that was not submitted where the one before it ended is another job that got the same id, or rows are missing.
    """
    found, number = [], 1
    for attempt, after in zip_longest(attempts, attempts[1:]):
        found.append(number)
        if after is not None and attempt.state != "RESIZING":
            number = number + 1 if _follows(attempt, after.submit_ms) else 1
    return found


def _follows(attempt: Attempt, again_ms: int) -> bool:
    return attempt.end_ms is None or again_ms - attempt.end_ms <= HOOK_SLACK_MS


def began_ms(attempt: Attempt) -> int | None:
    """22.05 books no Start for a run that was requeued within a second or two, yet its hooks ran: after its Submit."""
    if attempt.start_ms is None and attempt.state == "REQUEUED" and attempt.end_ms is not None:
        return attempt.submit_ms
    return attempt.start_ms


def renumbered(runs: list[Run], prologs: Sequence[HookEvent]) -> list[Run]:
    """The accounting may not have a job's first runs, or not have told yet that two rows are one run that changed its
    size: the numbers count with which most prologs fit, the least change of equals.

    One that fits to the second counts twice. Only for prologs that do not tell their run's start.
    """
    told = [event for event in prologs if event.job_start_ms is None and event.restart_count is not None]
    best, shift = 0, 0
    shifts = {(event.restart_count or 0) - (run.number or 0) for event in told for run in runs}
    for more in sorted(shifts, key=lambda more: (abs(more), more)):
        off = [
            min((e.at_ms - run.began_ms for e in told if _counts_as(e, run, more)), key=abs, default=None)
            for run in runs
        ]
        score = sum(1 + (0 <= ms <= PROLOG_SOON_MS) for ms in off if ms is not None)
        if score > best:
            best, shift = score, more
    return [run._replace(number=None if run.number is None else run.number + shift) for run in runs]


def _counts_as(event: HookEvent, run: Run, more: int) -> bool:
    fits = run.number is not None and event.restart_count == run.number + more
    return fits and run.may_begin(event.at_ms) and run.on(event.node)
