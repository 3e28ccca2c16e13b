"""What a GPU-hour of each SKU costs: published, else derived from the config as it is now."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from slurm_gpucost.costing.cards import Card, card_at, segments
from slurm_gpucost.costing.lines import Priced
from slurm_gpucost.costing.periods import Period, iso, midnight, month_at
from slurm_gpucost.costing.periods import month as month_of
from slurm_gpucost.costing.pools import parts
from slurm_gpucost.costing.rated import energy_cost
from slurm_gpucost.costing.rates import Derivation, derive
from slurm_gpucost.costing.tres_bill import frozen, thawed, told
from slurm_gpucost.domain.errors import ConfigError, UsageError
from slurm_gpucost.domain.units import decimal_text
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.settings import Pool, Settings

Cards = Mapping[str, list[Card]]
"""Published cards by pool."""


def cards_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Card]]:
    """The cards in the rows of the query ``rates``, which are in order of pool and time."""
    prices: dict[tuple[str, int], dict[str, Decimal]] = {}
    operating: dict[tuple[str, int], dict[str, Decimal]] = {}
    found: dict[str, list[Card]] = {}
    for row in rows:
        key = (row["pool"], row["effective_ms"])
        said = json.loads(row["derivation"])
        if key not in prices:
            prices[key], operating[key] = {}, {}
            rate_parts = int(said["inputs"].get(f"pools.{row['pool']}.rate_parts", 1))
            tres = thawed(said["tres"]) if "tres" in said else None
            card = Card(
                row["pool"], row["version"], row["effective_ms"], row["currency"], prices[key], rate_parts, tres,
                operating[key],
            )  # fmt: skip
            found.setdefault(row["pool"], []).append(card)
        prices[key][row["sku"]] = Decimal(row["unit_price"])
        if "operating_price" in said:
            operating[key][row["sku"]] = Decimal(said["operating_price"])
    return found


def published(queries: Queries) -> Cards:
    """The cards that the ledger has."""
    return cards_of(queries.ask("rates"))


def period_in(month: str, zone: ZoneInfo) -> Period:
    """The month as cut in a zone. Raises UsageError for text that is no month."""
    try:
        return month_of(month, zone)
    except ValueError as error:
        raise UsageError(f"--month: {error}") from None


def heard_ms(queries: Queries, now_ms: int) -> int:
    """When the accounting of any cluster was last asked as of then; ``now_ms`` where it never was, but for files."""
    looked = (row["at_ms"] for row in queries.ask("last_polls") if row["witness"] == "sacct" and row["at_ms"])
    return max(looked, default=now_ms)


def heard(queries: Queries, period: Period, now_ms: int) -> Period:
    """The period, up to when the accounting was last heard."""
    return period._replace(end_ms=max(period.start_ms, min(period.end_ms, heard_ms(queries, now_ms))))


def derivations(settings: Settings, month: str) -> list[Derivation]:
    """The derivation of every SKU's rate for a month from the config, each in its pool's zone."""
    return [d for pool in settings.pools for d in derived(settings, pool, month)]


def derived(settings: Settings, pool: Pool, month: str, as_of: date | None = None) -> list[Derivation]:
    """The derivation of every SKU's rate of a pool for a month from the config. Raises ConfigError.

    ``as_of``: the day whose devices and shares count; else the first of the month.
    """
    first_day = day_of(period_in(month, pool.timezone).start_ms, pool)
    try:
        return [derive(pool.costs, sku.name, first_day, settings.currency, as_of) for sku in pool.skus]
    except ValueError as error:  # a time before the tariff's first price
        raise ConfigError(f"{settings.path}: pools.{pool.name}.tariff: {error}") from None


def day_of(at_ms: int, pool: Pool) -> date:
    """The day of a moment in the pool's zone."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(pool.timezone).date()


def period_costs(pool: Pool, period: Period, energy_costs: Mapping[str, Fraction] | None = None) -> dict[str, Fraction]:
    """What the devices of each SKU cost in a period, by the config; a part of a day bears its part of the day.

    ``energy_costs``: what energy cost by SKU, where a bill tells; else it is that of rated power.
    """
    first, last = day_of(period.start_ms, pool), day_of(period.end_ms, pool)
    begun, over = (midnight(last + timedelta(days), pool.timezone) for days in (0, 1))
    passed = Fraction(period.end_ms - begun, over - begun)
    found: dict[str, Fraction] = {}
    for sku in pool.skus:
        whole = sum((part.amount for part in parts(pool.costs, sku.name, first, last)), Fraction(0))
        today = sum((part.amount for part in parts(pool.costs, sku.name, last, last + timedelta(1))), Fraction(0))
        if energy_costs is None:
            energy = energy_cost(pool.costs, sku.name, period.start_ms, period.end_ms)
        else:
            energy = energy_costs[sku.name]
        found[sku.name] = whole + passed * today + energy
    return found


def priced_parts(settings: Settings, cards: Cards, pool: Pool, month: str) -> list[Priced]:
    """The month cut where another card begins to hold, each part with its prices by SKU.

    What no card prices has the price that the config gives for the month.
    """
    made = derived(settings, pool, month)
    posted = {d.sku: d.posted for d in made}
    operating = {d.sku: d.operating for d in made if d.operating is not None}
    return [
        Priced(period, {**posted, **card.prices}, card.rate_parts, card.tres, {**operating, **card.operating})
        if card
        else Priced(period, posted, pool.energy.parts, pool.tres, operating)
        for period, card in segments(cards.get(pool.name, []), period_in(month, pool.timezone))
    ]


def tres_spans(settings: Settings, cards: Cards, start_ms: int, end_ms: int) -> dict[str, list[tuple[int, int]]]:
    """Pool -> [start, end) within a time in which its attempts are billed by TRES; pools without are not there."""
    found: dict[str, list[tuple[int, int]]] = {}
    for pool in settings.pools:
        for part in segments(cards.get(pool.name, []), Period(start_ms, end_ms, pool.timezone)):
            if part.card.tres if part.card else pool.tres:
                found.setdefault(pool.name, []).append(part.period[:2])
    return found


def list_prices(settings: Settings, cards: Cards, at_ms: int) -> dict[str, Decimal]:
    """The posted price per GPU-hour of every SKU at a moment."""
    found: dict[str, Decimal] = {}
    for pool in settings.pools:
        found |= {d.sku: d.posted for d in derived(settings, pool, month_at(at_ms, pool.timezone))}
        card = card_at(cards.get(pool.name, []), at_ms)
        found |= card.prices if card else {}
    return found


def explain(settings: Settings, month: str, rows: Iterable[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
    """The derivations of a month as plain rows; every value as decimal text, every source as file and key.

    ``rows`` are those of the query ``rates``: what was published is shown as it was frozen then, with ``version``,
    ``effective``, ``published`` and ``login``; a month with two cards has both. What was not is derived now.
    """
    rows = list(rows)
    frozen = {(row["pool"], row["effective_ms"], row["sku"]): row for row in rows}
    cards = cards_of(rows)
    found: list[dict[str, Any]] = []
    for pool in settings.pools:
        now = {d.sku: d for d in derived(settings, pool, month)}
        for part in segments(cards.get(pool.name, []), period_in(month, pool.timezone)):
            gone = sorted(set(part.card.prices) - set(now)) if part.card else []
            for sku in (*now, *gone):
                row = frozen.get((pool.name, part.card.effective_ms, sku)) if part.card else None
                made = _as_published(row, settings, pool) if row else _as_derived(settings, now[sku])
                found.append({**made, "month": month})
    return found


def _as_published(row: Mapping[str, Any], settings: Settings, pool: Pool) -> dict[str, Any]:
    said = json.loads(row["derivation"])
    return {
        **said,
        "version": row["version"],
        "effective": iso(row["effective_ms"], pool.timezone),
        "published": iso(row["at_ms"], settings.timezone),
        "login": row["login"],
    }


def _as_derived(settings: Settings, d: Derivation) -> dict[str, Any]:
    return {**derivation_row(settings, d), "version": None, "effective": None, "published": None, "login": None}


def derivation_row(settings: Settings, d: Derivation) -> dict[str, Any]:
    """A derivation as a plain row; of a pool that bills by TRES with these prices, as ``tres``."""
    tres = next((pool.tres for pool in settings.pools if pool.name == d.pool), None)
    by_tres = (f"jobs of this pool are billed by TRES and not by this price: {told(tres)} an hour",) if tres else ()
    return {
        "pool": d.pool,
        "sku": d.sku,
        "currency": settings.currency,
        "unit_price": str(d.posted),
        "rate_exact": f"{d.rate.numerator}/{d.rate.denominator}",
        **({} if d.operating is None else {"operating_price": str(d.operating)}),
        "steps": [
            {
                "label": s.label,
                "formula": s.formula,
                "value": decimal_text(s.value, 4 if s.unit.endswith("GPU-hour") else 2),
                "unit": s.unit,
                "sources": [{"file": one.file or str(settings.path), "key": one.key} for one in s.sources],
            }
            for s in d.steps
        ],
        "notes": [*d.notes, *by_tres],
        **({"tres": frozen(tres)} if tres else {}),
    }
