"""Which attempt of a job a prolog or epilog belongs to, and whether it may say which devices that had. Pure.

A hook runs on a node of its attempt, and since 24.11 it tells the attempt's start. Before that there are its restart
count, its time on a clock that may be off, and the order of things on one node. Where those leave two attempts to
choose from, it is counted to the likelier one and names no device: a device is rather not known than another's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import NamedTuple

from slurm_gpucost.domain.evidence import HookEvent
from slurm_gpucost.domain.records import Attempt
from slurm_gpucost.domain.tres import parse_index_list
from slurm_gpucost.domain.units import OPEN_END_MS

HOOK_SLACK_MS = 120_000
"""How far a node's clock may be behind the controller's."""
PROLOG_LATE_MS = 5_000
"""How far after an attempt's end its prolog may lie: it runs a second after Start, and a job can be shorter."""
TRUNCATION_MS = 1000
"""Slurm truncates to seconds: a prolog runs 0.01-1.05 s after Start (seen on 22.05, 24.11, 26.05)."""


class _Run(NamedTuple):
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
    nodes: frozenset[str]
    """Empty: nobody says."""

    def on(self, node: str) -> bool:
        """It may have run there."""
        return not self.nodes or node in self.nodes


_Rank = tuple[int, ...] | None
"""How well a hook fits a run, the least best; None: not at all."""


def match_hooks(
    events: Iterable[HookEvent], attempts: Sequence[Attempt], nodes: Sequence[frozenset[str]]
) -> tuple[dict[int, list[HookEvent]], list[HookEvent]]:
    """Hooks by the place of their attempt, and those that are of none; both in order of time.

    ``nodes``: where each attempt ran; empty where nobody says. Hooks that may not say which devices an attempt had
    come without them.
    """
    runs = _runs(attempts, nodes)
    ordered = sorted({event.digest: event for event in events}.values(), key=lambda e: (e.at_ms, e.digest))
    prologs = [event for event in ordered if event.hook == "prolog"]
    epilogs = [event for event in ordered if event.hook != "prolog"]
    runs = _renumbered(runs, prologs)
    found = _assign(prologs, runs, _rank_prolog, _has_no_other_prolog)
    begun: dict[tuple[int, str], list[HookEvent]] = {}
    for event in prologs:
        if event.digest in found:
            begun.setdefault((found[event.digest].place, event.node), []).append(event)

    def rank(event: HookEvent, run: _Run) -> _Rank:
        return _rank_epilog(event, run, begun.get((run.place, event.node), []))

    ended = _assign(epilogs, runs, rank, _has_no_epilog)
    _end_the_rest(epilogs, runs, rank, ended)
    have: dict[tuple[int, str], list[HookEvent]] = {}
    for event in epilogs:
        if event.digest in ended:
            have.setdefault((ended[event.digest].place, event.node), []).append(event)
    lost = [event for event in prologs if event.digest not in found]
    matched: dict[int, list[HookEvent]] = {}
    strays: list[HookEvent] = []
    for event in ordered:
        run = (found if event.hook == "prolog" else ended).get(event.digest)
        if run is None:
            strays.append(event)
            continue
        if event.hook == "prolog":
            sure = all(_rank_prolog(other, run) is None for other in lost if other.node == event.node)
        else:
            rivals = [x for x in runs if x is not run and x.on(event.node) and rank(event, x) is not None]
            sure = _is_surely_of(event, run, rivals, {x.place: have.get((x.place, event.node), []) for x in runs})
        matched.setdefault(run.place, []).append(event if sure else event._replace(job_gpus=None, visible_devices=None))
    return matched, strays


def _runs(attempts: Sequence[Attempt], nodes: Sequence[frozenset[str]]) -> list[_Run]:
    found: list[_Run] = []
    order = sorted(range(len(attempts)), key=lambda i: (attempts[i].submit_ms, i))
    number: int | None = 0
    for i, after in zip_longest(order, order[1:]):
        attempt = attempts[i]
        began = _began_ms(attempt)
        again = OPEN_END_MS if after is None else attempts[after].submit_ms
        end = again if attempt.end_ms is None else attempt.end_ms
        if began is not None:
            died = attempt.state == "NODE_FAIL"
            found.append(_Run(i, number, began, max(began, end), after is None, died, nodes[i]))
        if attempt.state != "RESIZING":
            follows = attempt.end_ms is None or again - attempt.end_ms <= HOOK_SLACK_MS
            number = number + 1 if number is not None and follows else None
    return found


def _renumbered(runs: list[_Run], prologs: list[HookEvent]) -> list[_Run]:
    """The accounting may not have a job's first runs: the numbers count with which most prologs fit to the second."""
    shown = {event.restart_count or 0 for event in prologs if event.job_start_ms is None}
    best, shift = (0, 0), 0
    for more in sorted({count - (run.number or 0) for count in shown for run in runs}):
        near = [
            min((abs(e.at_ms - run.began_ms) for e in prologs if _counts_as(e, run, more)), default=None)
            for run in runs
        ]
        fits = [ms for ms in near if ms is not None]
        score = sum(ms <= 2 * TRUNCATION_MS for ms in fits), len(fits)
        if more >= 0 and score > best:
            best, shift = score, more
    return [run._replace(number=None if run.number is None else run.number + shift) for run in runs]


def _counts_as(event: HookEvent, run: _Run, more: int) -> bool:
    near = run.began_ms - HOOK_SLACK_MS <= event.at_ms <= run.end_ms + PROLOG_LATE_MS
    return near and run.number is not None and event.restart_count == run.number + more and run.on(event.node)


def _began_ms(attempt: Attempt) -> int | None:
    """22.05 books no Start for a run that was requeued within a second or two, yet its hooks ran: after its Submit."""
    if attempt.start_ms is None and attempt.state == "REQUEUED" and attempt.end_ms is not None:
        return attempt.submit_ms
    return attempt.start_ms


def _choices(event: HookEvent, runs: Sequence[_Run], rank: Callable[[HookEvent, _Run], _Rank]) -> list[_Run]:
    """The runs that it can be of, the best first."""
    ranked = [(rank(event, run), run.place, run) for run in runs if run.on(event.node)]
    return [run for best, _, run in sorted((one for one in ranked if one[0] is not None), key=lambda one: one[:2])]


def _assign(
    events: Sequence[HookEvent],
    runs: Sequence[_Run],
    rank: Callable[[HookEvent, _Run], _Rank],
    fits: Callable[[HookEvent, _Run, list[HookEvent], bool], bool],
) -> dict[bytes, _Run]:
    """Digest -> run, the best pairs first. ``fits``: can the run have it beside those others, as its first choice?"""
    pairs: list[tuple[tuple[int, ...], int, bytes, HookEvent, _Run, bool]] = []
    for event in events:
        for i, run in enumerate(_choices(event, runs, rank)):
            ranked = rank(event, run)
            assert ranked is not None
            pairs.append((ranked, run.place, event.digest, event, run, i == 0))
    found: dict[bytes, _Run] = {}
    have: dict[tuple[int, str], list[HookEvent]] = {}
    for _, place, digest, event, run, first in sorted(pairs, key=lambda pair: pair[:3]):
        others = have.setdefault((place, event.node), [])
        if digest not in found and fits(event, run, others, first):
            found[digest] = run
            others.append(event)
    return found


def _end_the_rest(
    epilogs: list[HookEvent], runs: list[_Run], rank: Callable[[HookEvent, _Run], _Rank], ended: dict[bytes, _Run]
) -> None:
    """Epilogs whose best run has one already. Runs end in order: where the one before has none, that has the first."""
    for event in epilogs:
        if event.digest in ended or not (choices := _choices(event, runs, rank)):
            continue
        run = choices[0]
        earlier = [x for x in runs if x.on(event.node) and x.began_ms < run.began_ms]
        before = max(earlier, key=lambda x: x.began_ms) if earlier else None
        first = next(e for e in epilogs if ended.get(e.digest) == run and e.node == event.node)
        taken = any(ended.get(e.digest) == before and e.node == event.node for e in epilogs)
        if before and not taken and first.at_ms - before.end_ms <= HOOK_SLACK_MS and rank(first, before) is not None:
            ended[first.digest] = before
        ended[event.digest] = run


def _rank_prolog(event: HookEvent, run: _Run) -> _Rank:
    """Its SLURM_JOB_START_TIME decides, else its restart count, then who had last started.

    A prolog after an attempt's end is the next one's, of which the accounting may not have told yet; so is one well
    after its beginning that shows a later count.
    """
    if event.job_start_ms is not None:
        return _by_start(event.job_start_ms, event.at_ms - run.began_ms, run)
    known = run.number is not None and event.restart_count is not None
    off = (event.restart_count or 0) - (run.number or 0) if known else 0
    late = run.died and known and off == 0  # a node that was cut off runs it when it is back
    if event.at_ms < run.began_ms - HOOK_SLACK_MS or (event.at_ms > run.end_ms + PROLOG_LATE_MS and not late):
        return None
    if off < 0 or (off > 0 and event.at_ms > run.began_ms + PROLOG_LATE_MS):
        return None
    return off != 0, run.began_ms > event.at_ms + TRUNCATION_MS, abs(event.at_ms - run.began_ms)


def _has_no_other_prolog(event: HookEvent, run: _Run, others: list[HookEvent], first: bool) -> bool:
    """A run has one prolog on a node, or the same again."""
    return all((x.job_gpus, x.restart_count) == (event.job_gpus, event.restart_count) for x in others)


def _rank_epilog(event: HookEvent, run: _Run, prologs: list[HookEvent]) -> _Rank:
    """Its SLURM_JOB_START_TIME decides, else who had last ended, or still ran.

    It can be late by as long as processes ignore SIGTERM, or a node is away; on one node's clock it is not before its
    prolog. It is rather that of a run whose prolog named the same devices; but when a job is shrunk, the released
    node's epilog names those of the node that stays (24.11, 26.05). Restart counts do not pair the two: the epilog of
    a requeued run already shows the next one.
    """
    told = [parse_index_list(prolog.job_gpus) for prolog in prologs if prolog.job_gpus]
    if prologs and event.at_ms < min(prolog.at_ms for prolog in prologs):
        return None
    others = bool(event.job_gpus and told and parse_index_list(event.job_gpus) not in told)
    if event.job_start_ms is not None:
        by_start = _by_start(event.job_start_ms, event.at_ms - run.end_ms, run)
        return None if by_start is None else (others, *by_start)
    if event.at_ms < run.began_ms - HOOK_SLACK_MS:
        return None
    return others, event.at_ms < run.end_ms, abs(event.at_ms - run.end_ms), -run.began_ms


def _has_no_epilog(event: HookEvent, run: _Run, others: list[HookEvent], first: bool) -> bool:
    """Each run has its own before one has two; only where a node died is one looked for that is far from the end."""
    return not others and (first or run.died)


def _by_start(start_ms: int, off_ms: int, run: _Run) -> _Rank:
    """That second, or the one before; of several runs in it the nearest."""
    before = start_ms - run.began_ms
    return (before, abs(off_ms)) if 0 <= before <= TRUNCATION_MS else None


def _is_surely_of(event: HookEvent, run: _Run, rivals: list[_Run], have: dict[int, list[HookEvent]]) -> bool:
    """No other run of the job can have had this epilog, or its own names the same devices: then it may name them."""
    alone = len(have[run.place]) == 1
    for other in rivals:
        same = alone and [own.job_gpus for own in have[other.place]] == [event.job_gpus]
        near = abs(event.at_ms - other.end_ms) <= HOOK_SLACK_MS or other.began_ms <= event.at_ms < other.end_ms
        if (near and not same) or (other.began_ms <= run.began_ms and not have[other.place]):
            return False
    if event.job_start_ms is not None:
        return True
    if event.restart_count is not None and event.restart_count - (run.number or 0) not in (0, int(not run.last)):
        return False
    return event.at_ms >= run.began_ms
