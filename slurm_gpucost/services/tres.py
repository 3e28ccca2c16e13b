"""What attempts pay by TRES, in pools that bill so.

An hour of an attempt costs what its AllocTRES does at the pool's prices, with the GPUs that it blocks at that moment as
if it held them. Its TRES lie evenly on its nodes: where one of these is out of use the rules decide on its part. While
it was suspended an attempt pays for nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

from slurm_gpucost.costing.lines import TRES, WAIVED_TRES, Charge, LineKey, Priced
from slurm_gpucost.costing.policy import Decision
from slurm_gpucost.costing.tres import Prices, with_blocked
from slurm_gpucost.costing.tres_bill import Item, items
from slurm_gpucost.domain.outages import cut
from slurm_gpucost.services.blocked import BlockedPiece
from slurm_gpucost.services.deciding import Decider
from slurm_gpucost.services.holds import Row, key_of, names_of, ran_ms, unseen_stops
from slurm_gpucost.services.places import stretches
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.services.tres_attempts import ByTres, Window, read
from slurm_gpucost.services.tres_held import moved
from slurm_gpucost.settings import Settings

_Level = tuple[tuple[str, Fraction], ...]
"""(SKU, devices) that an attempt blocks at a moment, on all its nodes."""


def charges(
    settings: Settings, queries: Queries, parts: Mapping[tuple[str, int], Priced], known_ms: int | None = None
) -> list[Charge]:
    """What is billed by TRES in the parts, and what moves what the same attempts held and blocked to price 0.

    Nothing is asked where no pool bills so. An attempt whose AllocTRES cannot be read is billed by what it held.
    """
    if not any(priced.tres for priced in parts.values()) and not any(pool.tres for pool in settings.pools):
        return []
    found: list[Charge] = []
    for clipped in _between_moves(settings, parts):
        those = ByTres(settings, queries, clipped, known_ms)
        for (pool, start_ms), priced in sorted(clipped.items(), key=lambda part: part[0]):
            if priced.tres is not None:
                found += _lines(those, pool, start_ms, priced, priced.tres)
        found += moved(those)
    return found


def _between_moves(
    settings: Settings, parts: Mapping[tuple[str, int], Priced]
) -> Iterator[dict[tuple[str, int], Priced]]:
    """The parts cut where nodes go to another pool: from then on their jobs belong to that one."""
    periods = [priced.period for priced in parts.values()]
    for low, high in stretches(settings, min(p.start_ms for p in periods), max(p.end_ms for p in periods)):
        clipped = {}
        for key, priced in parts.items():
            start, end = max(low, priced.period.start_ms), min(high, priced.period.end_ms)
            if start < end:
                clipped[key] = replace(priced, period=priced.period._replace(start_ms=start, end_ms=end))
        if clipped:
            yield clipped


def _lines(those: ByTres, pool: str, start_ms: int, priced: Priced, prices: Prices) -> Iterator[Charge]:
    times, decisions = _times(those, pool, priced.period[:2])
    hour = cache(lambda text, level: _hour(those.settings, text, level, prices))
    for (cluster, account, user, n, text, level), time in sorted(times.items()):
        rule, factor = decisions[n].text, decisions[n].factor
        for item in hour(text, level):
            for kind, part, price in ((TRES, factor, item.price), (WAIVED_TRES, 1 - factor, Decimal(0))):
                if part:
                    key = LineKey(pool, item.tres, user, start_ms, kind, rule, price)
                    yield Charge(cluster, account, key, item.quantity * time * part, Fraction(0))


def _hour(settings: Settings, alloc_tres: str, level: _Level, prices: Prices) -> tuple[Item, ...]:
    """What an hour costs; blocked GPUs are of the type that the attempt holds, else that has a price."""
    tres = read(alloc_tres) or {}
    priced = {name for group in (*prices.groups, prices.beside) for name in group}
    kinds = {sku.name: sku.gres_types for pool in settings.pools for sku in pool.skus}
    for sku, devices in level:
        known = [kind for names in (tres, priced) for kind in kinds[sku] if f"gres/gpu:{kind}" in names]
        tres = with_blocked(tres, devices, [*known, *kinds[sku], ""][0])
    return items(tres, prices)


def _times(those: ByTres, pool: str, window: Window) -> tuple[dict[Any, int | Fraction], dict[int, Decision]]:
    """ms of the pool's attempts in a window by owner, number of the rule, AllocTRES and level; and the rules."""
    known_ms = window[0] if those.known_ms is None else those.known_ms
    decider = Decider(those.settings, those.queries, window[1], known_ms)
    stops, blocks = those.stops(window), those.blocked_by(window)
    sums: dict[Any, int | Fraction] = defaultdict(int)
    decisions: dict[int, Decision] = {}
    for row in those.attempts(window):
        key = key_of(row)
        start, end = max(row["start_ms"], window[0]), min(row["stop_ms"], window[1])
        if those.pools.get(key) != pool or start >= end:
            continue
        ran, out = {**row, "suspended": ""}, stops[key] if key in stops else unseen_stops(row)
        for low, high, suspended in cut(start, end, out):
            for begun, over, level in () if suspended else _levels(low, high, blocks.get(key, ())):
                for outage, time in _by_outage(decider, row, begun, over):
                    decision = decider.decide(ran, outage, ran_ms(row))
                    decisions[decision.row] = decision
                    owner = row["cluster"], row["account"], row["user"]
                    sums[*owner, decision.row, row["alloc_tres"], level] += time
    return sums, decisions


def _levels(start_ms: int, end_ms: int, blocks: Iterable[BlockedPiece]) -> Iterator[tuple[int, int, _Level]]:
    """[start, end) in pieces, each with what an attempt blocks in it."""
    changes: dict[int, list[tuple[str, Fraction]]] = defaultdict(list)
    for one in blocks:
        low, high = max(one.start_ms, start_ms), min(one.end_ms, end_ms)
        if low < high:
            changes[low].append((one.sku, one.devices))
            changes[high].append((one.sku, -one.devices))
    at, now = start_ms, dict[str, Fraction]()
    for moment in [*sorted(changes), end_ms]:
        if at < moment:
            yield at, moment, tuple(sorted((sku, devices) for sku, devices in now.items() if devices))
        for sku, more in changes.get(moment, ()):
            now[sku] = now.get(sku, Fraction(0)) + more
        at = moment


def _by_outage(decider: Decider, row: Row, start_ms: int, end_ms: int) -> list[tuple[str, int | Fraction]]:
    """(outage or '', ms) of an attempt's time: of each node its part of it."""
    nodes = names_of(row["node_list"])
    out = {node: decider.outages.get((row["cluster"], node), []) for node in nodes}
    if not any(out.values()):
        return [("", end_ms - start_ms)]
    sums: Counter[str] = Counter()
    for those in out.values():
        for low, high, outage in cut(start_ms, end_ms, those):
            sums[outage] += high - low
    return [(outage, Fraction(time, len(nodes))) for outage, time in sorted(sums.items())]
