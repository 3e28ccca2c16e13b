"""What an audit finds wrong on invoices: sums, tax, and surcharges, which no pool's balance holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from slurm_gpucost.costing.accounts import percent
from slurm_gpucost.costing.allotment import round_half_up
from slurm_gpucost.costing.invoices import money, tax_of
from slurm_gpucost.costing.lines import SURCHARGES, LineKey, Lines, Terms, amount
from slurm_gpucost.domain.units import decimal_text

DECIMALS = 6
NIL = Fraction(0)
Invoices = list[dict[str, Any]]


def key_of(line: dict[str, Any], start_ms: int) -> LineKey:
    """What a printed line is for."""
    price = Decimal(line["unit_price"])
    return LineKey(line["pool"], line["sku"], line["user"], start_ms, line["item"], line["rule"], price)


def of_invoice(invoice: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Lines, net total, tax and total of an invoice, against each other."""
    net = sum((Fraction(line["amount"]) for line in invoice["lines"]), NIL)
    total = net + Fraction(invoice["tax_total"])
    if net != Fraction(invoice["net_total"]):
        off = f"its lines add up to {decimal_text(net, DECIMALS)}, its net total is {invoice['net_total']}"
        yield difference("invoice", "", f"{invoice['cluster']}, account {invoice['account']}: {off}")
    if total != Fraction(invoice["total"]):
        off = f"its lines and tax add up to {decimal_text(total, DECIMALS)}, its total is {invoice['total']}"
        yield difference("invoice", "", f"{invoice['cluster']}, account {invoice['account']}: {off}")


def of_tax(invoice: Mapping[str, Any], terms: Terms) -> Iterator[dict[str, Any]]:
    """Tax by what is known of the account, on the net total that the invoice says."""
    holder = terms.holder(invoice["cluster"], invoice["account"])
    net = Fraction(invoice["net_total"]) * 10**terms.minor_unit
    due = money(tax_of(round_half_up(net), holder), terms.minor_unit)
    told = (invoice["class"], Fraction(invoice["tax_rate"]), Fraction(invoice["tax_total"]))
    if told != (holder.of.name, holder.tax, Fraction(due)):
        off = f"class {told[0]}, tax {percent(told[1])} is {invoice['tax_total']}"
        due = f"class {holder.of.name}, tax {percent(holder.tax)} is {due}"
        yield difference("tax", "", f"{invoice['cluster']}, account {invoice['account']}: {off}; it should be {due}")


def of_surcharges(invoices: Invoices, billed: Lines, terms: Terms) -> Iterator[dict[str, Any]]:
    """Every surcharge that is due is on one line, and no other is."""
    starts = {(pool, priced.period.start_iso): start for (pool, start), priced in terms.parts.items()}
    told: dict[tuple[str, str, LineKey], list[Fraction]] = {}
    for one in invoices:
        for line in one["lines"]:
            if line["item"] in SURCHARGES:
                key = key_of(line, starts.get((line["pool"], line["period_start"]), -1))
                told.setdefault((one["cluster"], one["account"], key), []).append(Fraction(line["amount"]))
    due = {
        (*owner, key): amount(key, line.quantity)
        for owner, lines in billed.items()
        for key, line in lines.items()
        if key.kind in SURCHARGES
    }
    unit = Fraction(1, 10**terms.minor_unit)
    for where in sorted(due.keys() | told.keys()):
        cluster, account, key = where
        amounts, exact = told.get(where, []), due.get(where, NIL)
        if len(amounts) != (where in due) or any(abs(one - exact) >= unit for one in amounts):
            found = " and ".join(decimal_text(one, terms.minor_unit) for one in amounts) or "no line"
            detail = f"{key.user}, {key.sku}, {key.rule}: {found}; it should be {decimal_text(exact, DECIMALS)}"
            yield difference("surcharge", key.pool, f"{cluster}, account {account}, {detail}")


def difference(what: str, pool: str, detail: str) -> dict[str, Any]:
    """A row of the audit's differences."""
    return {"what": what, "pool": pool or None, "detail": detail}
