"""What those who pay by TRES held and blocked: on invoices it stays, at price 0, so that GPU-hours can be seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from slurm_gpucost.costing.lines import BLOCKED, USAGE, Charge, LineKey
from slurm_gpucost.costing.policy import Decision
from slurm_gpucost.services.deciding import Row
from slurm_gpucost.services.holds import AttemptKey
from slurm_gpucost.services.quantities import place_of
from slurm_gpucost.services.tres_attempts import ByTres, Window

BY_TRES = "billed by TRES"


class _Taken(NamedTuple):
    """Devices of a SKU that an attempt held or blocked in [start, end) ms UTC."""

    sku: str
    kind: str
    row: Row
    attempt: AttemptKey
    decision: Decision
    start_ms: int
    end_ms: int
    devices: Fraction


def moved(those: ByTres) -> Iterator[Charge]:
    """Takes back what is charged by the GPU-hour of what they held and blocked, and charges it at price 0.

    What rules waive is at price 0 already.
    """
    for (pool, start_ms), priced in sorted(those.parts.items(), key=lambda part: part[0]):
        sums: dict[Any, Fraction] = defaultdict(Fraction)
        decisions: dict[int, Decision] = {}
        for one in _taken(those, pool, priced.period[:2]):
            spans = those.spans[those.pools[one.attempt]]
            ms = sum(max(0, min(one.end_ms, end) - max(one.start_ms, start)) for start, end in spans)
            owner = one.row["cluster"], one.row["account"], one.row["user"]
            decisions[one.decision.row] = one.decision
            sums[*owner, one.sku, one.kind, one.decision.row] += one.devices * ms
        for (cluster, account, user, sku, kind, n), time in sorted(sums.items()):
            billed = time * decisions[n].factor
            if billed:
                key = LineKey(pool, sku, user, start_ms, kind, decisions[n].text, priced.prices[sku])
                yield Charge(cluster, account, key, -billed, -billed)
                key = key._replace(rule=f"{key.rule}, {BY_TRES}", unit_price=Decimal(0))
                yield Charge(cluster, account, key, billed, billed)


def _taken(those: ByTres, pool: str, window: Window) -> Iterator[_Taken]:
    for one in those.held(window):
        found = place_of(those.settings, one.row)
        if found and found[0] == pool:
            where = found[1], USAGE, one.row, one.lease[:3]
            yield _Taken(*where, one.decision, one.start_ms, one.end_ms, one.devices)
    for each in those.blocked(pool, window):
        where = each.sku, BLOCKED, each.row, each.attempt
        yield _Taken(*where, each.decision, each.start_ms, each.end_ms, each.devices)
