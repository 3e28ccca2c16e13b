"""An invoice or a statement as a page of text, and its lines as rows for CSV."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from slurm_gpucost.documents.table import Column, Row, table
from slurm_gpucost.documents.terminal import fit, safe

FIELDS = (
    "kind", "cluster", "account", "period_start", "period_end", "status", "currency",
    "pool", "user", "sku", "item", "rule", "gpu_hours", "held_gpu_hours", "unit_price", "amount",
    "kwh", "kg_co2e",
)  # fmt: skip
"""Columns of the CSV: one row a line, with what its invoice says before it."""
_LINES = [
    Column("User", lambda line: str(line["user"]), 10),
    Column("SKU", lambda line: str(line["sku"]), 8),
    Column("Pool", lambda line: str(line["pool"]), 6),
    Column("Rule", lambda line: _rule(line), 12),
    Column("GPU-hours", lambda line: str(line["gpu_hours"]), 12, number=True),
    Column("Unit price", lambda line: str(line["unit_price"]), 10, number=True),
    Column("Amount", lambda line: str(line["amount"]), 12, number=True),
]
_WITH_ENERGY = [
    *_LINES[:3],
    Column("Item", lambda line: str(line["item"]).replace("_", " "), 14),
    Column("Rule", lambda line: str(line["rule"]), 12),
    Column("GPU-hours", lambda line: "" if _is_energy(line) else str(line["gpu_hours"]), 12, number=True),
    Column("kWh", lambda line: str(line["kwh"]) if _is_energy(line) else "", 12, number=True),
    *_LINES[5:],
]
_PROVISIONAL = (
    "PROVISIONAL: this period is not closed. Amounts change when the accounting does;\n"
    "running jobs count up to the last time that it was asked.\n"
)


def _rule(line: Row) -> str:
    """What made the line; what is not billed is said to be."""
    return f"{line['rule']}, {line['item']}" if line["item"] != "usage" else str(line["rule"])


def _is_energy(line: Row) -> bool:
    return line.get("kwh") is not None


def page(invoice: Row) -> str:
    """One invoice or statement, of the shape that ``gpucost invoice --json`` prints."""
    statement = invoice["kind"] == "statement"
    facts = [
        ("Cluster", invoice["cluster"]),
        ("Account", invoice["account"]),
        *([("User", invoice["user"])] if statement else []),
        ("Period", f"{invoice['period_start']} to {invoice['period_end']} (end exclusive)"),
        ("Status", invoice["status"]),
        ("Currency", f"{invoice['currency']}, net of tax"),
        *([("Energy", _energy(invoice))] if invoice.get("energy_kwh") is not None else []),
    ]
    body = table(_LINES if invoice.get("energy_kwh") is None else _WITH_ENERGY, invoice["lines"])
    ruler = body.splitlines()[1]
    amount = f"{invoice['total']} {invoice['currency']}"
    total = "Total " + fit(invoice["total"], max(len(ruler) - 6, len(invoice["total"])), right=True)
    title = "STATEMENT" if statement else "INVOICE"
    end = (f"\nYour part of the account's invoice: {amount}.\n" if statement else "") + (
        f"\n{_PROVISIONAL}" if invoice["status"] == "provisional" else ""
    )
    head = "".join(f"{name + ':':<10}{safe(str(value))}\n" for name, value in facts)
    return f"{title}\n{head}\n{body}{'-' * len(ruler)}\n{total}\n{end}"


def _energy(invoice: Row) -> str:
    emitted = f", {invoice['kg_co2e']} kg CO2e" if invoice["kg_co2e"] is not None else ""
    return f"{invoice['energy_kwh']} kWh at the site's meter{emitted}"


def pages(invoices: Iterable[Row]) -> str:
    """All of them, with a rule between."""
    return f"\n{'=' * 80}\n\n".join(page(invoice) for invoice in invoices)


def lines(invoices: Iterable[Row]) -> list[dict[str, Any]]:
    """A row for each line, with the facts of its invoice: what ``--csv`` writes, in the order of :data:`FIELDS`."""
    return [{**invoice, **line} for invoice in invoices for line in invoice["lines"]]
