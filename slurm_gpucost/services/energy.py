"""Energy of held time on invoices: billed where a pool's rate has two parts, else told beside the price of the hour.

Energy is measured, of hosts as stated, and imputed, each by itself. The billing rules decide on energy as on the time
in which it was drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction

from slurm_gpucost.costing.exact import exact_decimal
from slurm_gpucost.costing.lines import ENERGY, WAIVED_ENERGY, Charge, LineKey, Priced, Told
from slurm_gpucost.costing.periods import Period
from slurm_gpucost.services.drawn import Drawn, JobsEnergy, Parts
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.settings import Settings

NIL = Fraction(0)
Of = Mapping[str, list[Drawn]]
"""What was drawn, by pool."""


def billed(settings: Settings, queries: Queries, parts: Mapping[tuple[str, int], Priced], known_ms: int) -> Of:
    """What jobs drew in the parts, of the pools of which a part's price bears no energy.

    Give all parts of a month: its mean power is imputed. Classes of accounts are as they are at ``known_ms``.
    """
    return _of(settings, queries, _periods(parts), _two_parts(parts), known_ms)


def shown(settings: Settings, queries: Queries, parts: Mapping[tuple[str, int], Priced], known_ms: int) -> Of:
    """The same, and of the pools whose energy is told beside the price: measured, or with a factor of emission."""
    return _with_told(settings, queries, _periods(parts), _two_parts(parts), known_ms)


def of_time(settings: Settings, queries: Queries, start_ms: int, end_ms: int) -> Of:
    """What jobs drew in a time, of all pools whose energy is measured or priced, or has a factor of emission."""
    periods = {(pool.name, start_ms): Period(start_ms, end_ms, pool.timezone) for pool in settings.pools}
    two = {pool.name for pool in settings.pools if pool.energy.parts == 2}
    return _with_told(settings, queries, periods, two, start_ms)


def _with_told(settings: Settings, queries: Queries, periods: Parts, two: set[str], known_ms: int) -> Of:
    emits = {pool.name for pool in settings.pools if pool.energy.emission}
    measured = {pool.name for pool in settings.pools} if queries.ask("measured_devices") else set()
    found = _of(settings, queries, periods, two | emits | measured, known_ms)
    return {pool: drawn for pool, drawn in found.items() if pool in two | emits or _measured(drawn)}


def _of(settings: Settings, queries: Queries, periods: Parts, pools: set[str], known_ms: int) -> Of:
    own = {(pool, start): period for (pool, start), period in periods.items() if pool in pools}
    found: dict[str, list[Drawn]] = {}
    for one in JobsEnergy(settings, queries, own, known_ms).found() if own else ():
        found.setdefault(one.owner.pool, []).append(one)
    return found


def _periods(parts: Mapping[tuple[str, int], Priced]) -> Parts:
    return {key: priced.period for key, priced in parts.items()}


def _two_parts(parts: Mapping[tuple[str, int], Priced]) -> set[str]:
    return {pool for (pool, _), priced in parts.items() if priced.rate_parts == 2}


def _measured(drawn: list[Drawn]) -> bool:
    return any(one.kind == ENERGY and one.energy_mj for one in drawn)


def charges(parts: Mapping[tuple[str, int], Priced], drawn: Of) -> Iterator[Charge]:
    """The energy of the parts whose prices bear none: a charge for each price of the tariff, and what is waived."""
    for those in drawn.values():
        for one in those:
            owner = one.owner
            if parts[owner.pool, owner.start_ms].rate_parts == 2:
                rule = f"{one.basis}, {owner.rule}" if one.basis else owner.rule
                for line in one.lines:
                    for kind, part, price in (
                        (one.kind, owner.factor, exact_decimal(line.price)),
                        (WAIVED_ENERGY, 1 - owner.factor, Decimal(0)),
                    ):
                        if part:
                            key = LineKey(owner.pool, owner.sku, owner.user, owner.start_ms, kind, rule, price)
                            yield Charge(owner.cluster, owner.account, key, line.kwh * part, NIL, line.grams * part)


def told(settings: Settings, parts: Mapping[tuple[str, int], Priced], drawn: Of) -> dict[tuple[str, str, str], Told]:
    """By cluster, account and user: what their jobs drew, billed or not, that is on no line; and what was measured."""
    found: dict[tuple[str, str, str], Told] = {}
    for one, energy in energies(settings, drawn):
        owner = one.owner
        beside = parts[owner.pool, owner.start_ms].rate_parts == 1
        more = energy if beside else Told(measured_kwh=energy.measured_kwh)
        key = (owner.cluster, owner.account, owner.user)
        found[key] = found[key].plus(more) if key in found else more
    return found


def energies(settings: Settings, drawn: Of) -> Iterator[tuple[Drawn, Told]]:
    """All that was drawn, each with what is told of it; nothing of what was nothing."""
    emits = {pool.name for pool in settings.pools if pool.energy.emission}
    for pool, those in drawn.items():
        for one in those:
            if kwh := one.kwh:
                yield one, Told(kwh, one.grams if pool in emits else None, kwh if one.kind == ENERGY else NIL)
