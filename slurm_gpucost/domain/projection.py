"""Evidence of one job -> its attempts and leases. Pure: the same evidence in any order gives the same rows.

Accounting says who and how long; where it has a row, that row is the attempt and its times are the billed ones.
Hooks and controller say which devices (:mod:`slurm_gpucost.domain.holdings`). What only they know is an attempt
too, shown and held, never billed.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import NamedTuple

from slurm_gpucost.domain.evidence import AccountingRow, ControllerRow, HookEvent
from slurm_gpucost.domain.holdings import leases_of
from slurm_gpucost.domain.hooks import match_hooks
from slurm_gpucost.domain.matching import along_resizes, match_controller, nodes_of, seen_on
from slurm_gpucost.domain.records import Attempt, JobEvidence, Lease, Topology, Vanished
from slurm_gpucost.domain.runs import run_numbers

_FINAL_CONTROLLER_STATES = frozenset(
    "BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED REVOKED TIMEOUT".split()
)


class Projected(NamedTuple):
    """Rows of one job."""

    attempts: list[Attempt]
    leases: list[Lease]


def project(evidence: JobEvidence, topology: Topology) -> Projected:
    """The attempts of a job id and the leases of each."""
    rows = [_begun(row) for row in _best_rows(evidence.accounting)]
    lost = {gone.submit_ms: gone for gone in evidence.vanished}
    attempts = _numbered([_from_accounting(row, lost.get(row.submit_ms)) for row in rows])
    held_as = [(row.alloc_tres, row.node_list) for row in rows]
    if not evidence.hooks and not evidence.controller:  # history from accounting alone: a million at a time
        leases = []
        for attempt, said in zip(attempts, held_as, strict=True):
            leases += leases_of(attempt, *said, [], [], topology)
        return Projected(attempts, leases)

    told = _best_controller(evidence.controller)
    submits = sorted({*(row.submit_ms for row in rows), *(row.submit_ms for row in told)})
    for row in told:
        if row.start_ms is not None and match_controller(row, attempts) is None:
            again_ms = next((submit for submit in submits if submit > row.submit_ms), None)
            attempts.append(_from_controller(row, again_ms))
            held_as.append(("", ""))
    held: dict[int, list[ControllerRow]] = {}
    for row in sorted(evidence.controller, key=lambda r: (r.observed_at_ms, r.digest)):
        place = match_controller(row, attempts)
        if place is not None:
            held.setdefault(place, []).append(row)
    nodes = [nodes_of(said) or seen_on(held.get(i, [])) for i, (_, said) in enumerate(held_as)]
    hooks, strays = match_hooks(evidence.hooks, attempts, nodes)
    taken = {attempt.submit_ms for attempt in attempts}
    for group in _group_strays(strays):
        hooks[len(attempts)] = group
        attempts.append(_from_hooks(group, taken))
        taken.add(attempts[-1].submit_ms)
        held_as.append(("", ""))
    gone_on = along_resizes(rows, hooks, held)
    leases = [
        lease
        for i, attempt in enumerate(attempts)
        for lease in leases_of(attempt, *held_as[i], hooks.get(i, []), held.get(i, []), topology, i in gone_on)
    ]
    return Projected(attempts, leases)


def _best_rows(rows: list[AccountingRow]) -> list[AccountingRow]:
    """One row per submit, by (final state, observed_at, digest); in order of submit."""
    if len(rows) == 1:
        return rows
    best: dict[int, AccountingRow] = {}
    for row in rows:
        other = best.get(row.submit_ms)
        if other is None or _rank(row) > _rank(other):
            best[row.submit_ms] = row
    return [best[submit] for submit in sorted(best)]


def _rank(row: AccountingRow) -> tuple[bool, int, bytes]:
    return (row.end_ms is not None, row.observed_at_ms, row.digest)


def _begun(row: AccountingRow) -> AccountingRow:
    """22.05 leaves the first Start on the row after a RESIZING one, which began at its Submit: that is when the size
    changed (``resize_time`` in slurmctld). No other row starts before it was submitted.
    """
    if row.start_ms is None or row.start_ms >= row.submit_ms:
        return row
    start = row.submit_ms if row.end_ms is None else min(row.submit_ms, row.end_ms)
    elapsed = None if row.end_ms is None else max(0, row.end_ms - start - row.suspended_ms)
    return row._replace(start_ms=start, elapsed_ms=elapsed)


def _from_accounting(row: AccountingRow, lost: Vanished | None = None) -> Attempt:
    elapsed, suspended, end = row.elapsed_ms, row.suspended_ms, row.end_ms
    vanished = (
        lost is not None and end is None and row.start_ms is not None and lost.observed_at_ms > row.observed_at_ms
    )
    if vanished:
        assert lost is not None and row.start_ms is not None
        end = max(lost.last_named_ms // 1000 * 1000, row.start_ms)
        if row.state == "SUSPENDED":  # and stayed so, for all that is known
            suspended += max(0, end - row.observed_at_ms // 1000 * 1000)
        suspended = min(suspended, end - row.start_ms)
    if row.start_ms is not None and end is not None:
        # ElapsedRaw is what users see and what is billed; it decides how much of the time was suspension.
        elapsed = end - row.start_ms - suspended if elapsed is None else elapsed
        suspended = end - row.start_ms - elapsed
    return Attempt(
        row.cluster, row.job_id, row.submit_ms, "sacct", row.digest, row.state, row.user, row.account, row.partition,
        row.start_ms, end, elapsed, suspended, 1, row.observed_at_ms, int(vanished), row.qos, row.reservation, 1,
        row.cancelled_by,
    )  # fmt: skip


def _numbered(attempts: list[Attempt]) -> list[Attempt]:
    """Attempts of a job in order of Submit, each with the number of its run."""
    if len(attempts) == 1:
        return attempts
    return [one._replace(run=run) for one, run in zip(attempts, run_numbers(attempts), strict=True)]


def _best_controller(rows: list[ControllerRow]) -> list[ControllerRow]:
    best: dict[int, ControllerRow] = {}
    for row in sorted(rows, key=lambda r: (r.observed_at_ms, r.digest)):
        best[row.submit_ms] = row
    return [best[submit] for submit in sorted(best)]


def _from_controller(row: ControllerRow, again_ms: int | None) -> Attempt:
    """``again_ms``: the job's next Submit, the moment at which it was requeued; it has one run at a time."""
    end = row.end_ms if row.state in _FINAL_CONTROLLER_STATES else None
    if end is None and again_ms is not None and row.start_ms is not None:
        end = max(row.start_ms, again_ms)
    elapsed = end - row.start_ms if end is not None and row.start_ms is not None else None
    return Attempt(
        row.cluster, row.job_id, row.submit_ms, "scontrol", row.digest, row.state, row.user, row.account, row.partition,
        row.start_ms, end, elapsed, 0, 0, row.observed_at_ms, 0, "", "", 1, None,
    )  # fmt: skip


def _from_hooks(group: list[HookEvent], taken: set[int]) -> Attempt:
    """What stands in for its Submit is no other attempt's: two nodes can say something in the same millisecond."""
    prologs = [e for e in group if e.hook == "prolog"]
    epilogs = [e for e in group if e.hook == "epilog"]
    first = group[0]
    start = min((e.at_ms for e in prologs), default=None)
    missing = {e.node for e in prologs} - {e.node for e in epilogs}
    end = max((e.at_ms for e in epilogs), default=None) if not missing else None
    elapsed = end - start if start is not None and end is not None else None
    submit = next(ms for ms in count(first.at_ms) if ms not in taken)
    return Attempt(
        first.cluster, first.job_id, submit, "hooks", b"", "UNKNOWN", first.user, first.account, first.partition,
        start, end, elapsed, 0, 0, max(e.at_ms for e in group), 0, "", "", (first.restart_count or 0) + 1, None,
    )  # fmt: skip


def _group_strays(events: Iterable[HookEvent]) -> list[list[HookEvent]]:
    """Hooks that no row knows, in order of time: a prolog on a node that the group has had begins the next one.

    An epilog ends the last run that began on its node; where none did, it is the end of one of which nothing else is
    known, not even that others on other nodes are the same.
    """
    groups: list[list[HookEvent]] = []
    for event in events:
        if event.hook == "epilog":
            begun = [group for group in groups if any(e.hook == "prolog" and e.node == event.node for e in group)]
            group = begun[-1] if begun else None
        else:
            group = groups[-1] if groups and not _begins_anew(event, groups[-1]) else None
        if group is None:
            groups.append([event])
        else:
            group.append(event)
    return groups


def _begins_anew(event: HookEvent, group: list[HookEvent]) -> bool:
    if any(e.hook == "epilog" for e in group):
        return True
    return any((e.job_start_ms, e.restart_count) != (event.job_start_ms, event.restart_count) for e in group)
