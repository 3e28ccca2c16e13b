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
    prices: Mapping[str, Decimal]
    """Posted price per GPU-hour, by SKU."""
    periods: Mapping[str, Period]
    """The period as cut in each pool's zone, by pool."""
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
    exact = [(key, quantities[key] / HOUR_MS * Fraction(terms.prices[key.sku]) * scale) for key in keys]
    total = round_half_up(sum((value for _, value in exact), Fraction(0)))
    amounts = largest_remainder(exact, total)
    pools = {key.pool for key in keys}
    bounds = terms.periods[next(iter(pools))] if len(pools) == 1 else terms.period
    lines = [
        {
            "pool": key.pool,
            "sku": key.sku,
            "user": key.user,
            "gpu_hours": decimal_text(quantities[key] / HOUR_MS, HOURS_DECIMALS),
            "unit_price": str(terms.prices[key.sku]),
            "amount": money(cents, terms.minor_unit),
            "period_start": terms.periods[key.pool].start_iso,
            "period_end": terms.periods[key.pool].end_iso,
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
