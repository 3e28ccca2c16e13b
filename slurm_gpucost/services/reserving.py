"""Which reservations are billed, to whom, and how many GPUs they reserve; and which are not, and why.

Nobody is billed by a guess: who pays is the config's word, else the only account that Slurm names, and of a reservation
of cores nobody knows which GPUs it keeps. Maintenance is nobody's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from fractions import Fraction
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from slurm_gpucost.costing.tres_text import allocated
from slurm_gpucost.domain.matching import nodes_of
from slurm_gpucost.domain.units import MS
from slurm_gpucost.services.blockable import Node, Place, Row, places_of
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.settings import Settings

GPU = "gres/gpu"
ROOT = "root"
"""Slurm's own account: administrators reserve by it, and nobody pays for it unless the config says so."""


class Booking(NamedTuple):
    """A row of reservations that is billed."""

    row: Row
    account: str
    nodes: tuple[Node, ...]
    gpus: Fraction | None
    """By number, on all its nodes together; None: all that they have."""


class Site(NamedTuple):
    """What nodes have in a window."""

    told: dict[Node, list[Row]]
    """The rows of node_gpus, or of node_slots."""
    places: dict[Node, list[Place]]


def site_of(settings: Settings, queries: Queries, start_ms: int, end_ms: int, *, slots_alone: bool = False) -> Site:
    """The nodes with GPUs in [start_ms, end_ms), of all pools; ``slots_alone``: without what was held of them."""
    rows = queries.ask("node_slots" if slots_alone else "node_gpus", start_ms=start_ms, end_ms=end_ms)
    told = {node: list(those) for node, those in groupby(rows, key=itemgetter("cluster", "node"))}
    skus = {sku.name: sku.blocking for pool in settings.pools for sku in pool.skus}
    return Site(told, places_of(settings, queries, skus, told, (start_ms, end_ms)))


def bookings(
    settings: Settings, queries: Queries, start_ms: int, end_ms: int
) -> tuple[list[Booking], list[tuple[Row, str]]]:
    """The reservations in [start_ms, end_ms) that are billed, and those that are not with why; none of maintenance."""
    found: list[Booking] = []
    left: list[tuple[Row, str]] = []
    cpus: dict[Node, list[tuple[int, int]]] = {}
    rows = [
        row
        for row in queries.ask("reservations", start_ms=start_ms, end_ms=end_ms)
        if row["nodes"] and "MAINT" not in row["flags"].split(",")  # without nodes: of licences alone
    ]
    for one in queries.ask("node_cpus") if rows else ():
        cpus.setdefault((one["cluster"], one["node"]), []).append((one["observed_at_ms"], one["cpus"]))
    for row in rows:
        try:
            account, whole = _payer(settings, row)
            nodes = tuple((row["cluster"], name) for name in sorted(nodes_of(row["nodes"])))
            if not nodes:
                raise ValueError("its nodes cannot be read")
            found.append(Booking(row, account, nodes, _gpus(row, nodes, whole, cpus)))
        except ValueError as why:
            left.append((row, str(why)))
    return found, left


def unbilled(settings: Settings, queries: Queries, start_ms: int, end_ms: int) -> list[dict[str, Any]]:
    """The reservations of GPUs in [start_ms, end_ms) that nobody is billed for: ``cluster``, ``id``, ``name``, since
    when (``start``, seconds since 1970) and ``why``. Nothing is asked where reservations are not billed."""
    if not settings.billing.bill_reservations or start_ms >= end_ms:
        return []
    billed, left = bookings(settings, queries, start_ms, end_ms)
    if not billed and not left:
        return []
    site = site_of(settings, queries, start_ms, end_ms, slots_alone=True)
    having = site.places.keys() | site.told.keys()
    for one in billed:
        if not any(node in site.places for node in one.nodes):
            left.append((one.row, "its nodes have GPUs of several SKUs, or of none"))
    found: dict[tuple[str, int, str, str], int] = {}
    for row, why in left:
        nodes = [(row["cluster"], name) for name in nodes_of(row["nodes"])]
        if not nodes or any(node in having for node in nodes):
            key = (row["cluster"], row["id"], row["name"], why)
            found[key] = min(found.get(key, row["start_ms"]), row["start_ms"])
    return [
        {"cluster": cluster, "id": number, "name": name, "start": at // MS, "why": why}
        for (cluster, number, name, why), at in sorted(found.items())
    ]


def _payer(settings: Settings, row: Row) -> tuple[str, bool | None]:
    """(account, whether all GPUs of the nodes are reserved); None: Slurm's TRES say. Raises ValueError with why not."""
    if not row["name"]:
        raise ValueError("its name cannot be told from the text that slurmdbd prints")
    for one in settings.billing.payers:
        if fnmatchcase(row["name"], one.name):
            return one.account, one.whole_nodes
    accounts: list[str] = json.loads(row["accounts"])
    if len(accounts) != 1:
        raise ValueError(f"Slurm names {'several accounts' if accounts else 'no account'}; {_todo(settings)}")
    if accounts[0] in ("", ROOT):
        name = "the account root alone" if accounts[0] else "an association that it does not know any more"
        raise ValueError(f"Slurm names {name}; {_todo(settings)}")
    return accounts[0], None


def _todo(settings: Settings) -> str:
    return f"{settings.path}: say under [[reservations]] which account pays"


def _gpus(
    row: Row, nodes: Sequence[Node], whole: bool | None, cpus: dict[Node, list[tuple[int, int]]]
) -> Fraction | None:
    if whole:
        return None
    try:
        tres = allocated(row["tres"])
    except ValueError:
        raise ValueError(f"its TRES '{row['tres']}' cannot be read") from None
    typed = sum((amount for name, amount in tres.items() if name.startswith(f"{GPU}:")), Fraction(0))
    gpus = tres.get(GPU, typed)
    if gpus or whole is False:
        return gpus
    if any(name.startswith("gres/") for name in tres):  # then its CPUs do not say that it has the nodes whole
        raise ValueError(f"it reserves {row['tres']}; `whole_nodes = true` under [[reservations]] bills all GPUs")
    there = [_at(cpus[node], row["start_ms"]) if node in cpus else None for node in nodes]
    if None in there:
        raise ValueError("nobody says how many CPUs its nodes have, so not whether it is of whole nodes")
    if tres.get("cpu", 0) < sum(number for number in there if number is not None):
        raise ValueError("it is of some cores only; `whole_nodes = true` under [[reservations]] bills all GPUs")
    return None


def _at(said: list[tuple[int, int]], at_ms: int) -> int:
    """What was said last by then, else what was said first."""
    return [number for observed, number in said if observed <= at_ms or observed == said[0][0]][-1]
