"""Prices per TRES on invoices: what an hour bills line by line, in which units, and prices as text. Pure, exact."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any, NamedTuple

from slurm_gpucost.costing.exact import exact_decimal, number_text
from slurm_gpucost.costing.tres import SUM, Group, Prices, hourly

BILLING = "billing"
"""The line of whole price lists that are in billing units."""
_UNITS = {"cpu": "cpu-hours", "mem": "GB-hours", "bb": "GB-hours", "license": "licence-hours"}


class Item(NamedTuple):
    """What one line bills for each hour."""

    tres: str
    quantity: Fraction
    """Units; GB of ``mem`` and ``bb``."""
    price: Decimal
    """Of a unit and hour, exact."""


def items(tres: Mapping[str, Fraction], prices: Prices) -> tuple[Item, ...]:
    """An hour of these TRES as lines, which add up to ``hourly``: a line for each TRES that counts.

    With ``truncate`` or a ``unit_price`` there is one line, of billing units. Raises TypeError for a float.
    """
    made = hourly(tres, prices)
    terms = [term for n in made.counted for term in made.groups[n]] + list(made.beside)
    if not in_units(prices):
        return tuple(Item(t.tres, t.quantity, exact_decimal(t.price)) for t in terms if t.quantity)
    units = sum((term.amount for term in terms), Fraction(0))
    units = Fraction(floor(units)) if prices.truncate else units
    return (Item(BILLING, units, exact_decimal(prices.unit_price)),) if units else ()


def in_units(prices: Prices) -> bool:
    """Whether the list counts billing units, which have one price."""
    return prices.truncate or prices.unit_price != 1


def unit_of(tres: str) -> str:
    """What the quantity of a line is in, after hours."""
    kind, _, name = tres.partition("/")
    if kind == "gres":
        gres = name.partition(":")[0]
        return f"{'GPU' if gres == 'gpu' else gres}-hours"
    return _UNITS.get(kind, f"{kind}-hours")


def frozen(prices: Prices) -> dict[str, Any]:
    """As JSON has it, numbers as text: what a published card keeps."""
    return {
        "combine": prices.combine,
        "groups": [_texts(group) for group in prices.groups],
        "beside": _texts(prices.beside),
        "truncate": prices.truncate,
        "unit_price": number_text(prices.unit_price),
    }


def thawed(said: Mapping[str, Any]) -> Prices:
    """The prices of :func:`frozen`."""
    groups = tuple(_numbers(group) for group in said["groups"])
    beside = _numbers(said["beside"])
    return Prices(groups, said["combine"], beside, said["truncate"], Fraction(said["unit_price"]))


def told(prices: Prices) -> str:
    """The list as people are told it, like ``max(gres/gpu x 0.12 + cpu x 0.03, mem x 0.004)``."""
    groups = [_sum(group) for group in prices.groups]
    text = " + ".join(groups) if prices.combine == SUM else f"max({', '.join(groups)})"
    if prices.beside:
        text = " + ".join(filter(None, (text if groups else "", _sum(prices.beside))))
    if not in_units(prices):
        return text
    text = f"({text}), in whole units" if prices.truncate else f"({text})"
    return f"{text}, x {number_text(prices.unit_price)} a unit"


def _sum(group: Group) -> str:
    return " + ".join(f"{name} x {number_text(price)}" for name, price in group.items())


def _texts(group: Group) -> dict[str, str]:
    return {name: str(exact_decimal(price)) for name, price in group.items()}


def _numbers(group: Mapping[str, str]) -> dict[str, Fraction]:
    return {name: Fraction(price) for name, price in group.items()}
