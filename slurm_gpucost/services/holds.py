"""Rows of the query ``node_holds``: attempts whole, with the nodes and the TRES that they held."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from slurm_gpucost.domain.inventory import Outage
from slurm_gpucost.domain.matching import nodes_of
from slurm_gpucost.domain.records import Attempt
from slurm_gpucost.domain.suspension import stretches

Row = dict[str, Any]
AttemptKey = tuple[str, int, int]
"""Cluster, job id and submit ms of an attempt; they sort."""
SUSPENDED = "suspended"


@lru_cache(maxsize=65536)
def names_of(node_list: str) -> frozenset[str]:
    """The nodes of a hostlist."""
    return nodes_of(node_list)


def key_of(row: Row) -> AttemptKey:
    """Whose row it is; rows of leases have these columns, too."""
    return row["cluster"], row["job_id"], row["submit_ms"]


def ran_ms(row: Row) -> int:
    """How long the attempt ran, net of suspension; so far, if it has not ended."""
    return int(
        row["stop_ms"] - row["start_ms"] - row["suspended_ms"] if row["elapsed_ms"] is None else row["elapsed_ms"]
    )


def unseen_stops(row: Row) -> list[Outage]:
    """When an attempt without leases was suspended: nobody saw it, so it counts as at its end."""
    attempt = Attempt._make(b"" if name == "evidence" else row[name] for name in Attempt._fields)
    return [Outage(one.start_ms, one.end_ms, SUSPENDED) for one in stretches(attempt, ()) if one.suspended]
