"""After a month is over: what its hours really cost, by who held them. Nothing is billed by it. Pure, exact.

users carry idle cost:          unit = cost / device time held
the institution carries it:     unit = cost / device time that existed, and idle x unit stays with the institution
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

INSTITUTION, USERS = "institution", "users"
CARRIERS = (INSTITUTION, USERS)
NIL = Fraction(0)


@dataclass(frozen=True)
class Shown:
    """What the devices of a SKU cost in a period, divided. ``amounts`` and ``kept`` add up to ``cost``."""

    cost: Fraction
    unit: Fraction | None
    """Per device-ms; None: nobody held any, and nobody can be shown a cost."""
    amounts: Mapping[Any, Fraction]
    """By holder."""
    kept: Fraction
    """What the institution carries."""


def shown(cost: Fraction, existed_ms: Fraction, held_ms: Mapping[Any, Fraction], carrier: str) -> Shown:
    """Divide what a SKU's devices cost among who held them. Raises ValueError for a carrier that there is not."""
    if carrier not in CARRIERS:
        raise ValueError(f"'{carrier}' carries no idle cost; write {' or '.join(CARRIERS)}")
    held = sum(held_ms.values(), NIL)
    over = held if carrier == USERS else max(existed_ms, held)
    if not held or not over:
        return Shown(cost, None, {}, cost)
    unit = cost / over
    amounts = {holder: unit * time for holder, time in held_ms.items()}
    return Shown(cost, unit, amounts, cost - unit * held)
