"""An invoice or a statement as a page of text, and its lines as rows for CSV."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from slurm_gpucost.documents.table import Column, Row, table
from slurm_gpucost.documents.terminal import fit, safe

FIELDS = (
    "kind", "cluster", "account", "period_start", "period_end", "status", "currency",
    "pool", "user", "sku", "item", "rule", "gpu_hours", "held_gpu_hours", "unit_price", "amount",
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
_PROVISIONAL = (
    "PROVISIONAL: this period is not closed. Amounts change when the accounting does;\n"
    "running jobs count up to the last time that it was asked.\n"
)


def _rule(line: Row) -> str:
    """What made the line; what is not billed is said to be."""
    return f"{line['rule']}, {line['item']}" if line["item"] != "usage" else str(line["rule"])


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
    ]
    body = table(_LINES, invoice["lines"])
    ruler = body.splitlines()[1]
    amount = f"{invoice['total']} {invoice['currency']}"
    total = "Total " + fit(invoice["total"], max(len(ruler) - 6, len(invoice["total"])), right=True)
    title = "STATEMENT" if statement else "INVOICE"
    end = (f"\nYour part of the account's invoice: {amount}.\n" if statement else "") + (
        f"\n{_PROVISIONAL}" if invoice["status"] == "provisional" else ""
    )
    head = "".join(f"{name + ':':<10}{safe(str(value))}\n" for name, value in facts)
    return f"{title}\n{head}\n{body}{'-' * len(ruler)}\n{total}\n{end}"


def pages(invoices: Iterable[Row]) -> str:
    """All of them, with a rule between."""
    return f"\n{'=' * 80}\n\n".join(page(invoice) for invoice in invoices)


def lines(invoices: Iterable[Row]) -> list[dict[str, Any]]:
    """A row for each line, with the facts of its invoice: what ``--csv`` writes, in the order of :data:`FIELDS`."""
    return [{**invoice, **line} for invoice in invoices for line in invoice["lines"]]
