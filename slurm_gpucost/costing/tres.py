"""Prices per TRES: an hour of AllocTRES, for sites that bill CPUs, memory or licences, too. Pure, exact.

A group is a sum of quantities x prices. The groups of a price list are added, or the dearest counts; what stands
``beside`` them is added always. So max(GPUs x a + CPUs x b, memory x c) is two groups, and Slurm's MAX_TRES a group
for each TRES of nodes, with licences beside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from math import floor
from types import MappingProxyType
from typing import NamedTuple

from slurm_gpucost.costing.exact import exact

SUM, MAX = "sum", "max"
TYPES = ("cpu", "mem", "node", "billing", "gres/NAME", "gres/NAME:TYPE", "license/NAME", "bb/NAME")
NAME = re.compile(r"cpu|mem|node|billing|gres/[^\s/:=,]+(:[^\s/:=,]+)?|(license|bb)/[^\s=,]+")
GB = 1024
"""Slurm counts memory in MiB; what it and its sites call GB is 1,024 of them."""

Group = Mapping[str, Fraction]
"""Price per hour of one unit of a TRES, named as in AllocTRES; of ``mem`` and ``bb`` per GB."""


class Prices(NamedTuple):
    """A price list. Amounts are in the currency, or, with ``unit_price``, in billing units."""

    groups: tuple[Group, ...]
    combine: str = SUM
    """SUM, or MAX: the dearest group counts."""
    beside: Group = MappingProxyType({})
    """Added in any case: what is of no node, like licences."""
    truncate: bool = False
    """Whole units only, cut as Slurm does with its billing TRES: not rounded, and once per attempt."""
    unit_price: Fraction = Fraction(1)


class Term(NamedTuple):
    """quantity x price of one TRES; of ``mem`` and ``bb`` the quantity is in GB."""

    tres: str
    quantity: Fraction
    price: Fraction

    @property
    def amount(self) -> Fraction:
        """Per hour."""
        return self.quantity * self.price


class Hourly(NamedTuple):
    """What an hour costs, and how that comes about."""

    amount: Fraction
    groups: tuple[tuple[Term, ...], ...]
    beside: tuple[Term, ...]
    counted: tuple[int, ...]
    """Which groups count: all, or the dearest (the first of equals)."""


def hourly(tres: Mapping[str, Fraction], prices: Prices) -> Hourly:
    """What an hour of these TRES costs (as ``tres_text.allocated`` has them). Raises TypeError for a float."""
    groups = tuple(_terms(tres, group) for group in prices.groups)
    beside = _terms(tres, prices.beside)
    sums = [sum((term.amount for term in terms), Fraction(0)) for terms in groups]
    counted = tuple(range(len(sums))) if prices.combine == SUM or not sums else (sums.index(max(sums)),)
    units = sum((sums[n] for n in counted), Fraction(0)) + sum((term.amount for term in beside), Fraction(0))
    amount = (floor(units) if prices.truncate else units) * exact(prices.unit_price, "unit_price")
    return Hourly(amount, groups, beside, counted)


def with_blocked(tres: Mapping[str, Fraction], blocked: Fraction, kind: str = "") -> dict[str, Fraction]:
    """These TRES and the GPUs that they block, which are charged as if they were held. ``kind``: their type."""
    names = ["gres/gpu", f"gres/gpu:{kind}"] if kind else ["gres/gpu"]
    more = exact(blocked, "blocked")
    return {**tres, **{name: tres.get(name, Fraction(0)) + more for name in names}}


def faults(prices: Prices) -> list[tuple[str, str]]:
    """All that is wrong with a price list: (key, sentence). Groups count from 0: ``groups.1.mem``."""
    found: list[tuple[str, str]] = []
    named = [(f"groups.{n}", group) for n, group in enumerate(prices.groups)] + [("beside", prices.beside)]
    for key, group in named:
        found += [(f"{key}.{name}", sentence) for name, price in group.items() for sentence in _wrong(name, price)]
        if not group and key != "beside":
            found.append((key, "a group needs a price"))
    if not any(group for _, group in named):
        found.append(("groups", "there is no price"))
    names = {name for _, group in named for name in group}
    if "billing" in names and len(names) > 1:
        found.append(("groups", "billing is made of the other TRES already: price it alone, or not at all"))
    if prices.combine not in (SUM, MAX):
        found.append(("combine", f"'{prices.combine}' is neither {SUM} nor {MAX}"))
    found += [("unit_price", sentence) for sentence in _wrong("cpu", prices.unit_price)]
    return found


def _wrong(name: str, price: object) -> list[str]:
    found = [] if NAME.fullmatch(name) else [f"there is no TRES '{name}' to price; there are {', '.join(TYPES)}"]
    if isinstance(price, bool) or not isinstance(price, int | Fraction):
        return [*found, f"the price must be exact, not a {type(price).__name__}"]
    return [*found, f"the price {price} is below 0"] if price < 0 else found


def _terms(tres: Mapping[str, Fraction], group: Group) -> tuple[Term, ...]:
    """Each unit once: a GRES of a type that has a price by that, the untyped price for those that are left."""
    found: list[Term] = []
    for name, price in group.items():
        quantity = exact(tres.get(name, Fraction(0)), name)
        if name.startswith("gres/") and ":" not in name:
            typed = {key: exact(count, key) for key, count in tres.items() if key.startswith(f"{name}:")}
            priced = sum((count for key, count in typed.items() if key in group), Fraction(0))
            quantity = max(quantity, sum(typed.values(), Fraction(0))) - priced
        elif name == "mem" or name.startswith("bb/"):
            quantity /= GB
        found.append(Term(name, quantity, exact(price, name)))
    return tuple(found)
