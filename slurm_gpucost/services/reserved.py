"""GPUs that reservations kept and nobody held: whose, of which SKU, by which rule, and how long.

Node by node, where the node's GPUs are of one SKU. What attempts hold and block comes first, and what is out of use is
nobody's: reserved time is idle time for which somebody pays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from slurm_gpucost.costing.policy import NONE, RESERVED, Decision
from slurm_gpucost.costing.reserved import Claim, Kept, Load, Room, kept
from slurm_gpucost.domain.outages import cut
from slurm_gpucost.services.blockable import Node, Row
from slurm_gpucost.services.blocked import blocked_on
from slurm_gpucost.services.deciding import Decider
from slurm_gpucost.services.places import stretches
from slurm_gpucost.services.quantities import Held
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.services.reserving import Booking, Site, bookings, site_of
from slurm_gpucost.settings import Pool, Settings

NIL = Fraction(0)
_NOT_AN_ATTEMPT: Row = {
    "state": RESERVED, "user": "", "run": 1, "qos": NONE, "partition": NONE, "suspended": "", "vanished": 0,
    "cancelled_by": None,
}  # fmt: skip


class ReservedTime(NamedTuple):
    """Device time that a reservation kept, of which one rule decided; its rule has the reservation's name before its
    own. Its row has cluster, account and user, which is ''."""

    sku: str
    held: Held


def reserved_time(
    settings: Settings, queries: Queries, pool: Pool, start_ms: int, end_ms: int, known_ms: int | None = None
) -> list[ReservedTime]:
    """What was kept of a pool in [start_ms, end_ms), by owner, SKU, reservation and rule; up to the last look at
    reservations and accounting. Nothing is asked where reservations are not billed.

    How long a rule's ``shorter_than_seconds`` goes by is how long a row of slurmdbd lasts. Classes of accounts are as
    they are at ``known_ms``, else at the start.
    """
    if not settings.billing.bill_reservations or start_ms >= end_ms:
        return []
    decider = Decider(settings, queries, end_ms, start_ms if known_ms is None else known_ms)
    sums: defaultdict[Any, Fraction] = defaultdict(Fraction)
    decisions: dict[int, Decision] = {}
    for booking, sku, node, one in _kept(settings, queries, pool, start_ms, end_ms):
        row, name = booking.row, booking.row["name"]
        fact = {**_NOT_AN_ATTEMPT, "cluster": row["cluster"], "account": booking.account, "reservation": name}
        for low, high, outage in cut(one.start_ms, one.end_ms, decider.outages.get(node, [])):
            decision = decider.decide(fact, outage, row["stop_ms"] - row["start_ms"])
            decisions[decision.row] = decision
            sums[row["cluster"], booking.account, sku, name, decision.row] += one.devices * (high - low)
    return [
        ReservedTime(sku, Held({"cluster": c, "account": a, "user": ""}, _named(decisions[n], name), time, NIL))
        for (c, a, sku, name, n), time in sorted(sums.items())
    ]


def device_ms(settings: Settings, queries: Queries, pool: Pool, start_ms: int, end_ms: int) -> dict[str, Fraction]:
    """SKU -> device-milliseconds that reservations kept of it, and are billed or waived."""
    found: dict[str, Fraction] = {}
    for _, sku, _, one in _kept(settings, queries, pool, start_ms, end_ms):
        found[sku] = found.get(sku, NIL) + one.devices * (one.end_ms - one.start_ms)
    return found


def _named(decision: Decision, name: str) -> Decision:
    return decision._replace(rule=decision.rule._replace(name=f"{name}: {decision.rule.name}"))


def _kept(
    settings: Settings, queries: Queries, pool: Pool, start_ms: int, end_ms: int
) -> Iterator[tuple[Booking, str, Node, Kept]]:
    """Of the pool, but reckoned with all of them: a reservation can have nodes of several."""
    if not settings.billing.bill_reservations or start_ms >= end_ms:
        return
    booked, _ = bookings(settings, queries, start_ms, end_ms)
    if not booked:
        return
    claims = {_claim(one): one for one in booked if one.row["start_ms"] < one.row["stop_ms"]}
    skus = {sku.name for sku in pool.skus}
    for start, end in stretches(settings, start_ms, end_ms):
        site = site_of(settings, queries, start, end)
        rooms = [Room(node, at.start_ms, at.end_ms, at.gpus) for node, places in site.places.items() for at in places]
        for one in kept(rooms, _loads(settings, queries, site, claims, start, end), claims):
            for place in site.places[one.node]:
                low, high = max(one.start_ms, place.start_ms), min(one.end_ms, place.end_ms)
                if low < high and place.sku in skus:
                    yield claims[one.claim], place.sku, one.node, one._replace(start_ms=low, end_ms=high)


def _claim(one: Booking) -> Claim:
    return Claim(one.row["start_ms"], one.row["id"], one.row["stop_ms"], one.row["name"], one.nodes, one.gpus)


def _loads(
    settings: Settings, queries: Queries, site: Site, claims: Mapping[Claim, Booking], start_ms: int, end_ms: int
) -> Iterator[Load]:
    """What of the nodes that are reserved is held, blocked or out of use, less what is held twice.

    26.05's sacct tells no reservation of a job that started in the second in which the reservation began: who starts
    then on its nodes counts as its own, for it must not be billed for GPUs that its own job holds.
    """
    nodes = {node for claim in claims for node in claim.nodes}
    begins = {(node, claim.start_ms): claim.name for claim in claims for node in claim.nodes}
    attempts = queries.ask("node_holds", start_ms=start_ms, end_ms=end_ms)
    within = {(row["cluster"], row["job_id"], row["submit_ms"]): row for row in attempts}

    def reservation(node: Node, row: Row | None) -> str:
        return (row["reservation"] or begins.get((node, row["start_ms"]), "")) if row else ""

    for node in nodes & site.told.keys():
        for row in site.told[node]:
            if row["state"] == "capacity" or not row["share_den"]:
                continue
            gpus = Fraction(row["units"], row["share_den"]) * (-1 if row["state"] == "oversubscribed" else 1)
            attempt = within.get((row["cluster"], row["job_id"], row["submit_ms"]))
            yield Load(node, row["start_ms"], row["end_ms"], gpus, reservation(node, attempt))
    for node, one, row in blocked_on(settings, queries, start_ms, end_ms):
        if node in nodes:
            yield Load(node, one.start_ms, one.end_ms, one.devices, reservation(node, row))
