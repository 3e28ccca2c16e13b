"""Which attempt of a job a hook event or a controller row belongs to. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from slurm_gpucost.domain.evidence import AccountingRow, ControllerRow, HookEvent, decode_gres, encode_gres
from slurm_gpucost.domain.hostlist import expand
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
    nodes: frozenset[str]
    """Empty: nobody says."""


def match_hooks(
    events: Iterable[HookEvent], attempts: Sequence[Attempt], nodes: Sequence[frozenset[str]]
) -> tuple[dict[int, list[HookEvent]], list[HookEvent]]:
    """Hooks by the place of their attempt, and those that are of none; both in order of time.

    ``nodes``: where each attempt ran; empty where nobody says. An epilog that may as well be another run's is left
    without its devices.
    """
    runs = _runs(attempts, nodes)
    prologs = {event.digest: event for event in events if event.hook == "prolog"}
    epilogs = {event.digest: event for event in events if event.hook != "prolog"}
    found = _match(prologs.values(), runs, _rank_prolog, _one_prolog)
    began: dict[tuple[int, str], list[HookEvent]] = {}
    for digest, run in found.items():
        began.setdefault((run.place, prologs[digest].node), []).append(prologs[digest])
    ended = _match(
        epilogs.values(),
        runs,
        lambda event, run: _rank_epilog(event, run, began.get((run.place, event.node), [])),
        lambda event, others: True,
    )
    have = {(run.place, epilogs[digest].node) for digest, run in ended.items()}
    matched: dict[int, list[HookEvent]] = {}
    strays: list[HookEvent] = []
    for event in sorted([*prologs.values(), *epilogs.values()], key=lambda e: (e.at_ms, e.digest)):
        one = found.get(event.digest) or ended.get(event.digest)
        if one is None:
            strays.append(event)
            continue
        if event.hook == "epilog" and not _is_surely_of(event, one, runs, have):
            event = event._replace(job_gpus=None, visible_devices=None)
        matched.setdefault(one.place, []).append(event)
    return matched, strays


def _runs(attempts: Sequence[Attempt], nodes: Sequence[frozenset[str]]) -> list[_Run]:
    found: list[_Run] = []
    order = sorted(range(len(attempts)), key=lambda i: (attempts[i].submit_ms, i))
    number: int | None = 0
    for i, after in zip_longest(order, order[1:]):
        attempt = attempts[i]
        began = _began_ms(attempt)
        later = OPEN_END_MS if after is None else attempts[after].submit_ms
        end = later if attempt.end_ms is None else attempt.end_ms
        if began is not None:
            found.append(_Run(i, number, began, max(began, end), after is None, nodes[i]))
        if attempt.state == "RESIZING":
            continue
        follows = attempt.end_ms is None or later - attempt.end_ms <= HOOK_SLACK_MS
        number = number + 1 if number is not None and follows else None
    return found


def _began_ms(attempt: Attempt) -> int | None:
    """22.05 books no Start for a run that was requeued within a second or two, yet its hooks ran: after its Submit."""
    if attempt.start_ms is None and attempt.state == "REQUEUED" and attempt.end_ms is not None:
        return attempt.submit_ms
    return attempt.start_ms


def _match(
    events: Iterable[HookEvent],
    runs: list[_Run],
    rank: Callable[[HookEvent, _Run], tuple[int, ...] | None],
    fits: Callable[[HookEvent, list[HookEvent]], bool],
) -> dict[bytes, _Run]:
    """Digest -> run, the best pairs first; ``fits``: can the run have it beside those it has on that node."""
    pairs = []
    for event in events:
        for run in runs:
            if not run.nodes or event.node in run.nodes:
                ranked = rank(event, run)
                if ranked is not None:
                    pairs.append((ranked, run.place, event.digest, event, run))
    found: dict[bytes, _Run] = {}
    have: dict[tuple[int, str], list[HookEvent]] = {}
    for _, place, digest, event, run in sorted(pairs, key=lambda pair: pair[:3]):
        others = have.setdefault((place, event.node), [])
        if digest not in found and fits(event, others):
            found[digest] = run
            others.append(event)
    return found


def _rank_prolog(event: HookEvent, run: _Run) -> tuple[int, ...] | None:
    """Its SLURM_JOB_START_TIME decides, else its restart count, then who had last started.

    A prolog after an attempt's end is the next one's, of which the accounting may not have told yet; so is one well
    after its beginning that shows a later count.
    """
    if event.job_start_ms is not None:
        return _by_start(event.job_start_ms, event.at_ms - run.began_ms, run)
    if not run.began_ms - HOOK_SLACK_MS <= event.at_ms <= run.end_ms + PROLOG_LATE_MS:
        return None
    known = run.number is not None and event.restart_count is not None
    off = (event.restart_count or 0) - (run.number or 0) if known else 0
    if off < 0 or (off > 0 and event.at_ms > run.began_ms + PROLOG_LATE_MS):
        return None
    return off != 0, run.began_ms > event.at_ms + TRUNCATION_MS, abs(event.at_ms - run.began_ms)


def _one_prolog(event: HookEvent, others: list[HookEvent]) -> bool:
    """A run has one prolog on a node, or the same again."""
    return all((x.job_gpus, x.restart_count) == (event.job_gpus, event.restart_count) for x in others)


def _rank_epilog(event: HookEvent, run: _Run, prologs: list[HookEvent]) -> tuple[int, ...] | None:
    """Its SLURM_JOB_START_TIME decides, else who had last ended, or still ran.

    It can be late by as long as processes ignore SIGTERM, or a node is away; on one node's clock it is not before its
    prolog, and it names no other devices.
    """
    told = [parse_index_list(prolog.job_gpus) for prolog in prologs if prolog.job_gpus]
    if prologs and event.at_ms < min(prolog.at_ms for prolog in prologs):
        return None
    if event.job_gpus and told and parse_index_list(event.job_gpus) not in told:
        return None
    if event.job_start_ms is not None:
        return _by_start(event.job_start_ms, event.at_ms - run.end_ms, run)
    if event.at_ms < run.began_ms - HOOK_SLACK_MS:
        return None
    return event.at_ms < run.end_ms, abs(event.at_ms - run.end_ms)


def _by_start(start_ms: int, off_ms: int, run: _Run) -> tuple[int, ...] | None:
    """That second, or the one before; of several runs in it the nearest."""
    before = start_ms - run.began_ms
    return (before, abs(off_ms)) if 0 <= before <= TRUNCATION_MS else None


def _is_surely_of(event: HookEvent, run: _Run, runs: list[_Run], have: set[tuple[int, str]]) -> bool:
    """No other run of the job can have had this epilog: then it may say which devices the run had."""
    if event.job_start_ms is not None:
        return sum(1 for other in runs if _by_start(event.job_start_ms, 0, other)) == 1
    earlier = [other for other in runs if other.began_ms <= run.began_ms and other is not run]
    if any((not x.nodes or event.node in x.nodes) and (x.place, event.node) not in have for x in earlier):
        return False
    if event.restart_count is not None and event.restart_count - (run.number or 0) not in (0, int(not run.last)):
        return False
    return event.at_ms >= run.began_ms


def match_controller(row: ControllerRow, attempts: Sequence[Attempt]) -> int | None:
    """By Submit: a requeue gives the job a new one, a change of its size does not (:func:`along_resizes`)."""
    for i, attempt in enumerate(attempts):
        if attempt.submit_ms == row.submit_ms and attempt.witness != "hooks":
            return i
    return None


def along_resizes(
    rows: Sequence[AccountingRow], hooks: dict[int, list[HookEvent]], held: dict[int, list[ControllerRow]]
) -> None:
    """Give each row of a resized job what was said of its nodes while it was another row. Changes both in place.

    Hooks run once a node, at the job's own start and end, and SLURM_JOB_START_TIME and the controller's SubmitTime
    stay those of the first row (22.05: Start too; seen on 22.05, 24.11, 26.05).
    """
    for chain in _chains(rows):
        nodes = {i: nodes_of(rows[i].node_list) for i in chain}
        events = sorted((e for i in chain for e in hooks.get(i, [])), key=lambda e: (e.at_ms, e.digest))
        looks = sorted(
            ((r, i) for i in chain for r in held.get(i, [])), key=lambda p: (p[0].observed_at_ms, p[0].digest)
        )
        last = {node: i for i in chain for node in nodes[i]}
        for i in chain:
            hooks[i] = [e for e in events if e.node in nodes[i] and (e.hook == "prolog" or last[e.node] == i)]
            held[i] = [_on(nodes[i], row, own=i == home) for row, home in looks]


def _chains(rows: Sequence[AccountingRow]) -> Iterator[list[int]]:
    chain: list[int] = []
    for i, row in enumerate(rows):
        chain.append(i)
        if row.state != "RESIZING":
            if len(chain) > 1:
                yield chain
            chain = []
    if len(chain) > 1:
        yield chain


def nodes_of(node_list: str) -> frozenset[str]:
    """The nodes of a row; empty where it names none."""
    try:
        return frozenset(expand(node_list)) if node_list not in ("", "None assigned") else frozenset()
    except ValueError:
        return frozenset()


def seen_on(rows: Iterable[ControllerRow]) -> frozenset[str]:
    """The nodes on which the controller showed devices."""
    return frozenset(gres.node for row in rows for gres in decode_gres(row.gres))


def _on(nodes: frozenset[str], row: ControllerRow, own: bool) -> ControllerRow:
    """A look at the job, of these nodes alone; of another row's look the devices count, not its suspension."""
    row = row._replace(gres=encode_gres(gres for gres in decode_gres(row.gres) if gres.node in nodes))
    return row if own else row._replace(suspend_ms=None)
