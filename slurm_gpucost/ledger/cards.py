"""Published rates in the ledger. Call :func:`add` inside :meth:`slurm_gpucost.ledger.store.Ledger.transaction`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple


class Rate(NamedTuple):
    """The published price of a SKU. Field order is column order in the ledger, without ``seq``."""

    pool: str
    effective_ms: int
    sku: str
    version: int
    unit_price: str
    """Per GPU-hour, decimal text."""
    currency: str
    rate_exact: str
    """The unrounded rate, n/d."""
    derivation: str
    """JSON: how it came about, and the config's values that it rests on."""


def add(db: sqlite3.Connection, rates: Iterable[Rate], seq: int) -> None:
    """Write down what the change number ``seq`` published."""
    marks = ",".join("?" * (len(Rate._fields) + 1))
    db.executemany(f"INSERT INTO rate VALUES ({marks})", ((*rate, seq) for rate in rates))
