"""An invoice or a statement as a page of text, and its lines as rows for CSV."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from slurm_gpucost.costing.accounts import INTERNAL
from slurm_gpucost.costing.exact import number_text
from slurm_gpucost.documents.table import Column, Row, table
from slurm_gpucost.documents.terminal import fit, safe

FIELDS = (
    "kind", "cluster", "account", "period_start", "period_end", "status", "currency",
    "pool", "user", "sku", "item", "rule", "gpu_hours", "held_gpu_hours", "unit_price", "amount",
    "kwh", "kg_co2e",
)  # fmt: skip
"""Columns of the CSV: one row a line, with what its invoice says before it."""
RESERVATION, OWNER = "(reservation)", "(owner)"
"""Shown for the user of what nobody used: what a reservation kept, and what an account owns."""
_OF_TRES = ("unit_hours", "unit")
"""Further ones, where a line is priced per TRES."""
_LINES = [
    Column("User", lambda line: user_of(line), 10),
    Column("SKU", lambda line: str(line["sku"]), 8),
    Column("Pool", lambda line: str(line["pool"]), 6),
    Column("Rule", lambda line: _rule(line), 12),
    Column("GPU-hours", lambda line: str(line["gpu_hours"]), 12, number=True),
    Column("Unit price", lambda line: str(line["unit_price"]), 10, number=True),
    Column("Amount", lambda line: str(line["amount"]), 12, number=True),
]
_ITEM = Column("Item", lambda line: str(line["item"]).replace("_", " "), 14)
_ITEMS_RULE = Column("Rule", lambda line: str(line["rule"]), 12)
_GPU_HOURS = Column(
    "GPU-hours", lambda line: "" if _is_energy(line) or _is_tres(line) else str(line["gpu_hours"]), 12, number=True
)
_KWH = Column("kWh", lambda line: str(line["kwh"]) if _is_energy(line) else "", 12, number=True)
_UNITS = Column(
    "Unit-hours", lambda line: f"{line['unit_hours']} {line['unit']}" if _is_tres(line) else "", 24, number=True
)
_PROVISIONAL = (
    "PROVISIONAL: this period is not closed. Amounts change when the accounting does;\n"
    "running jobs count up to the last time that it was asked.\n"
)


def user_of(line: Row) -> str:
    """Whose a line is, as people are told it."""
    if line["user"] or line["item"] in ("usage", "blocked"):
        return str(line["user"])
    return OWNER if line["item"] in ("share", "guests") else RESERVATION


def _rule(line: Row) -> str:
    """What made the line; what is not billed is said to be."""
    told = line["item"] in ("usage", "surcharge", "energy_surcharge")
    return str(line["rule"]) if told else f"{line['rule']}, {line['item']}"


def _is_energy(line: Row) -> bool:
    return line.get("kwh") is not None


def _is_tres(line: Row) -> bool:
    return line.get("unit_hours") is not None


def _columns(lines: Iterable[Row], energy: bool) -> list[Column]:
    """Those that the lines need: an item and quantities beside GPU-hours only where there are such."""
    tres = any(map(_is_tres, lines))
    if not energy and not tres:
        return _LINES
    more = [*([_KWH] if energy else []), *([_UNITS] if tres else [])]
    return [*_LINES[:3], _ITEM, _ITEMS_RULE, _GPU_HOURS, *more, *_LINES[5:]]


def page(invoice: Row) -> str:
    """One invoice or statement, of the shape that ``gpucost invoice --json`` prints."""
    statement = invoice["kind"] == "statement"
    taxed = not statement and Decimal(invoice["tax_rate"]) > 0
    facts = [
        ("Cluster", invoice["cluster"]),
        ("Account", invoice["account"]),
        *_account(invoice),
        *([("User", invoice["user"])] if statement else []),
        ("Period", f"{invoice['period_start']} to {invoice['period_end']} (end exclusive)"),
        ("Status", invoice["status"]),
        ("Currency", f"{invoice['currency']}, {'lines ' if taxed else ''}net of tax"),
        *([("Energy", _energy(invoice))] if invoice.get("energy_kwh") is not None else []),
    ]
    longest = max((len(_rule(line)) for line in invoice["lines"]), default=0)  # who pays a subsidy is never cut off
    columns = _columns(invoice["lines"], any(map(_is_energy, invoice["lines"])))
    columns = [replace(one, width=max(one.width, longest)) if one.name == "Rule" else one for one in columns]
    body = table(columns, invoice["lines"])
    ruler = body.splitlines()[1]
    amount = f"{invoice['total']} {invoice['currency']}"
    sums = [("Total", invoice["total"])]
    if taxed:
        tax = f"Tax {number_text(100 * Fraction(invoice['tax_rate']))} %"
        sums[:0] = [("Net total", invoice["net_total"]), (tax, invoice["tax_total"])]
    total = "\n".join(
        f"{name} {fit(sum_, max(len(ruler) - len(name) - 1, len(sum_)), right=True)}" for name, sum_ in sums
    )
    title = "STATEMENT" if statement else "INVOICE"
    end = (f"\nYour part of the account's invoice: {amount}.\n" if statement else "") + (
        f"\n{_PROVISIONAL}" if invoice["status"] == "provisional" else ""
    )
    head = "".join(f"{name + ':':<10}{safe(str(value))}\n" for name, value in facts)
    return f"{title}\n{head}\n{body}{'-' * len(ruler)}\n{total}\n{end}"


def _account(invoice: Row) -> list[tuple[str, str]]:
    """What is known of the account and is not as of every other."""
    label = f" ({invoice['class_label']})" if invoice["class_label"] else ""
    facts = [("Class", f"{invoice['class']}{label}" if invoice["class"] != INTERNAL or label else "")]
    if invoice["kind"] != "statement":
        facts += [("Contact", invoice["contact"]), ("Tax id", invoice["tax_id"])]
        facts += [("Tax", "exempt" if invoice["tax_exempt"] else "")]
    return [(name, value) for name, value in facts if value]


def _energy(invoice: Row) -> str:
    emitted = f"; {invoice['kg_co2e']} kg CO2e" if invoice["kg_co2e"] is not None else ""
    measured = f", {invoice['measured_kwh']} of it measured" if invoice.get("measured_kwh") is not None else ""
    paid = "" if any(map(_is_energy, invoice["lines"])) else "; it is in the price of the hour"
    return f"{invoice['energy_kwh']} kWh at the site's meter{measured}{emitted}{paid}"


def pages(invoices: Iterable[Row]) -> str:
    """All of them, with a rule between."""
    return f"\n{'=' * 80}\n\n".join(page(invoice) for invoice in invoices)


def lines(invoices: Iterable[Row]) -> list[dict[str, Any]]:
    """A row for each line, with the facts of its invoice: what ``--csv`` writes, in the order of :func:`fields`."""
    return [{**invoice, **line} for invoice in invoices for line in invoice["lines"]]


def fields(invoices: Iterable[Row]) -> tuple[str, ...]:
    """The columns of the CSV of these invoices."""
    return FIELDS + (_OF_TRES if any(_is_tres(line) for invoice in invoices for line in invoice["lines"]) else ())
