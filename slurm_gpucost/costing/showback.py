"""After a month is over: what its hours really cost, by who held them. Nothing is billed by it. Pure, exact.

users carry idle cost:          unit = cost / device time held
the institution carries it:     unit = cost / device time that existed, and idle x unit stays with the institution
owners of shares carry theirs:  the same unit, and of idle x unit each owner has the part that what he left unused is of
                                all hours that were open to others, and the institution the rest
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

INSTITUTION, USERS, OWNERS = "institution", "users", "owners"
CARRIERS = (INSTITUTION, USERS, OWNERS)
NIL = Fraction(0)
NOBODYS: Mapping[Any, Fraction] = {}


@dataclass(frozen=True)
class Shown:
    """What the devices of a SKU cost in a period, divided. ``amounts`` and ``kept`` add up to ``cost``."""

    cost: Fraction
    unit: Fraction | None
    """Per device-ms; None: nobody held any, and no holder can be shown a cost."""
    amounts: Mapping[Any, Fraction]
    """By holder, and by owner what he carries of idle cost."""
    kept: Fraction
    """What the institution carries."""


def shown(
    cost: Fraction, existed_ms: Fraction, held_ms: Mapping[Any, Fraction], carrier: str,
    unused_ms: Mapping[Any, Fraction] = NOBODYS, open_ms: Fraction = NIL,
) -> Shown:  # fmt: skip
    """Divide what a SKU's devices cost among who held them. Raises ValueError for a carrier that there is not.

    Where owners carry idle cost: ``unused_ms``, what each left unused of his share, and ``open_ms``, the institution's
    hours and those.
    """
    if carrier not in CARRIERS:
        raise ValueError(f"'{carrier}' carries no idle cost; write {told()}")
    held = sum(held_ms.values(), NIL)
    over = held if carrier == USERS else max(existed_ms, held)
    unit = cost / over if held and over else None
    amounts = {holder: unit * time for holder, time in held_ms.items()} if unit is not None else {}
    idle = cost - (unit or NIL) * held
    if carrier == OWNERS and open_ms:
        for owner, time in unused_ms.items():
            amounts[owner] = amounts.get(owner, NIL) + idle * time / open_ms
    return Shown(cost, unit, amounts, cost - sum(amounts.values(), NIL))


def told() -> str:
    """Who can carry idle cost, in words."""
    return f"{', '.join(CARRIERS[:-1])} or {CARRIERS[-1]}"
