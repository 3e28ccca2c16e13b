"""Lines -> invoices and statements. Pure, exact.

An invoice is made per (cluster, account); its net total is the exact sum rounded half up once, and its lines get their
cents by largest remainder. A statement shows one user's lines of it, so statements add up to net totals. Tax is taken
of the net total, once, and rounded half up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from slurm_gpucost.costing.accounts import Holder
from slurm_gpucost.costing.allotment import largest_remainder, round_half_up
from slurm_gpucost.costing.billed import lines_of
from slurm_gpucost.costing.energy import GRAMS_PER_KG
from slurm_gpucost.costing.exact import number_text
from slurm_gpucost.costing.lines import (
    SURCHARGES,
    Charge,
    Line,
    LineKey,
    Lines,
    Terms,
    Told,
    amount,
    is_energy,
    is_tres,
)
from slurm_gpucost.costing.periods import Period
from slurm_gpucost.costing.tres_bill import unit_of
from slurm_gpucost.domain.units import HOUR_MS, decimal_text

HOURS_DECIMALS = ENERGY_DECIMALS = 6
OF_INVOICES = ("contact", "tax_id", "tax_exempt", "net_total", "tax_rate", "tax_total")
"""What statements do not say, for nobody pays them."""
_ENERGY = ("energy_kwh", "measured_kwh", "kg_co2e")
NIL = Fraction(0)


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
    by_tres = any(is_tres(key.kind) for key in found)
    lines = [
        {
            "pool": key.pool,
            "sku": key.sku,
            "user": key.user,
            "item": key.kind,
            "rule": key.rule,
            "gpu_hours": decimal_text(line.quantity / HOUR_MS if _of_gpus(key) else NIL, HOURS_DECIMALS),
            "held_gpu_hours": decimal_text(line.held / HOUR_MS, HOURS_DECIMALS),
            "kwh": decimal_text(line.quantity, ENERGY_DECIMALS) if is_energy(key.kind) else None,
            "kg_co2e": _emitted(key, line, terms),
            **(_of_tres(key, line) if by_tres else {}),
            "unit_price": str(key.unit_price),
            "amount": money(cents, terms.minor_unit),
            "period_start": period.start_iso,
            "period_end": period.end_iso,
        }
        for (key, line), cents in zip(found.items(), amounts, strict=True)
        for period in [terms.parts[key.pool, key.start_ms].period]
    ]
    by_user = _energy_by_user(
        lines, {user: one for (*owner, user), one in terms.told.items() if (cluster, account) == tuple(owner)}
    )
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
        **_energy_of(by_user),
        "energy_by_user": by_user,
        "lines": lines,
    }


def tax_of(net: int, holder: Holder) -> int:
    """Tax on a net total, both in the smallest unit, rounded half up."""
    return round_half_up(net * holder.tax)


def _of_gpus(key: LineKey) -> bool:
    return not is_energy(key.kind) and not is_tres(key.kind)


def _of_tres(key: LineKey, line: Line) -> dict[str, str | None]:
    """The quantity of a TRES and its unit; other lines of an invoice that has such ones have neither."""
    if not is_tres(key.kind):
        return {"unit_hours": None, "unit": None}
    return {"unit_hours": decimal_text(line.quantity / HOUR_MS, HOURS_DECIMALS), "unit": unit_of(key.sku)}


def _emitted(key: LineKey, line: Line, terms: Terms) -> str | None:
    if not is_energy(key.kind) or key.kind in SURCHARGES or key.pool not in terms.emits:
        return None
    return decimal_text(line.grams / GRAMS_PER_KG, ENERGY_DECIMALS)


def _energy_by_user(lines: Iterable[Mapping[str, Any]], told: Mapping[str, Told]) -> list[dict[str, Any]]:
    """What each user's jobs drew: as the lines show it, and what is on no line."""
    shown = [line for line in lines if line["kwh"] is not None and line["item"] not in SURCHARGES]
    found: list[dict[str, Any]] = []
    for user in sorted({line["user"] for line in shown} | told.keys()):
        mine, own = [line for line in shown if line["user"] == user], told.get(user)
        rows = [told_energy(own), *({"energy_kwh": line["kwh"], "kg_co2e": line["kg_co2e"]} for line in mine)]
        found.append({"user": user, **_energy_of(rows)})
    return found


def told_energy(told: Told | None) -> dict[str, str | None]:
    """As JSON has it, decimal text; None: nobody knows."""
    if told is None:
        return dict.fromkeys(_ENERGY)
    grams = None if told.grams is None else told.grams / GRAMS_PER_KG
    return {
        name: None if value is None else decimal_text(value, ENERGY_DECIMALS)
        for name, value in zip(_ENERGY, (told.kwh, told.measured_kwh, grams), strict=True)
    }


def _energy_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, str | None]:
    """Sums as they are shown, so that statements add up to invoices; None: nobody knows."""
    found: dict[str, str | None] = {}
    for name in _ENERGY:
        shown = [Fraction(row[name]) for row in rows if row.get(name) is not None]
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
    by_user = [row for row in invoice["energy_by_user"] if row["user"] == user]
    digits = len(invoice["total"].partition(".")[2])
    return {
        **{key: value for key, value in invoice.items() if key not in OF_INVOICES},
        "kind": "statement",
        "user": user,
        "total": decimal_text(total, digits),
        **_energy_of(by_user),
        "energy_by_user": by_user,
        "lines": lines,
    }


def money(units: int, minor_unit: int) -> str:
    """An amount in the smallest unit as decimal text."""
    return decimal_text(Fraction(units, 10**minor_unit), minor_unit)
