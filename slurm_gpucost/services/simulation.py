"""What if: the rates of a config with other values, over how much is used, and against a cloud's price."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from slurm_gpucost.costing.rates import Derivation
from slurm_gpucost.costing.steps import POSTED_DECIMALS
from slurm_gpucost.domain.units import decimal_text
from slurm_gpucost.services.rates import derivations
from slurm_gpucost.settings import Settings

UTILIZATIONS = tuple(Fraction(n, 10) for n in range(2, 11))


def simulate(
    now: Settings, then: Settings, month: str, cloud: Fraction | None = None,
    utilizations: Sequence[Fraction] = UTILIZATIONS,
) -> list[dict[str, Any]]:  # fmt: skip
    """Rows by pool and SKU: ``unit_price`` now and ``then``, both derived for the month; nothing is written.

    ``by_utilization``: the price if that part of the capacity were leased. ``break_even_percent``: the utilization from
    which an hour here costs no more than ``cloud`` (a price per GPU-hour in the config's currency); above 100 it never
    does. None for a SKU that one of the two configs has not.
    """
    before = {(d.pool, d.sku): d for d in derivations(now, month)}
    after = {(d.pool, d.sku): d for d in derivations(then, month)}
    return [
        _row(then.currency, key, before.get(key), after.get(key), cloud, utilizations) for key in {**after, **before}
    ]


def _row(
    currency: str, key: tuple[str, str], now: Derivation | None, then: Derivation | None, cloud: Fraction | None,
    utilizations: Sequence[Fraction],
) -> dict[str, Any]:  # fmt: skip
    change = 100 * (then.rate - now.rate) / now.rate if now and then and now.rate else None
    return {
        "pool": key[0],
        "sku": key[1],
        "currency": currency,
        "unit_price": str(now.posted) if now else None,
        "then": str(then.posted) if then else None,
        "change_percent": None if change is None else decimal_text(change, 2),
        "annual_cost": decimal_text(then.annual_cost, 2) if then else None,
        "cloud_price": None if cloud is None else decimal_text(cloud, POSTED_DECIMALS),
        "break_even_percent": _break_even(then, cloud),
        "by_utilization": [_at(then, part) for part in utilizations] if then else [],
    }


def _at(derivation: Derivation, utilization: Fraction) -> dict[str, str]:
    price = derivation.annual_cost / (derivation.capacity_hours * utilization)
    percent = decimal_text(100 * utilization, 2)
    return {"utilization_percent": percent, "unit_price": decimal_text(price, POSTED_DECIMALS)}


def _break_even(derivation: Derivation | None, cloud: Fraction | None) -> str | None:
    if derivation is None or not cloud:
        return None
    return decimal_text(100 * derivation.annual_cost / (derivation.capacity_hours * cloud), 2)
