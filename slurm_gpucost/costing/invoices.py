"""Billable quantities and posted prices -> invoices and statements. Pure, exact.

An invoice is made per (cluster, account); its total is the exact sum rounded half up once, and its lines get their
cents by largest remainder. A statement shows one user's lines of it, so statements add up to invoices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from slurm_gpucost.costing.allotment import largest_remainder, round_half_up
from slurm_gpucost.costing.periods import Period
from slurm_gpucost.domain.units import HOUR_MS, decimal_text

HOURS_DECIMALS = 6


class LineKey(NamedTuple):
    """What a line is for; lines stand in this order."""

    pool: str
    sku: str
    user: str
    start_ms: int
    """When the price of the line began to hold, within the period."""


@dataclass(frozen=True)
class Priced:
    """A part of a pool's period in which one price holds."""

    period: Period
    prices: Mapping[str, Decimal]
    """Posted price per GPU-hour, by SKU."""


@dataclass(frozen=True)
class Billable:
    """A billable quantity: device-milliseconds, exact."""

    cluster: str
    account: str
    key: LineKey
    device_ms: Fraction


@dataclass(frozen=True)
class Terms:
    """What all invoices of a run share."""

    currency: str
    minor_unit: int
    parts: Mapping[tuple[str, int], Priced]
    """Each pool's period, cut in its zone and where prices change, by pool and beginning."""
    period: Period
    """The period as cut in the site's zone."""


def invoices(billables: Iterable[Billable], terms: Terms) -> list[dict[str, Any]]:
    """All invoices, sorted by cluster and account."""
    sums: dict[tuple[str, str], dict[LineKey, Fraction]] = {}
    for item in billables:
        lines = sums.setdefault((item.cluster, item.account), {})
        lines[item.key] = lines.get(item.key, Fraction(0)) + item.device_ms
    return [
        _invoice(cluster, account, sums[cluster, account], terms)
        for cluster, account in sorted(sums)
        if any(sums[cluster, account].values())
    ]


def _invoice(cluster: str, account: str, quantities: Mapping[LineKey, Fraction], terms: Terms) -> dict[str, Any]:
    scale = 10**terms.minor_unit
    keys = sorted(key for key, device_ms in quantities.items() if device_ms)
    parts = {key: terms.parts[key.pool, key.start_ms] for key in keys}
    exact = [(key, quantities[key] / HOUR_MS * Fraction(parts[key].prices[key.sku]) * scale) for key in keys]
    total = round_half_up(sum((value for _, value in exact), Fraction(0)))
    amounts = largest_remainder(exact, total)
    bounds = _bounds(terms, {key.pool for key in keys})
    lines = [
        {
            "pool": key.pool,
            "sku": key.sku,
            "user": key.user,
            "gpu_hours": decimal_text(quantities[key] / HOUR_MS, HOURS_DECIMALS),
            "unit_price": str(parts[key].prices[key.sku]),
            "amount": money(cents, terms.minor_unit),
            "period_start": parts[key].period.start_iso,
            "period_end": parts[key].period.end_iso,
        }
        for key, cents in zip(keys, amounts, strict=True)
    ]
    return {
        "kind": "invoice",
        "cluster": cluster,
        "account": account,
        "period_start": bounds.start_iso,
        "period_end": bounds.end_iso,
        "status": "provisional",
        "currency": terms.currency,
        "total": money(total, terms.minor_unit),
        "lines": lines,
    }


def _bounds(terms: Terms, pools: set[str]) -> Period:
    """The whole period: as cut in the zone of the one pool that is on the invoice, else in the site's."""
    if len(pools) != 1:
        return terms.period
    own = [priced.period for (pool, _), priced in terms.parts.items() if pool in pools]
    first, last = min(own), max(own)
    return Period(first.start_ms, last.end_ms, first.zone)


def statement(invoice: Mapping[str, Any], user: str) -> dict[str, Any] | None:
    """One user's lines of an invoice and their sum; None where the user has none."""
    lines = [line for line in invoice["lines"] if line["user"] == user]
    if not lines:
        return None
    total = sum((Fraction(line["amount"]) for line in lines), Fraction(0))
    digits = len(invoice["total"].partition(".")[2])
    return {
        **invoice,
        "kind": "statement",
        "user": user,
        "total": decimal_text(total, digits),
        "lines": lines,
    }


def money(units: int, minor_unit: int) -> str:
    """An amount in the smallest unit as decimal text."""
    return decimal_text(Fraction(units, 10**minor_unit), minor_unit)
