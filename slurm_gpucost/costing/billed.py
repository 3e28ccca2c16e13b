"""Charges -> lines of invoices: added up, rounded where lines are, less what shares cover and what is free, with what
owners pay and get, and surcharges. Pure, exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

from slurm_gpucost.costing import owned
from slurm_gpucost.costing.accounts import Holder
from slurm_gpucost.costing.exact import exact_decimal
from slurm_gpucost.costing.free import Free, used
from slurm_gpucost.costing.free import Line as FreeLine
from slurm_gpucost.costing.lines import (
    ENERGY_SURCHARGE,
    FREE,
    GUEST,
    NIL,
    PRICE_DECIMALS,
    SHARE,
    SURCHARGE,
    TRES_SURCHARGE,
    USAGE,
    Charge,
    Line,
    LineKey,
    Owner,
    Terms,
    is_energy,
    is_tres,
    left_to_pay,
)
from slurm_gpucost.costing.quantity import line_ms

_Lines = dict[Owner, dict[LineKey, Line]]


def lines_of(charges: Iterable[Charge], terms: Terms) -> _Lines:
    """Charges added up to lines by (cluster, account), rounded where lines are; lines of nothing are left out.

    Give all charges of the period, for an allotment reaches over all pools, and a share over all accounts.
    """
    sums: _Lines = {}
    for one in charges:
        lines = sums.setdefault((one.cluster, one.account), {})
        quantity, held, grams = lines.get(one.key, (NIL, NIL, NIL))
        lines[one.key] = Line(quantity + one.quantity, held + one.held, grams + one.grams)
    found: _Lines = {}
    for owner in sorted(sums):
        for key, line in sorted(sums[owner].items()):
            billed = line_ms(line.quantity, terms.rounding) if key.kind == USAGE else line.quantity
            if billed:
                found.setdefault(owner, {})[key] = Line(billed, line.held, line.grams)
    hours = owned.hours_of(found, terms.owning, terms.parts)
    _add(found, owned.covered(hours, terms.owning))
    for owner, lines in found.items():
        lines |= _free(lines, terms.free(*owner))
    _add(found, owned.operating(terms.owning, terms.parts))
    _add(found, owned.guests(found, hours, terms.owning, terms.parts))
    for owner, lines in found.items():
        lines |= _surcharge(lines, terms.holder(*owner))
    return {owner: found[owner] for owner in sorted(found)}


def _add(lines: _Lines, entries: Iterable[owned.Entry]) -> None:
    """Lines of owners, which hold nothing themselves: the time behind them is on the lines of those who held it."""
    sums: dict[tuple[Owner, LineKey], Fraction] = {}
    for one in entries:
        sums[one[:2]] = sums.get(one[:2], NIL) + one.device_ms
    for owner, key in sorted(sums):
        if sums[owner, key]:
            lines.setdefault(owner, {})[key] = Line(sums[owner, key], NIL)


def _free(lines: Mapping[LineKey, Line], allotments: Sequence[Free]) -> Iterator[tuple[LineKey, Line]]:
    owed = (
        FreeLine(what, what.user, what.sku, device_ms, Fraction(what.unit_price))
        for what, device_ms in left_to_pay(lines).items()
    )
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
        if key.unit_price and key.kind not in (SHARE, GUEST):
            price = exact_decimal(Fraction(key.unit_price) * holder.of.surcharge, PRICE_DECIMALS)
            kind = ENERGY_SURCHARGE if is_energy(key.kind) else TRES_SURCHARGE if is_tres(key.kind) else SURCHARGE
            on_top = key._replace(kind=kind, rule=holder.of.rule, unit_price=price)
            sums[on_top] = sums.get(on_top, NIL) + line.quantity
    for key in sorted(sums):
        if sums[key]:
            yield key, Line(sums[key], NIL)
