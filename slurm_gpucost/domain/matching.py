"""Which attempt of a job a hook event or a controller row belongs to. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slurm_gpucost.domain.evidence import AccountingRow, ControllerRow, HookEvent, decode_gres, encode_gres
from slurm_gpucost.domain.hostlist import expand
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
        (i, start, OPEN_END_MS if a.end_ms is None else a.end_ms)
        for i, a in enumerate(attempts)
        if (start := _began_ms(a)) is not None
    ]
    for i, start, _ in started:
        if start == event.job_start_ms:
            return i
    ranked = (_rank_prolog if event.hook == "prolog" else _rank_epilog)(event, started)
    return min(ranked)[-1] if ranked else None


def _began_ms(attempt: Attempt) -> int | None:
    """22.05 books no Start for a run that was requeued within a second or two, yet its hooks ran: after its Submit."""
    if attempt.start_ms is None and attempt.state == "REQUEUED" and attempt.end_ms is not None:
        return attempt.submit_ms
    return attempt.start_ms


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


def along_resizes(
    rows: Sequence[AccountingRow], hooks: dict[int, list[HookEvent]], held: dict[int, list[ControllerRow]]
) -> None:
    """Give each row of a resized job what was said of its nodes while it was another row. Changes both in place.

    Hooks run once a node, at the job's own start and end, and SLURM_JOB_START_TIME and the controller's SubmitTime
    stay those of the first row (22.05: Start too; seen on 22.05, 24.11, 26.05).
    """
    for chain in _chains(rows):
        nodes = {i: _nodes(rows[i]) for i in chain}
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


def _nodes(row: AccountingRow) -> frozenset[str]:
    try:
        return frozenset(expand(row.node_list))
    except ValueError:
        return frozenset()


def _on(nodes: frozenset[str], row: ControllerRow, own: bool) -> ControllerRow:
    """A look at the job, of these nodes alone; of another row's look the devices count, not its suspension."""
    row = row._replace(gres=encode_gres(gres for gres in decode_gres(row.gres) if gres.node in nodes))
    return row if own else row._replace(suspend_ms=None)
