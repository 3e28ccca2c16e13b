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
from slurm_gpucost.costing.tres import Prices
from slurm_gpucost.domain.units import HOUR_MS

PRICE_DECIMALS = 4
USAGE, BLOCKED, WAIVED, FREE, SURCHARGE = "usage", "blocked", "waived", "free", "surcharge"
RESERVED = "reserved"
"""Kinds of lines: what is billed of held time; of blocked time; what is not, a line at price 0; what an allotment takes
off; what the account's class puts on top of what is then left, or takes off it; what is billed of time that a
reservation kept and nobody held, of no user: an allotment pays nothing of it."""
SHARE, COVERED, GUEST = "share", "covered", "guests"
"""Kinds of lines of owners: what operating their devices costs; what of their use those cover; what of guests' pay is
theirs."""
ENERGY, HOST_ENERGY, IMPUTED_ENERGY, WAIVED_ENERGY = "energy", "host_energy", "imputed_energy", "waived_energy"
ENERGY_SURCHARGE = "energy_surcharge"
"""Kinds of lines of energy, in kWh at the site's meter: as the devices' counters say; of their hosts, as stated; of
time that nobody measured, by a rule; what is not billed of all three, at price 0; and what the account's class adds."""
TRES, WAIVED_TRES, TRES_SURCHARGE = "tres", "waived_tres", "tres_surcharge"
"""Kinds of lines of what is priced per TRES, in unit-hours: what is billed; what is not, at price 0; and what the
account's class adds. The SKU of these lines is the TRES."""
UNITS = {
    **dict.fromkeys((USAGE, BLOCKED, RESERVED, WAIVED, FREE, SURCHARGE, SHARE, COVERED, GUEST), HOUR_MS),
    **dict.fromkeys((TRES, WAIVED_TRES, TRES_SURCHARGE), HOUR_MS),
    **dict.fromkeys((ENERGY, HOST_ENERGY, IMPUTED_ENERGY, WAIVED_ENERGY, ENERGY_SURCHARGE), 1),
}
"""By kind: how much of a quantity the unit price is for. Device-ms and unit-ms are priced by the hour, kWh by the
kWh."""
SURCHARGES = (SURCHARGE, ENERGY_SURCHARGE, TRES_SURCHARGE)
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
    """Posted, per GPU-hour; of energy the tariff's, per kWh; of a TRES per unit-hour."""


class Charge(NamedTuple):
    """A part of a line; parts of a line add up."""

    cluster: str
    account: str
    key: LineKey
    quantity: Fraction
    """What is billed, exact: device-ms, of energy kWh, of a TRES units x ms. Below 0: takes back what another says."""
    held: Fraction
    """The device-ms that were held for it: rounding adds to the quantity, not to this."""
    grams: Fraction = NIL
    """CO2e of energy, each moment at its factor; 0 where the pool states none."""


class Line(NamedTuple):
    """What is billed, the held time behind it and what its energy emitted, as in :class:`Charge`."""

    quantity: Fraction
    held: Fraction
    grams: Fraction = NIL


class Told(NamedTuple):
    """Energy of a user's jobs, at the site's meter."""

    kwh: Fraction = NIL
    """Which is on no line, for the price of the hour bears it."""
    grams: Fraction | None = None
    """CO2e of that; None: no pool states it."""
    measured_kwh: Fraction = NIL
    """What counters said, on lines or not."""

    def plus(self, other: Told) -> Told:
        """Both together."""
        grams = [one.grams for one in (self, other) if one.grams is not None]
        return Told(self.kwh + other.kwh, sum(grams, NIL) if grams else None, self.measured_kwh + other.measured_kwh)


Lines = Mapping[Owner, Mapping[LineKey, Line]]


@dataclass(frozen=True)
class Priced:
    """A part of a pool's period in which one price holds."""

    period: Period
    prices: Mapping[str, Decimal]
    """Posted price per GPU-hour, by SKU."""
    rate_parts: int = 1
    """2: they bear no energy, which is billed as measured."""
    tres: Prices | None = None
    """By which attempts of the pool are billed instead of by its prices per GPU-hour."""
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
    emits: frozenset[str] = frozenset()
    """Pools that state what a kWh emits."""
    told: Mapping[tuple[str, str, str], Told] = field(default_factory=dict)
    """Energy of jobs, by cluster, account and user."""
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


def is_tres(kind: str) -> bool:
    """Whether lines of a kind are in unit-hours of a TRES."""
    return kind in (TRES, WAIVED_TRES, TRES_SURCHARGE)
