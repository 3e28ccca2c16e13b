"""What lines of invoices are: what they are for, their kinds and units, and what all invoices of a run share. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from slurm_gpucost.costing.accounts import Holder
from slurm_gpucost.costing.free import Free
from slurm_gpucost.costing.periods import Period
from slurm_gpucost.costing.quantity import Rounding
from slurm_gpucost.costing.shares import Owning
from slurm_gpucost.domain.units import HOUR_MS

PRICE_DECIMALS = 4
USAGE, BLOCKED, WAIVED, FREE, SURCHARGE = "usage", "blocked", "waived", "free", "surcharge"
"""Kinds of lines: what is billed of held time; of blocked time; what is not, a line at price 0; what an allotment takes
off; what the account's class puts on top of what is then left, or takes off it."""
SHARE, COVERED, GUEST = "share", "covered", "guests"
"""Kinds of lines of owners: what operating their devices costs; what of their use those cover; what of guests' pay is
theirs."""
ENERGY, HOST_ENERGY, IMPUTED_ENERGY, WAIVED_ENERGY = "energy", "host_energy", "imputed_energy", "waived_energy"
ENERGY_SURCHARGE = "energy_surcharge"
"""Kinds of lines of energy, in kWh at the site's meter: as the devices' counters say; of their hosts, as stated; of
time that nobody measured, by a rule; what is not billed of all three, at price 0; and what the account's class adds."""
UNITS = {
    **dict.fromkeys((USAGE, BLOCKED, WAIVED, FREE, SURCHARGE, SHARE, COVERED, GUEST), HOUR_MS),
    **dict.fromkeys((ENERGY, HOST_ENERGY, IMPUTED_ENERGY, WAIVED_ENERGY, ENERGY_SURCHARGE), 1),
}
"""By kind: how much of a quantity the unit price is for. Device-ms are priced by the hour, kWh by the kWh."""
SURCHARGES = (SURCHARGE, ENERGY_SURCHARGE)
NIL = Fraction(0)
NO_ONE = Holder()
NO_ROUNDING = Rounding()
NO_SHARES = Owning()
Owner = tuple[str, str]
"""Cluster and account."""
Allotments = Callable[[str, str], Sequence[Free]]
"""(cluster, account) -> what it need not pay in the period, in the order in which that is used up."""


class LineKey(NamedTuple):
    """What a line is for; lines stand in this order."""

    pool: str
    sku: str
    user: str
    start_ms: int
    """When the price of the line began to hold, within the period."""
    kind: str
    rule: str
    """The row of the billing rules that made it, by name and number."""
    unit_price: Decimal
    """Posted, per GPU-hour; of energy the tariff's, per kWh."""


class Charge(NamedTuple):
    """A part of a line; parts of a line add up."""

    cluster: str
    account: str
    key: LineKey
    quantity: Fraction
    """What is billed, exact: device-ms, of energy kWh."""
    held: Fraction
    """The device-ms that were held for it: rounding adds to the quantity, not to this."""


class Line(NamedTuple):
    """What is billed, and the held time behind it, as in :class:`Charge`."""

    quantity: Fraction
    held: Fraction


Lines = Mapping[Owner, Mapping[LineKey, Line]]


@dataclass(frozen=True)
class Priced:
    """A part of a pool's period in which one price holds."""

    period: Period
    prices: Mapping[str, Decimal]
    """Posted price per GPU-hour, by SKU."""
    rate_parts: int = 1
    """2: they bear no energy, which is billed as measured."""
    operating: Mapping[str, Decimal] = field(default_factory=dict)
    """What operating a device costs an hour, posted, by SKU; only of those with shares."""


@dataclass(frozen=True)
class Terms:
    """What all invoices of a run share."""

    currency: str
    minor_unit: int
    parts: Mapping[tuple[str, int], Priced]
    """Each pool's period, cut in its zone and where prices change, by pool and beginning."""
    period: Period
    """The period as cut in the site's zone."""
    rounding: Rounding = NO_ROUNDING
    free: Allotments = lambda _cluster, _account: ()
    holder: Callable[[str, str], Holder] = lambda _cluster, _account: NO_ONE
    """(cluster, account) -> what is known of it."""
    grams_per_kwh: Mapping[str, Fraction] = field(default_factory=dict)
    """CO2e of a kWh at the site's meter, by pool; pools that do not state it are not there."""
    owning: Owning = NO_SHARES


def amount(key: LineKey, quantity: Fraction) -> Fraction:
    """What a quantity of a line costs, exact."""
    return quantity * Fraction(key.unit_price) / UNITS[key.kind]


def left_to_pay(lines: Mapping[LineKey, Line]) -> dict[LineKey, Fraction]:
    """The device-ms that are billed and neither covered nor free, by user, SKU and price."""
    sums: dict[LineKey, Fraction] = {}
    for key, line in lines.items():
        if key.kind in (USAGE, BLOCKED, COVERED, FREE):
            what = key._replace(kind=USAGE, rule="")
            sums[what] = sums.get(what, NIL) + line.quantity
    return sums


def is_energy(kind: str) -> bool:
    """Whether lines of a kind are in kWh."""
    return UNITS[kind] == 1
