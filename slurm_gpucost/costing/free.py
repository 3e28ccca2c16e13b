"""Free allotments: what an account, or each of its users, need not pay in a period. Pure, exact.

Give all lines of one account and period at once. Allotments are used up in the order in which they are declared, each
by its lines in the order that it declares; lines of equal rank share it in proportion to their quantities, so that
nobody gets all of it by name. So what is owed is a function of the facts alone: when one comes late the
account is rated anew as a whole, and only the difference to what was charged is an adjustment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import groupby
from typing import Any, NamedTuple

from slurm_gpucost.costing.exact import exact
from slurm_gpucost.domain.units import HOUR_MS

ACCOUNT, USER = "account", "user"
HOURS, AMOUNT = "gpu_hours", "amount"
SHARE, DEAREST, CHEAPEST = "share", "dearest", "cheapest"


class Free(NamedTuple):
    """One allotment of a period. What is left of it at the end is lost."""

    name: str
    quantity: Fraction
    """GPU-hours, or an amount in the currency."""
    unit: str = HOURS
    per: str = ACCOUNT
    """ACCOUNT: its users share it. USER: each of them has as much."""
    order: str = SHARE
    """Which lines use it up first: all the same part of theirs, or those with the highest or lowest price first."""
    skus: tuple[str, ...] = ()
    """It holds for these; empty: for all."""


class Line(NamedTuple):
    """What an account owes for: ``device_ms`` at ``price`` per GPU-hour, posted and exact."""

    key: Any
    """Whatever sorts, like (pool, SKU, user); lines of one key are charged together."""
    user: str
    sku: str
    device_ms: Fraction
    price: Fraction


class Used(NamedTuple):
    """What one allotment took of the lines of a key: a line of its own on the invoice."""

    free: str
    key: Any
    device_ms: Fraction
    amount: Fraction


def used(lines: Iterable[Line], allotments: Sequence[Free]) -> list[Used]:
    """What each allotment takes, by allotment in their order, then by key. Lines at price 0 use nothing up.

    Raises TypeError for a float, ValueError for a line of less than nothing.
    """
    left = {line: count for line, count in _counted(lines).items() if line.price}
    found: list[Used] = []
    for free in allotments:
        remaining: dict[str, Fraction] = {}
        taken: dict[Any, list[Fraction]] = {}
        meant = [line for line in left if not free.skus or line.sku in free.skus]
        for (holder, _), equals in groupby(sorted(meant, key=lambda x: _rank(free, x)), key=lambda x: _rank(free, x)):
            lines = list(equals)
            rest = remaining.setdefault(holder, exact(free.quantity, "quantity"))
            wanted = sum((left[line] * _worth(free, line) for line in lines), Fraction(0))
            part = min(Fraction(1), rest / wanted) if wanted else Fraction(0)
            remaining[holder] = rest - part * wanted
            for line in lines if part else ():
                device_ms = left[line] * part
                left[line] -= device_ms
                sums = taken.setdefault(line.key, [Fraction(0), Fraction(0)])
                sums[0] += device_ms
                sums[1] += device_ms * line.price / HOUR_MS
        found += [Used(free.name, key, *taken[key]) for key in sorted(taken) if taken[key][0]]
    return found


def owed(lines: Iterable[Line], allotments: Sequence[Free]) -> dict[Any, Fraction]:
    """What is left to pay, by key; exact, not yet in cents. A key that owes nothing is there with 0."""
    lines = list(lines)
    amounts: dict[Any, Fraction] = {}
    for line in lines:
        amounts[line.key] = amounts.get(line.key, Fraction(0)) + line.device_ms * line.price / HOUR_MS
    for one in used(lines, allotments):
        amounts[one.key] -= one.amount
    return amounts


def rerated(charged: Mapping[Any, Fraction], lines: Iterable[Line], allotments: Sequence[Free]) -> dict[Any, Fraction]:
    """By key, what must be added to all that was charged before so that it becomes what is owed; not where that is 0.

    ``charged`` holds earlier adjustments, too.
    """
    now = owed(lines, allotments)
    keys = sorted({*charged, *now})
    differences = {key: now.get(key, Fraction(0)) - exact(charged.get(key, 0), "charged") for key in keys}
    return {key: amount for key, amount in differences.items() if amount}


def faults(allotments: Sequence[Free]) -> list[tuple[str, str]]:
    """All that is wrong with them: (key, sentence). They count from 0: ``1.unit``."""
    found: list[tuple[str, str]] = []
    names: set[str] = set()
    for n, free in enumerate(allotments):
        if not free.name:
            found.append((f"{n}.name", "an allotment needs a name: invoices show it"))
        elif free.name in names:
            found.append((f"{n}.name", f"an allotment before is called '{free.name}' already"))
        names.add(free.name)
        if isinstance(free.quantity, bool) or not isinstance(free.quantity, int | Fraction):
            found.append((f"{n}.quantity", f"the quantity must be exact, not a {type(free.quantity).__name__}"))
        elif free.quantity <= 0:
            found.append((f"{n}.quantity", f"the quantity {free.quantity} is not above 0"))
        for key, value, known in (
            ("unit", free.unit, (HOURS, AMOUNT)),
            ("per", free.per, (ACCOUNT, USER)),
            ("order", free.order, (SHARE, DEAREST, CHEAPEST)),
        ):
            if value not in known:
                found.append((f"{n}.{key}", f"'{value}' is none of {', '.join(known)}"))
    return found


def _counted(lines: Iterable[Line]) -> dict[Line, Fraction]:
    """Lines that are alike in all but their quantity as one, with their sum: so the order of parts cannot matter."""
    sums: dict[Line, Fraction] = {}
    for line in lines:
        device_ms = exact(line.device_ms, "device_ms")
        if device_ms < 0 or exact(line.price, "price") < 0:
            raise ValueError(f"line {line.key}: {device_ms} device-ms at {line.price} is less than nothing")
        alike = line._replace(device_ms=Fraction(0))
        sums[alike] = sums.get(alike, Fraction(0)) + device_ms
    return sums


def _rank(free: Free, line: Line) -> tuple[str, Fraction]:
    """(Whose allotment it is, in which order it is used up)."""
    price = {DEAREST: -line.price, CHEAPEST: line.price}.get(free.order, Fraction(0))
    return line.user if free.per == USER else "", price


def _worth(free: Free, line: Line) -> Fraction:
    """What a device-ms of the line takes of the allotment."""
    return line.price / HOUR_MS if free.unit == AMOUNT else Fraction(1, HOUR_MS)
