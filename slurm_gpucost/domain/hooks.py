"""Which attempt of a job a prolog or epilog belongs to, and whether it may say which devices that had. Pure.

A hook runs on a node of its attempt, and since 24.11 it tells the attempt's start. Before that there are its restart
count, its time on a clock that may be off, and the order of things on one node. Where those leave two attempts to
choose from, it is counted to the likelier one and names no device: a device is rather not known than another's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from slurm_gpucost.domain.evidence import HookEvent
from slurm_gpucost.domain.records import Attempt
from slurm_gpucost.domain.runs import HOOK_SLACK_MS, PROLOG_LATE_MS, Run, renumbered, runs_of
from slurm_gpucost.domain.tres import parse_index_list

_START_OFF_MS = 1000
"""How far after the accounting's Start SLURM_JOB_START_TIME may lie: both are cut to seconds."""
_Rank = tuple[int, ...] | None
"""How well a hook fits a run, the least best; None: not at all."""


def match_hooks(
    events: Iterable[HookEvent], attempts: Sequence[Attempt], nodes: Sequence[frozenset[str]]
) -> tuple[dict[int, list[HookEvent]], list[HookEvent]]:
    """Hooks by the place of their attempt, and those that are of none; both in order of time.

    ``nodes``: where each attempt ran; empty where nobody says. Hooks that may not say which devices an attempt had
    come without them.
    """
    ordered = sorted({event.digest: event for event in events}.values(), key=lambda e: (e.at_ms, e.digest))
    matching = _Matching(ordered, runs_of(attempts, nodes))
    matched: dict[int, list[HookEvent]] = {}
    strays: list[HookEvent] = []
    for event in ordered:
        run = matching.run_of.get(event.digest)
        if run is None:
            strays.append(event)
        elif matching.is_sure(event, run):
            matched.setdefault(run.place, []).append(event)
        else:
            matched.setdefault(run.place, []).append(event._replace(job_gpus=None, visible_devices=None))
    return matched, strays


class _Matching:
    """Hooks of a job, in order of time, and the runs that they are of."""

    def __init__(self, ordered: list[HookEvent], runs: list[Run]) -> None:
        self.prologs = [event for event in ordered if event.hook == "prolog"]
        self.epilogs = [event for event in ordered if event.hook != "prolog"]
        self.runs = renumbered(runs, self.prologs)
        self.run_of = self._assign(self.prologs, rank_prolog, _has_no_other_prolog)
        """Digest -> run."""
        self.lost = [event for event in self.prologs if event.digest not in self.run_of]
        self.run_of |= self._assign(self.epilogs, self.rank_epilog, _has_no_epilog)
        self._end_the_rest()
        for event in self.epilogs:  # what a run that nobody knows began
            run = self.run_of.get(event.digest)
            if run and any(_ends(event, prolog) and prolog.at_ms >= run.end_ms for prolog in self.lost):
                del self.run_of[event.digest]
        self.astray = [event for event in self.epilogs if event.digest not in self.run_of]

    def of(self, events: Iterable[HookEvent], run: Run, node: str) -> list[HookEvent]:
        """Those of a run on a node."""
        return [event for event in events if event.node == node and self.run_of.get(event.digest) == run]

    def rank_epilog(self, event: HookEvent, run: Run) -> _Rank:
        """Not before its prolog, on one node's clock, and with no other devices than that; then by time.

        It can be late by as long as processes ignore SIGTERM, or a node is away. Restart counts do not pair the two:
        the epilog of a requeued run already shows the next one. Where it tells the start, or the job was shrunk,
        other devices are only a worse fit: the epilog of a released node names those of the node that stays.
        """
        prologs = self.of(self.prologs, run, event.node)
        told = [parse_index_list(prolog.job_gpus) for prolog in prologs if prolog.job_gpus]
        if prologs and event.at_ms < min(prolog.at_ms for prolog in prologs):
            return None
        others = bool(event.job_gpus and told and parse_index_list(event.job_gpus) not in told)
        best = _by_end(event, run)
        if best is None or (others and event.job_start_ms is None and not run.resized):
            return None
        return others, *best

    def _choices(self, event: HookEvent, rank: Callable[[HookEvent, Run], _Rank]) -> list[tuple[tuple[int, ...], Run]]:
        """(rank, run) that it can be of, the best first."""
        ranked = [(rank(event, run), run.place, run) for run in self.runs if run.on(event.node)]
        return sorted(((best, run) for best, _, run in ranked if best is not None), key=lambda x: (x[0], x[1].place))

    def _assign(
        self,
        events: Sequence[HookEvent],
        rank: Callable[[HookEvent, Run], _Rank],
        fits: Callable[[HookEvent, Run, list[HookEvent], bool], bool],
    ) -> dict[bytes, Run]:
        """The best pairs first. ``fits``: can the run have it beside those others, as its first choice?"""
        pairs = [
            (best, run.place, event.digest, event, run, i == 0)
            for event in events
            for i, (best, run) in enumerate(self._choices(event, rank))
        ]
        found: dict[bytes, Run] = {}
        have: dict[tuple[int, str], list[HookEvent]] = {}
        for _, place, digest, event, run, first in sorted(pairs, key=lambda pair: pair[:3]):
            others = have.setdefault((place, event.node), [])
            if digest not in found and fits(event, run, others, first):
                found[digest] = run
                others.append(event)
        return found

    def _end_the_rest(self) -> None:
        """Epilogs whose best run has one. Runs end in order: where the one before has none, that has the first."""
        for event in self.epilogs:
            choices = self._choices(event, self.rank_epilog)
            if event.digest in self.run_of or not choices:
                continue
            run = choices[0][1]
            first = self.of(self.epilogs, run, event.node)[0]
            earlier = [x for x in self.runs if x.on(event.node) and x.began_ms < run.began_ms]
            before = max(earlier, key=lambda x: x.began_ms) if earlier else None
            if (
                before
                and not self.of(self.epilogs, before, event.node)
                and first.at_ms - before.end_ms <= HOOK_SLACK_MS
                and self.rank_epilog(first, before) is not None
            ):
                self.run_of[first.digest] = before
            self.run_of[event.digest] = run

    def is_sure(self, event: HookEvent, run: Run) -> bool:
        """The hook may say which devices the run had."""
        if event.hook == "prolog":
            return self._is_sure_prolog(event, run)
        return self._is_sure_epilog(event, run)

    def _is_sure_prolog(self, event: HookEvent, run: Run) -> bool:
        """No prolog of an unknown run fits as well, and no epilog near the end names other devices."""
        return not any(x.node == event.node and rank_prolog(x, run) is not None for x in self.lost) and not any(
            x.node == event.node and run.near_end(x.at_ms) and _by_end(x, run) is not None for x in self.astray
        )

    def _is_sure_epilog(self, event: HookEvent, run: Run) -> bool:
        """No other run of the job can have had it; or each has one there, and they name the same devices.

        The epilog of a node that a job gave back by shrinking names the devices that it has left on another node
        (seen on 22.05, 24.11, 26.05).
        """
        if run.resized or (run.open and len(run.nodes) != 1):
            return False
        node, only = event.node, len(self.of(self.epilogs, run, event.node)) == 1
        for other in self.runs:
            if other == run or not other.on(node) or self.rank_epilog(event, other) is None:
                continue
            own = self.of(self.epilogs, other, node)
            if only and [x.job_gpus for x in own] == [event.job_gpus]:
                continue
            near = other.near_end(event.at_ms) or other.began_ms <= event.at_ms < other.end_ms
            agrees = any(_ends(event, prolog) for prolog in self.of(self.prologs, other, node))
            if near or agrees or (other.began_ms <= run.began_ms and not own):
                return False
        if event.job_start_ms is not None:
            return True
        if event.restart_count is not None and event.restart_count - (run.number or 0) not in (0, int(not run.last)):
            return False
        return event.at_ms >= run.began_ms and not any(_ends(event, prolog) for prolog in self.lost)


def rank_prolog(event: HookEvent, run: Run) -> _Rank:
    """Its SLURM_JOB_START_TIME decides, else its restart count, then who had last started.

    A prolog after an attempt's end is the next one's, of which the accounting may not have told yet; so is one well
    after its beginning that shows a later count.
    """
    if event.job_start_ms is not None:
        return _by_start(event.job_start_ms, event.at_ms - run.began_ms, run)
    known = run.number is not None and event.restart_count is not None
    off = (event.restart_count or 0) - (run.number or 0) if known else 0
    # A node that was cut off runs it when it is back.
    late = run.died and known and off == 0 and event.at_ms > run.end_ms
    if not late and not run.may_begin(event.at_ms):
        return None
    if off < 0 or (off > 0 and event.at_ms > run.began_ms + PROLOG_LATE_MS):
        return None
    return off != 0, run.began_ms > event.at_ms + _START_OFF_MS, abs(event.at_ms - run.began_ms)


def _by_end(event: HookEvent, run: Run) -> _Rank:
    """Its SLURM_JOB_START_TIME decides, else who had last ended, or still ran; of equals the later one."""
    if event.job_start_ms is not None:
        return _by_start(event.job_start_ms, event.at_ms - run.end_ms, run)
    if event.at_ms < run.began_ms - HOOK_SLACK_MS:
        return None
    return event.at_ms < run.end_ms, abs(event.at_ms - run.end_ms), -run.began_ms


def _by_start(start_ms: int, off_ms: int, run: Run) -> _Rank:
    """That second, or the one before; of several runs in it the nearest."""
    before = start_ms - run.began_ms
    return (before, abs(off_ms)) if 0 <= before <= _START_OFF_MS else None


def _has_no_other_prolog(event: HookEvent, run: Run, others: list[HookEvent], first: bool) -> bool:
    """A run has one prolog on a node, or the same again."""
    return all((x.job_gpus, x.restart_count) == (event.job_gpus, event.restart_count) for x in others)


def _has_no_epilog(event: HookEvent, run: Run, others: list[HookEvent], first: bool) -> bool:
    """Each run has its own before one has two; only where a node died is one looked for that is far from the end."""
    return not others and (first or run.died)


def _ends(event: HookEvent, prolog: HookEvent) -> bool:
    """The epilog may be that of the run which this prolog began."""
    if event.node != prolog.node or event.at_ms < prolog.at_ms or event.job_start_ms != prolog.job_start_ms:
        return False
    return not event.job_gpus or parse_index_list(event.job_gpus) == parse_index_list(prolog.job_gpus or "")
