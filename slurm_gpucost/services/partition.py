"""Does the ledger account for every device, once, at every moment? Added up from its rows, not from how they were made.

At each moment, of each slot that exists:   named leases + leased + idle + completing + unavailable - oversubscribed = 1
and of each node that has any:              leases known by node alone = leased + oversubscribed (the node's own)

Nothing but rows and sums: whoever deletes, stretches or doubles one, of whatever kind, makes a difference here.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from itertools import groupby, pairwise
from math import lcm
from operator import itemgetter
from typing import TypedDict

from slurm_gpucost.ledger.queries import text_of

_NODE = -1
_Row = tuple[str, str, int | None, str, int, int, int, int]
"""cluster, node, gres_index, state, numerator, denominator, start ms, end ms: a row of partition.sql."""
_EXISTS, _HELD, _TOLD = range(3)
"""What a row adds to: that the slot exists, what leases hold of it, what device_time says of it."""
_Steps = dict[int, list[int]]
"""Moment -> by how much each of the three changes then, in parts of a device: so many that all shares are whole."""


class Difference(TypedDict):
    """Where a slot's time, or a node's, is not accounted for exactly once. Quantities are device-milliseconds."""

    cluster: str
    node: str
    gres_index: int | None
    """None: of the node, in leases known by node alone."""
    missing: Fraction
    """Existed and is in no state; of a node: held, and on no slot."""
    excess: Fraction
    """Is in more states than it can be; of a node: on slots, and held by nobody."""
    first_ms: int
    """When it first goes wrong, and until when it stays so."""
    until_ms: int


def check(db: sqlite3.Connection, start_ms: int, end_ms: int) -> list[Difference]:
    """The differences in [start_ms, end_ms) ms UTC, by cluster, node and slot; none where the ledger is whole.

    What has no end yet counts until ``end_ms``, on both sides. Shards of which nobody says how many make up a device
    weigh nothing, as in the ledger. A node that the controller never reported has no capacity, and is not looked at.
    """
    cursor = db.cursor()
    cursor.row_factory = None
    rows: Iterator[_Row] = cursor.execute(text_of("partition"), {"start_ms": start_ms, "end_ms": end_ms})
    return [
        difference
        for (cluster, node), said in groupby(rows, key=itemgetter(0, 1))
        for difference in _of_node(cluster, node, list(said))
    ]


def _of_node(cluster: str, node: str, rows: list[_Row]) -> Iterator[Difference]:
    if all(state == "lease" for _, _, _, state, *_ in rows):
        return  # never reported
    parts = lcm(*{den for *_, den, _, _ in rows if den})
    changes: dict[int, _Steps] = defaultdict(lambda: defaultdict(lambda: [0, 0, 0]))
    for _, _, index, state, num, den, start, end in rows:
        share = num * (parts // den) if den else 0
        for slot, what, sign in _effects(index, state):
            changes[slot][start][what] += sign * share
            changes[slot][end][what] -= sign * share
    for slot in sorted(changes):
        wrong = list(_wrong(changes[slot], slot == _NODE))
        if wrong:
            yield {
                "cluster": cluster,
                "node": node,
                "gres_index": None if slot == _NODE else slot,
                "missing": Fraction(sum(-by * (end - start) for start, end, by in wrong if by < 0), parts),
                "excess": Fraction(sum(by * (end - start) for start, end, by in wrong if by > 0), parts),
                "first_ms": wrong[0][0],
                "until_ms": wrong[0][1],
            }


def _effects(index: int | None, state: str) -> Iterator[tuple[int, int, int]]:
    """(slot, what, sign): to what of which slot, or of the node, a row adds."""
    slot = _NODE if index is None else index
    if state == "capacity":
        yield slot, _EXISTS, 1
        yield _NODE, _EXISTS, 1
    elif state == "lease":
        yield slot, _HELD, 1
    elif slot == _NODE:
        yield _NODE, _TOLD, 1
    else:
        yield slot, _TOLD, -1 if state == "oversubscribed" else 1
        if state == "leased":
            yield _NODE, _TOLD, 1


def _wrong(changes: _Steps, of_node: bool) -> Iterator[tuple[int, int, int]]:
    """(from, until, by how many parts of a device too much or, below 0, too little is told)."""
    exists = held = told = 0
    moments = sorted(changes)
    for at_ms, after_ms in pairwise(moments):
        step = changes[at_ms]
        exists, held, told = exists + step[_EXISTS], held + step[_HELD], told + step[_TOLD]
        if not exists:  # what leases hold of a slot before it was first reported has no device_time
            by = told
        else:
            by = told - held if of_node else held + told - exists
        if by:
            yield at_ms, after_ms, by
