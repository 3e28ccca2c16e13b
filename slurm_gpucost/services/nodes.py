"""What is known of the nodes that write here: a row for each journal, and what of it a person should look at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from slurm_gpucost.domain.units import MS
from slurm_gpucost.ledger.journals import TAKEN, WAITING
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.settings import Settings

ENROLLED = "enrolled"
"""State of a node that has a token and was never heard."""
AHEAD_MS = 2_000
BEHIND_MS = 10_000
"""More than ahead, for what waited on its way looks like a clock that is behind."""
_SHOWN = 8
Node = dict[str, Any]


def listed(queries: Queries) -> list[Node]:
    """The nodes in order of cluster and name; times in seconds since 1970, None where it was not told.

    Keys: cluster, node, enrolled (it has a good token), journal, state (``taken``, ``waiting``, ``retired`` or
    ``enrolled``), held, missing, last_heard, unsent, spool, driver, paused, dropped_windows, version, clock_ahead_ms,
    beyond (rows that were counted and not kept).
    """
    return [_node(row) for row in queries.ask("nodes")]


def _node(row: dict[str, Any]) -> Node:
    said = json.loads(row["said"] or "{}")
    driver = said.get("driver")
    return {
        "cluster": row["cluster"],
        "node": row["node"],
        "enrolled": bool(row["enrolled"]),
        "journal": row["journal"],
        "state": row["state"] or ENROLLED,
        "held": row["held"],
        "missing": row["missing"],
        "last_heard": None if row["last_heard_ms"] is None else row["last_heard_ms"] // MS,
        "unsent": _number(said.get("unsent")),
        "spool": _number(said.get("spool")),
        "driver": driver if isinstance(driver, str) else None,
        "paused": said.get("paused") is True,
        "dropped_windows": _number(said.get("dropped_windows")),
        "version": row["version"],
        "clock_ahead_ms": row["clock_ahead_ms"],
        "beyond": row["beyond"],
    }


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62 else None


def findings(settings: Settings, queries: Queries, nodes: list[Node], now_ms: int) -> list[str]:
    """Lines for a person. What a node told last counts only as long as it is heard."""
    silent_ms = settings.collector.silent_seconds * MS
    away = {(row["cluster"], row["node"]) for row in queries.ask("nodes_away", now_ms=now_ms)}
    taken = [one for one in nodes if one["state"] == TAKEN and one["enrolled"]]
    silent = [one for one in taken if now_ms - one["last_heard"] * MS > silent_ms]
    heard = [one for one in taken if now_ms - one["last_heard"] * MS <= silent_ms]
    found = _silence(silent, heard, away, settings)
    found += [_waits(one, nodes) for one in nodes if one["state"] == WAITING]
    found += _some(nodes, "missing", "entries were lost on nodes before they could be sent")
    off = [one for one in heard if not -BEHIND_MS <= one["clock_ahead_ms"] <= AHEAD_MS]
    if off:
        found.append(f"clocks of nodes are off: {_names(off, lambda one: _off(one['clock_ahead_ms']))}; mend their NTP")
    broken = [one for one in heard if one["driver"] not in (None, "", "ok", "not started") and not one["paused"]]
    found += [f"{one['node']}: driver: {one['driver']}" for one in broken[:_SHOWN]]
    if len(broken) > _SHOWN:
        found.append(f"drivers of {len(broken) - _SHOWN} more nodes are not ok; see `gpucost node list`")
    found += _some(heard, "dropped_windows", "usage windows were dropped on nodes whose journal was full")
    beyond = [one for one in nodes if one["beyond"]]
    if beyond:
        text = _names(_each(beyond), lambda one: str(one["beyond"]))
        found.append(f"nodes sent more rows that cannot be taken in than are kept (table set_aside): {text}")
    return found + _claimed(queries, now_ms - silent_ms)


def _silence(silent: list[Node], heard: list[Node], away: set[tuple[str, str]], settings: Settings) -> list[str]:
    """Nodes that Slurm itself knows to be gone or down are no alarm."""
    told = [one for one in silent if (one["cluster"], one["node"]) not in away]
    if not told:
        return []
    if not heard:
        latest = max(one["last_heard"] for one in told)
        return [f"no node has been heard since {_when(latest, settings)}: does `gpucostd collector` run?"]
    names = _names(told, lambda one: f"since {_when(one['last_heard'], settings)}")
    return [f"silent nodes, of whose GPUs nothing is known meanwhile: {names}"]


def _waits(one: Node, nodes: Iterable[Node]) -> str:
    other = next(
        (
            f", {rival['journal']} is"
            for rival in nodes
            if (rival["cluster"], rival["node"], rival["state"]) == (one["cluster"], one["node"], TAKEN)
        ),
        "",
    )
    return (
        f"node {one['node']} of {one['cluster']} has two journals: {one['journal']} is not taken in{other}. Two "
        f"machines with one name? After a reinstallation: `gpucost node enroll {one['node']} --accept {one['journal']}`"
    )


def _some(nodes: Iterable[Node], key: str, what: str) -> list[str]:
    found = [one for one in nodes if one[key]]
    return [f"{what}: {_names(found, lambda one: str(one[key]))}"] if found else []


def _claimed(queries: Queries, since_ms: int) -> list[str]:
    by_device: dict[str, list[str]] = {}
    for row in queries.ask("claimed_twice", start_ms=since_ms):
        by_device.setdefault(row["device"], []).append(f"{row['node']} of {row['cluster']}")
    found = [
        f"{device} is told of by {' and '.join(names)}: the first one's word counts"
        for device, names in by_device.items()
    ]
    more = len(found) - _SHOWN
    return found[:_SHOWN] + ([f"{more} more devices are told of by two nodes"] if more > 0 else [])


def _each(nodes: Iterable[Node]) -> list[Node]:
    """Each node once."""
    return list({(one["cluster"], one["node"]): one for one in nodes}.values())


def _names(nodes: list[Node], what: Callable[[Node], str]) -> str:
    shown = ", ".join(f"{one['node']} ({what(one)})" for one in nodes[:_SHOWN])
    return shown + (f" and {len(nodes) - _SHOWN} more" if len(nodes) > _SHOWN else "")


def _off(ahead_ms: int) -> str:
    return f"{abs(ahead_ms) / MS:.1f} s {'ahead' if ahead_ms > 0 else 'behind'}"


def _when(seconds: int, settings: Settings) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC).astimezone(settings.timezone):%Y-%m-%d %H:%M}"
