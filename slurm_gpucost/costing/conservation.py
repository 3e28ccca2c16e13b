"""Does every amount add up? Per pool and period, exactly, no term a remainder. Pure.

    cost    = attributed + idle + unavailable + orphan + unattributed
    charged = attributed + recovery difference + rounding

Each term of the first line is device time of its own kind, valued at what the pool's devices cost in the period by the
time that they existed. The recovery difference is the sum over uses of price x billed - cost x held, by itself; the
rounding is the sum over lines of amount - price x billed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import NamedTuple

NIL = Fraction(0)


@dataclass(frozen=True)
class Time:
    """What the devices of a SKU did in a period, in device-ms; each from its own intervals."""

    existed: Fraction = NIL
    attributed: Fraction = NIL
    """Held by attempts that the accounting knows, suspended ones too, less what was held beyond what exists; and what
    attempts blocked and reservations kept, if somebody pays for it."""
    idle: Fraction = NIL
    """Held by nobody, completing too; without ``orphan`` and what is blocked or reserved."""
    unavailable: Fraction = NIL
    orphan: Fraction = NIL
    """Held by nobody, and worked all the same."""
    unattributed: Fraction = NIL
    """Held by attempts that hooks alone know."""


class Use(NamedTuple):
    """Device time that was held, of one SKU."""

    sku: str
    held_ms: Fraction
    """Less what was held beyond what exists."""
    billed_ms: Fraction
    price: Fraction
    """Posted, per device-ms; 0 of what is waived."""


class Line(NamedTuple):
    """A line of an invoice."""

    amount: Fraction
    exact: Fraction
    """price x billed, before rounding."""


@dataclass(frozen=True)
class Balance:
    """The terms of a pool and period, as amounts."""

    cost: Fraction
    attributed: Fraction
    idle: Fraction
    unavailable: Fraction
    orphan: Fraction
    unattributed: Fraction
    charged: Fraction
    recovery_difference: Fraction
    rounding: Fraction

    @property
    def unexplained_cost(self) -> Fraction:
        """What no term holds of the cost; 0 where every device-ms is accounted for once."""
        terms = self.attributed + self.idle + self.unavailable + self.orphan + self.unattributed
        return self.cost - terms

    @property
    def unexplained_charge(self) -> Fraction:
        """What is charged beyond what uses and lines say; 0 where every use is on a line once."""
        return self.charged - self.attributed - self.recovery_difference - self.rounding

    def terms(self) -> dict[str, Fraction]:
        """By name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def balance(
    costs: Mapping[str, Fraction], times: Mapping[str, Time], uses: Iterable[Use], lines: Sequence[Line]
) -> Balance:
    """The balance of a pool: what its SKUs cost in the period, what their devices did, who used them, what was charged.

    A SKU of which no device existed has a cost and no term: it stays unexplained.
    """
    units = {sku: cost / times[sku].existed for sku, cost in costs.items() if sku in times and times[sku].existed}
    sums: dict[str, Fraction] = dict.fromkeys(("attributed", "idle", "unavailable", "orphan", "unattributed"), NIL)
    for sku, unit in units.items():
        for name in sums:
            sums[name] += getattr(times[sku], name) * unit
    recovery = sum((use.price * use.billed_ms - units.get(use.sku, NIL) * use.held_ms for use in uses), NIL)
    return Balance(
        cost=sum(costs.values(), NIL),
        **sums,
        charged=sum((line.amount for line in lines), NIL),
        recovery_difference=recovery,
        rounding=sum((line.amount - line.exact for line in lines), NIL),
    )
