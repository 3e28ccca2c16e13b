"""What accounting and jobs said, in the ledger's terms: shares no code with the package."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import Any

from tests.cluster.scenario import Site, gpus, started

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
    """Suspended, like 00:01:30, in seconds."""
    hours, minutes, seconds = map(int, row["Suspended"].split(":"))
    return (hours * 60 + minutes) * 60 + seconds


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
