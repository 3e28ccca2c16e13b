"""What accounting and jobs said, in the ledger's terms: shares no code with the package."""

from __future__ import annotations

import re
from collections import defaultdict
from fractions import Fraction
from typing import Any

from tests.cluster.scenario import Site, gpus, started

LONG_ENOUGH = 6
"""Seconds after which a controller asked every 2 s must have named a job's devices."""
Key = tuple[str, str]
"""JobIDRaw and Submit, as text."""


def key(attempt: dict[str, Any]) -> Key:
    return attempt["job_id"], str(attempt["submit"])


def by_key(attempts: list[dict[str, Any]]) -> dict[Key, dict[str, Any]]:
    found = {key(attempt): attempt for attempt in attempts}
    assert len(found) == len(attempts), "an attempt is listed twice"
    return found


def rows_by_key(rows: list[dict[str, str]]) -> dict[Key, dict[str, str]]:
    """The rows that ran. 22.05 leaves the first Start on the row after a resize, and the Elapsed from there on."""
    found: dict[Key, dict[str, str]] = {}
    resized: dict[str, dict[str, str]] = {}
    for row in sorted(filter(started, rows), key=lambda r: int(r["Submit"])):
        before = resized.pop(row["JobIDRaw"], None)
        if before and int(row["Start"]) < int(before["End"]):
            elapsed = int(row["End"]) - int(before["End"]) - suspended(row)
            row = row | {"Start": before["End"], "ElapsedRaw": str(elapsed)}
        if row["State"] == "RESIZING":
            resized[row["JobIDRaw"]] = row
        found[row["JobIDRaw"], row["Submit"]] = row
    return found


def suspended(row: dict[str, str]) -> int:
    """Suspended, like 1-00:01:30, in seconds; at most what Elapsed leaves of the run.

    Where slurmdbd missed a suspension it books one from 1970 on, and Elapsed 0 (seen once, on 22.05).
    """
    days, _, clock = row["Suspended"].rpartition("-")
    hours, minutes, seconds = map(int, clock.split(":"))
    said = ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
    return min(said, int(row["End"]) - int(row["Start"]))


def from_sacct(row: dict[str, str]) -> dict[str, Any]:
    return {
        "start": int(row["Start"]),
        "end": int(row["End"]),
        "state": row["State"].split()[0],
        "user": row["User"],
        "account": row["Account"],
        "gpu_seconds": int(row["ElapsedRaw"]) * gpus(row),
    }


def from_ledger(attempt: dict[str, Any]) -> dict[str, Any]:
    told = {name: attempt[name] for name in ("start", "end", "user", "account")}
    return told | {"state": attempt["state"].split()[0], "gpu_seconds": Fraction(attempt["gpu_seconds"])}


def saw(site: Site) -> dict[Key, dict[str, frozenset[int]]]:
    """Attempt -> node -> the GRES indexes that its script or its tasks saw there; by time, not by restart counts."""
    starts: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for (job, submit), row in rows_by_key(site.rows).items():
        starts[job].append((int(row["Start"]), submit))
    found: dict[Key, dict[str, frozenset[int]]] = defaultdict(dict)
    for line in site.seen:
        before = [pair for pair in starts[str(line.job)] if pair[0] <= line.at_ms // 1000]
        if not before:
            continue  # of a run that accounting has without a start
        held = found[str(line.job), max(before)[1]]
        held[line.node] = held.get(line.node, frozenset()) | line.indexes()
    return found


def held_devices(attempt: dict[str, Any]) -> dict[str, frozenset[int]]:
    held: dict[str, frozenset[int]] = defaultdict(frozenset)
    for lease in attempt["leases"]:
        held[lease["node"]] |= {lease["index"]}
    return dict(held)


def ran(attempt: dict[str, Any]) -> bool:
    """22.05 gives a pending job that was cancelled a start equal to its end; it held nothing."""
    return bool(attempt["start"] != attempt["end"] or attempt["leases"])


def assert_times_and_owners(site: Site) -> None:
    """Each attempt that ran is in the ledger once, with sacct's times to the second, state, owner and quantity."""
    ledger = by_key([attempt for attempt in site.jobs() if attempt["start"] is not None and ran(attempt)])
    accounting = rows_by_key(site.rows)
    ours, theirs = {k: from_ledger(a) for k, a in ledger.items()}, {k: from_sacct(r) for k, r in accounting.items()}
    assert {k: (ours.get(k), theirs.get(k)) for k in {*ours, *theirs} if ours.get(k) != theirs.get(k)} == {}
    for k, row in accounting.items():
        assert Fraction(ledger[k]["suspended_seconds"]) == suspended(row), k


def witnesses(site: Site) -> dict[Key, dict[str, frozenset[int]]]:
    """What told its devices. Jobs with shards do not: where GresTypes has mps too, Slurm tells them none."""
    told = {k: {node: i for node, i in held.items() if i} for k, held in saw(site).items()}
    return {k: held for k, held in told.items() if held}


def assert_devices_are_those_seen(site: Site) -> None:
    ledger, witnessed = by_key(site.jobs()), witnesses(site)
    assert len(witnessed) > len(rows_by_key(site.rows)) / 3
    rows = rows_by_key(site.rows)
    for k in [k for k in witnessed if len(re.findall("gres/gpu:", rows[k]["AllocTRES"])) > 1]:
        if int(rows[k]["ElapsedRaw"]) < LONG_ENOUGH:
            del witnessed[k]  # 24.11's hooks are told one of two types on a node, and the controller was not asked
    held = {k: held_devices(ledger[k]) for k in witnessed}
    assert {k: (held[k], told) for k, told in witnessed.items() if held[k] != told} == {}


def assert_no_device_is_let_twice(site: Site) -> None:
    """At no second do two jobs hold the whole of a device, nor shares of more than one.

    Not the two together: when the first of two jobs on a device's shards ends, Slurm 22.05.8 lets the whole device to
    the next job although the second still holds its shards.
    """
    load: dict[tuple[bool, str, int, int], Fraction] = defaultdict(Fraction)
    for attempt in site.jobs():
        for lease in attempt["leases"]:
            share = Fraction(lease["share"])
            for second in range(lease["start"], lease["end"]) if lease["index"] is not None else ():
                load[share == 1, lease["node"], lease["index"], second] += share
    assert load
    assert {place: share for place, share in load.items() if share > 1} == {}


def assert_quantities(site: Site) -> None:
    """What is held at any time of an attempt is what AllocTRES says."""
    ledger = by_key(site.jobs())
    for k, row in rows_by_key(site.rows).items():
        held: dict[tuple[int, int], Fraction] = defaultdict(Fraction)
        for lease in ledger[k]["leases"]:
            held[lease["start"], lease["end"]] += Fraction(lease["share"]) * lease["count"]
        assert set(held.values()) == ({gpus(row)} if gpus(row) else set()), k


def assert_partition(site: Site) -> None:
    """Every device's time is in exactly one state: gpucost's own check, over all that happened."""
    found = site.gpucost("reconcile", "-S", "now-1hour", "-E", "now", check=False)
    assert [c for c in found["categories"] if c["category"] == "partition"] == []
