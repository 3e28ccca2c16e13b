"""Charges -> invoices and statements. Pure, exact.

An invoice is made per (cluster, account); its net total is the exact sum rounded half up once, and its lines get their
cents by largest remainder. A statement shows one user's lines of it, so statements add up to net totals. Tax is taken
of the net total, once, and rounded half up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from slurm_gpucost.costing.accounts import Holder
from slurm_gpucost.costing.allotment import largest_remainder, round_half_up
from slurm_gpucost.costing.energy import GRAMS_PER_KG
from slurm_gpucost.costing.exact import exact_decimal, number_text
from slurm_gpucost.costing.free import Free, used
from slurm_gpucost.costing.free import Line as FreeLine
from slurm_gpucost.costing.periods import Period
from slurm_gpucost.costing.quantity import Rounding, line_ms
from slurm_gpucost.domain.units import HOUR_MS, decimal_text

HOURS_DECIMALS, PRICE_DECIMALS = 6, 4
USAGE, BLOCKED, WAIVED, FREE, SURCHARGE = "usage", "blocked", "waived", "free", "surcharge"
"""Kinds of lines: what is billed of held time; of blocked time; what is not, a line at price 0; what an allotment takes
off; what the account's class puts on top of what is then left, or takes off it."""
ENERGY, HOST_ENERGY, IMPUTED_ENERGY, WAIVED_ENERGY = "energy", "host_energy", "imputed_energy", "waived_energy"
ENERGY_SURCHARGE = "energy_surcharge"
"""Kinds of lines of energy, in kWh at the site's meter: as the devices' counters say; of their hosts, as stated; of
time that nobody measured, by a rule; what is not billed of all three, at price 0; and what the account's class adds."""
UNITS = {
    **dict.fromkeys((USAGE, BLOCKED, WAIVED, FREE, SURCHARGE), HOUR_MS),
    **dict.fromkeys((ENERGY, HOST_ENERGY, IMPUTED_ENERGY, WAIVED_ENERGY, ENERGY_SURCHARGE), 1),
}
"""By kind: how much of a quantity the unit price is for. Device-ms are priced by the hour, kWh by the kWh."""
SURCHARGES = (SURCHARGE, ENERGY_SURCHARGE)
ENERGY_DECIMALS = 6
NIL = Fraction(0)
NO_ONE = Holder()
NO_ROUNDING = Rounding()
Allotments = Callable[[str, str], Sequence[Free]]
"""(cluster, account) -> what it need not pay in the period, in the order in which that is used up."""


OF_INVOICES = ("contact", "tax_id", "tax_exempt", "net_total", "tax_rate", "tax_total")
"""What statements do not say, for nobody pays them."""


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


Lines = Mapping[tuple[str, str], Mapping[LineKey, Line]]
"""By (cluster, account)."""


@dataclass(frozen=True)
class Priced:
    """A part of a pool's period in which one price holds."""

    period: Period
    prices: Mapping[str, Decimal]
    """Posted price per GPU-hour, by SKU."""
    rate_parts: int = 1
    """2: they bear no energy, which is billed as measured."""


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


def lines_of(charges: Iterable[Charge], terms: Terms) -> dict[tuple[str, str], dict[LineKey, Line]]:
    """Charges added up to lines by (cluster, account), rounded where lines are; lines of nothing are left out.

    Give all charges of the period, for an allotment reaches over all pools.
    """
    sums: dict[tuple[str, str], dict[LineKey, Line]] = {}
    for one in charges:
        lines = sums.setdefault((one.cluster, one.account), {})
        quantity, held = lines.get(one.key, (NIL, NIL))
        lines[one.key] = Line(quantity + one.quantity, held + one.held)
    found: dict[tuple[str, str], dict[LineKey, Line]] = {}
    for owner in sorted(sums):
        for key, line in sorted(sums[owner].items()):
            billed = line_ms(line.quantity, terms.rounding) if key.kind == USAGE else line.quantity
            if billed:
                found.setdefault(owner, {})[key] = Line(billed, line.held)
    for owner, lines in found.items():
        lines |= _free(lines, terms.free(*owner))
        lines |= _surcharge(lines, terms.holder(*owner))
    return found


def _free(lines: Mapping[LineKey, Line], allotments: Sequence[Free]) -> Iterator[tuple[LineKey, Line]]:
    owed = [
        FreeLine(key, key.user, key.sku, line.quantity, Fraction(key.unit_price))
        for key, line in lines.items()
        if key.kind in (USAGE, BLOCKED)
    ]
    sums: dict[LineKey, Fraction] = {}
    for one in used(owed, allotments) if allotments else ():
        key = one.key._replace(kind=FREE, rule=one.free)
        sums[key] = sums.get(key, NIL) + one.device_ms
    for key in sorted(sums):
        yield key, Line(-sums[key], NIL)


def _surcharge(lines: Mapping[LineKey, Line], holder: Holder) -> Iterator[tuple[LineKey, Line]]:
    """A line beside what each user owes for a SKU at a price: the hours left to pay, at the part of the price."""
    sums: dict[LineKey, Fraction] = {}
    for key, line in lines.items() if holder.of.surcharge else ():
        if key.unit_price:
            price = exact_decimal(Fraction(key.unit_price) * holder.of.surcharge, PRICE_DECIMALS)
            kind = ENERGY_SURCHARGE if is_energy(key.kind) else SURCHARGE
            on_top = key._replace(kind=kind, rule=holder.of.rule, unit_price=price)
            sums[on_top] = sums.get(on_top, NIL) + line.quantity
    for key in sorted(sums):
        if sums[key]:
            yield key, Line(sums[key], NIL)


def amount(key: LineKey, quantity: Fraction) -> Fraction:
    """What a quantity of a line costs, exact."""
    return quantity * Fraction(key.unit_price) / UNITS[key.kind]


def invoices(charges: Iterable[Charge], terms: Terms) -> list[dict[str, Any]]:
    """All invoices, sorted by cluster and account."""
    return invoices_of(lines_of(charges, terms), terms)


def invoices_of(lines: Lines, terms: Terms) -> list[dict[str, Any]]:
    """All invoices, in the order of their lines."""
    return [_invoice(*owner, found, terms) for owner, found in lines.items()]


def _invoice(cluster: str, account: str, found: Mapping[LineKey, Line], terms: Terms) -> dict[str, Any]:
    scale = 10**terms.minor_unit
    exact = [(key, amount(key, line.quantity) * scale) for key, line in found.items()]
    net = round_half_up(sum((value for _, value in exact), NIL))
    amounts = largest_remainder(exact, net)
    holder = terms.holder(cluster, account)
    tax = tax_of(net, holder)
    bounds = _bounds(terms, {key.pool for key in found})
    lines = [
        {
            "pool": key.pool,
            "sku": key.sku,
            "user": key.user,
            "item": key.kind,
            "rule": key.rule,
            "gpu_hours": decimal_text(NIL if is_energy(key.kind) else line.quantity / HOUR_MS, HOURS_DECIMALS),
            "held_gpu_hours": decimal_text(line.held / HOUR_MS, HOURS_DECIMALS),
            "kwh": decimal_text(line.quantity, ENERGY_DECIMALS) if is_energy(key.kind) else None,
            "kg_co2e": _emitted(key, line, terms),
            "unit_price": str(key.unit_price),
            "amount": money(cents, terms.minor_unit),
            "period_start": period.start_iso,
            "period_end": period.end_iso,
        }
        for (key, line), cents in zip(found.items(), amounts, strict=True)
        for period in [terms.parts[key.pool, key.start_ms].period]
    ]
    return {
        "kind": "invoice",
        "cluster": cluster,
        "account": account,
        "period_start": bounds.start_iso,
        "period_end": bounds.end_iso,
        "status": "provisional",
        "currency": terms.currency,
        "class": holder.of.name,
        "class_label": holder.of.label,
        "contact": holder.contact,
        "tax_id": holder.tax_id,
        "tax_exempt": holder.tax_exempt,
        "net_total": money(net, terms.minor_unit),
        "tax_rate": number_text(holder.tax),
        "tax_total": money(tax, terms.minor_unit),
        "total": money(net + tax, terms.minor_unit),
        **_energy_of(lines),
        "lines": lines,
    }


def tax_of(net: int, holder: Holder) -> int:
    """Tax on a net total, both in the smallest unit, rounded half up."""
    return round_half_up(net * holder.tax)


def is_energy(kind: str) -> bool:
    """Whether lines of a kind are in kWh."""
    return UNITS[kind] == 1


def _emitted(key: LineKey, line: Line, terms: Terms) -> str | None:
    if not is_energy(key.kind) or key.kind in SURCHARGES or key.pool not in terms.grams_per_kwh:
        return None
    return decimal_text(line.quantity * terms.grams_per_kwh[key.pool] / GRAMS_PER_KG, ENERGY_DECIMALS)


def _energy_of(lines: Iterable[Mapping[str, Any]]) -> dict[str, str | None]:
    """Energy and emissions of lines as these show them, so that statements add up to invoices; None: there are none."""
    lines = list(lines)
    found: dict[str, str | None] = {}
    for name, key in (("energy_kwh", "kwh"), ("kg_co2e", "kg_co2e")):
        shown = [Fraction(line[key]) for line in lines if line[key] is not None and line["item"] not in SURCHARGES]
        found[name] = decimal_text(sum(shown, NIL), ENERGY_DECIMALS) if shown else None
    return found


def _bounds(terms: Terms, pools: set[str]) -> Period:
    """The whole period: as cut in the zone of the one pool that is on the invoice, else in the site's."""
    if len(pools) != 1:
        return terms.period
    own = [priced.period for (pool, _), priced in terms.parts.items() if pool in pools]
    first, last = min(own), max(own)
    return Period(first.start_ms, last.end_ms, first.zone)


def statement(invoice: Mapping[str, Any], user: str) -> dict[str, Any] | None:
    """One user's lines of an invoice and their sum, net of tax; None where the user has none."""
    lines = [line for line in invoice["lines"] if line["user"] == user]
    if not lines:
        return None
    total = sum((Fraction(line["amount"]) for line in lines), NIL)
    digits = len(invoice["total"].partition(".")[2])
    return {
        **{key: value for key, value in invoice.items() if key not in OF_INVOICES},
        "kind": "statement",
        "user": user,
        "total": decimal_text(total, digits),
        **_energy_of(lines),
        "lines": lines,
    }


def money(units: int, minor_unit: int) -> str:
    """An amount in the smallest unit as decimal text."""
    return decimal_text(Fraction(units, 10**minor_unit), minor_unit)
