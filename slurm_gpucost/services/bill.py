"""Invoices and statements of a month."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from slurm_gpucost.costing.accounts import Holder, holder
from slurm_gpucost.costing.free import Free
from slurm_gpucost.costing.invoices import invoices, statement
from slurm_gpucost.costing.lines import BLOCKED, RESERVED, USAGE, WAIVED, Charge, LineKey, Priced, Terms
from slurm_gpucost.domain.errors import ConfigError
from slurm_gpucost.domain.units import HOUR_MS, decimal_text
from slurm_gpucost.ledger.queries import Rows
from slurm_gpucost.services import accounts, energy, places, rates, tres
from slurm_gpucost.services.blocked import blocked_time
from slurm_gpucost.services.quantities import Held, device_ms, held, place_of
from slurm_gpucost.services.queries import Queries, Sees
from slurm_gpucost.services.rates import period_in, published
from slurm_gpucost.services.reserved import reserved_time
from slurm_gpucost.settings import Settings
from slurm_gpucost.settings.currencies import minor_unit


def bill(
    settings: Settings, queries: Queries, month: str, account: str | None = None, user: str | None = None
) -> list[dict[str, Any]]:
    """The invoices of a month, one per cluster and account; with ``user``, that user's statements instead.

    Status is ``provisional``: periods cannot be closed yet.
    """
    parts = priced_parts(settings, queries, month)
    known_ms = period_in(month, settings.timezone).start_ms
    drawn = (energy.shown if settings.billing.show_energy else energy.billed)(settings, queries, parts, known_ms)
    terms = replace(terms_of(settings, queries, parts, month), told=energy.told(settings, parts, drawn))
    made = invoices(charges(settings, queries, parts, month, drawn), terms)
    if account is not None:
        made = [invoice for invoice in made if invoice["account"] == account]
    if user is not None:
        made = [s for s in (statement(invoice, user) for invoice in made) if s is not None]
    return made


def terms_of(settings: Settings, queries: Queries, parts: Mapping[tuple[str, int], Priced], month: str) -> Terms:
    """What the invoices of a month share."""

    def free(_cluster: str, account: str) -> list[Free]:
        return [
            one.free._replace(name=f"{one.free.name}, paid by {one.funder}" if one.funder else one.free.name)
            for one in settings.free
            if not one.accounts or account in one.accounts
        ]

    period = period_in(month, settings.timezone)
    known = accounts.known_at(settings, queries, period.start_ms)

    def of(cluster: str, account: str) -> Holder:
        try:
            return holder(known.facts_at(cluster, account, period.start_ms), settings.classes)
        except ValueError as error:  # imported when the config still had that class
            raise ConfigError(f"{settings.path}: classes: account {account} of {cluster}: {error}") from None

    emits = frozenset(pool.name for pool in settings.pools if pool.energy.emission)
    return Terms(
        settings.currency, minor_unit(settings.currency), parts, period, settings.billing.rounding, free, of, emits,
        owning=settings.owning,
    )  # fmt: skip


def priced_parts(settings: Settings, queries: Queries, month: str) -> dict[tuple[str, int], Priced]:
    """The month of each pool in its own zone, cut where its prices change, by pool and beginning."""
    cards = published(queries)
    return {
        (pool.name, part.period.start_ms): part
        for pool in settings.pools
        for part in rates.priced_parts(settings, cards, pool, month)
    }


def charges(
    settings: Settings, queries: Queries, parts: Mapping[tuple[str, int], Priced], month: str,
    drawn: energy.Of | None = None,
) -> list[Charge]:  # fmt: skip
    """All that is to be paid for the parts, each pool in its own. What has no SKU is :func:`unpriced`.

    ``drawn``: the energy of jobs, if it is known already.
    """
    found: list[Charge] = []
    pools = {pool.name: pool for pool in settings.pools}
    known_ms = period_in(month, settings.timezone).start_ms
    for (pool, start_ms), priced in sorted(parts.items(), key=lambda part: part[0]):
        for one in held(settings, queries, start_ms, priced.period.end_ms, known_ms):
            place = place_of(settings, one.row)
            if place is not None and place[0] == pool:
                found += _of_held(one, place, start_ms, priced.prices[place[1]], USAGE)
        for sku, one in blocked_time(settings, queries, pools[pool], start_ms, priced.period.end_ms, known_ms):
            found += _of_held(one, (pool, sku), start_ms, priced.prices[sku], BLOCKED)
        for sku, one in reserved_time(settings, queries, pools[pool], start_ms, priced.period.end_ms, known_ms):
            found += _of_held(one, (pool, sku), start_ms, priced.prices[sku], RESERVED)
    if drawn is None:
        drawn = energy.billed(settings, queries, parts, known_ms)
    return [*found, *energy.charges(parts, drawn), *tres.charges(settings, queries, parts, known_ms)]


def _of_held(one: Held, place: tuple[str, str], start_ms: int, price: Decimal, billed_as: str) -> Iterator[Charge]:
    """What a rule bills of held, blocked or reserved time, and what it waives: that is charged, too, at price 0."""
    row, rule, factor = one.row, one.decision.text, one.decision.factor
    billed = one.device_ms * factor
    for kind, quantity, time, each in (
        (billed_as, billed + one.added_ms, billed, price),
        (WAIVED, one.device_ms - billed, one.device_ms - billed, Decimal(0)),
    ):
        if quantity:
            key = LineKey(*place, row["user"], start_ms, kind, rule, each)
            yield Charge(row["cluster"], row["account"], key, quantity, time)


def owned(
    rows: Iterable[places.Row], account: str | None, user: str | None, sees: Sees | None = None
) -> list[places.Row]:
    """The rows of an account, or a user, or both. ``sees``: those that may be shown; None: all."""
    return [
        row
        for row in rows
        if account in (None, row["account"])
        and user in (None, row["user"])
        and (sees is None or sees(row["cluster"], row["account"], row["user"]))
    ]


def held_leases(
    queries: Queries, start_ms: int, end_ms: int, account: str | None, user: str | None, sees: Sees | None = None
) -> int:
    """How many leases hooks alone know: they are not billed."""
    rows = queries.ask("billable_time", start_ms=start_ms, end_ms=end_ms, held=1, **places.EVERYWHERE)
    return sum(row["leases"] for row in owned(rows, account, user, sees))


def unpriced(
    settings: Settings,
    queries: Queries,
    start_ms: int,
    end_ms: int,
    account: str | None = None,
    user: str | None = None,
    sees: Sees | None = None,
) -> Rows:
    """Time on devices that no SKU prices: never dropped, shown with the key that would price it."""
    rows: dict[tuple[str, str, str, str, bool], Fraction] = {}
    for row in owned(places.ask(settings, queries, "billable_time", start_ms, end_ms, held=0), account, user, sees):
        if place_of(settings, row) is None and not row["suspended"]:
            key = (row["cluster"], row["gres_name"], row["gres_type"], row["model"] or "", not row["share_den"])
            rows[key] = rows.get(key, Fraction(0)) + device_ms(row)
    return [
        {
            "cluster": cluster,
            "gres": f"{name}:{kind}" if kind else name,
            "model": model,
            "units": "shards" if unknown_size else "GPUs",
            "unit_hours": decimal_text(quantity / HOUR_MS, 6),
            "todo": _todo(settings, name, kind),
        }
        for (cluster, name, kind, model, unknown_size), quantity in sorted(rows.items())
    ]


def _todo(settings: Settings, name: str, kind: str) -> str:
    if name == "shard" and settings.skus_for(kind, None):
        return f"{settings.path}: give the SKU its number of `shards` per device"
    if name == "mps":
        return "no node tells how many gres/mps make a device: is `gpucostd` asking the controller?"
    if not kind:
        return "the accounting names no type and there are several SKUs; add gres/gpu:TYPE to AccountingStorageTRES"
    if settings.skus_for(kind, None):
        return f"{settings.path}: no pool with that SKU has their `nodes`, or the accounting does not say the nodes"
    return f"{settings.path}: add '{kind}' to the gres_types of a SKU"
