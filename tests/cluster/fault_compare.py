"""What accounting and jobs said of a story of faults, in the ledger's terms; shares no code with the package."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from tests.cluster.scenario import gpus, started
from tests.cluster.workload import Seen

Key = tuple[str, str]
"""JobIDRaw and Submit."""
Slots = dict[str, frozenset[int]]
"""Node -> GRES indexes."""
Told = tuple[int, int, str, str, str, Fraction]
"""Start, end, state, user, account, GPU-seconds."""


def of_sacct(rows: Iterable[dict[str, str]]) -> dict[Key, Told]:
    """Every row that ran."""
    return {
        (row["JobIDRaw"], row["Submit"]): (
            int(row["Start"]), int(row["End"]), row["State"].split()[0], row["User"], row["Account"],
            int(row["ElapsedRaw"]) * gpus(row),
        )
        for row in rows
        if started(row)
    }  # fmt: skip


def of_ledger(attempts: Iterable[dict[str, Any]]) -> dict[Key, Told]:
    """Every attempt that ran; none may be there twice.

    22.05 gives a pending job that was cancelled a start equal to its end; it held nothing.
    """
    found: dict[Key, Told] = {}
    for a in attempts:
        if a["start"] is None or (a["start"] == a["end"] and not a["leases"]):
            continue
        assert key(a) not in found
        seconds = Fraction(a["gpu_seconds"])
        found[key(a)] = (a["start"], a["end"], a["state"].split()[0], a["user"], a["account"], seconds)
    return found


def key(attempt: dict[str, Any]) -> Key:
    return str(attempt["job_id"]), str(attempt["submit"])


def named(attempt: dict[str, Any]) -> Slots:
    """The devices that the ledger names."""
    held: dict[str, frozenset[int]] = defaultdict(frozenset)
    for lease in attempt["leases"]:
        if lease["index"] is not None:
            held[lease["node"]] |= {lease["index"]}
    return dict(held)


def saw(rows: Iterable[dict[str, str]], seen: Iterable[Seen]) -> dict[Key, Slots]:
    """What the jobs themselves saw, by the run that had last started when they looked."""
    starts: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for (job, submit), told in of_sacct(rows).items():
        starts[job].append((told[0], submit))
    found: dict[Key, Slots] = defaultdict(dict)
    for line in seen:
        before = [pair for pair in starts[str(line.job)] if pair[0] <= line.at_ms // 1000]
        if before and line.indexes():
            slots = found[str(line.job), max(before)[1]]
            slots[line.node] = slots.get(line.node, frozenset()) | line.indexes()
    return dict(found)
