"""From the config to rates: what each SKU's hour costs in a month, and the derivation of it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from slurm_gpucost.costing.periods import month as month_of
from slurm_gpucost.costing.rates import Asset, Derivation, PoolCosts, derive
from slurm_gpucost.domain.errors import UsageError
from slurm_gpucost.domain.units import decimal_text
from slurm_gpucost.settings import Pool, Settings


def derivations(settings: Settings, month: str) -> list[Derivation]:
    """The derivation of every SKU's rate for a month, each in its pool's zone."""
    found: list[Derivation] = []
    for pool in settings.pools:
        first_day = datetime.fromtimestamp(_start(month, pool) // 1000, UTC).astimezone(pool.timezone).date()
        costs = PoolCosts(
            pool.name, pool.pue, pool.tariff_per_kwh, pool.planned_utilization, pool.yearly_costs,
            sum(sku.devices for sku in pool.skus),
        )  # fmt: skip
        for sku in pool.skus:
            asset = Asset(
                sku.name, sku.devices, sku.purchase_price, sku.purchase_date, sku.life_years, sku.residual_value,
                sku.nameplate_watts,
            )  # fmt: skip
            found.append(derive(asset, costs, first_day, settings.currency))
    return found


def _start(month: str, pool: Pool) -> int:
    try:
        return month_of(month, pool.timezone).start_ms
    except ValueError as error:
        raise UsageError(f"--month: {error}") from None


def prices(settings: Settings, month: str) -> dict[str, Decimal]:
    """Posted price per GPU-hour by SKU."""
    return {d.sku: d.posted for d in derivations(settings, month)}


def explain(settings: Settings, month: str) -> list[dict[str, Any]]:
    """The derivations as plain rows; every value as decimal text, every source as file and key."""
    return [
        {
            "pool": d.pool,
            "sku": d.sku,
            "month": month,
            "currency": settings.currency,
            "unit_price": str(d.posted),
            "rate_exact": f"{d.rate.numerator}/{d.rate.denominator}",
            "steps": [
                {
                    "label": s.label,
                    "formula": s.formula,
                    "value": decimal_text(s.value, 4 if s.unit.endswith("GPU-hour") else 2),
                    "unit": s.unit,
                    "sources": [{"file": str(settings.path), "key": key} for key in s.sources],
                }
                for s in d.steps
            ],
            "notes": list(d.notes),
        }
        for d in derivations(settings, month)
    ]
