"""Where questions go: named queries with parameters that return rows, here asked of a ledger file.

Commands only know :class:`Queries`, so that a service can answer them later without a command being rewritten.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from slurm_gpucost.ledger.queries import Rows, ask
from slurm_gpucost.ledger.store import open_readonly
from slurm_gpucost.settings import Settings


class Queries(Protocol):
    """Answers named questions."""

    def ask(self, name: str, /, **params: Any) -> Rows:
        """The rows of the named query."""


class LedgerQueries:
    """Asks a ledger that this process may read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = open_readonly(path)

    def ask(self, name: str, /, **params: Any) -> Rows:
        """The rows of the named query."""
        return ask(self.connection, name, **params)


@contextmanager
def open_queries(settings: Settings, ledger: Path | None = None) -> Iterator[LedgerQueries]:
    """The queries over ``ledger``, or the config's."""
    queries = LedgerQueries(ledger or settings.ledger)
    try:
        yield queries
    finally:
        queries.connection.close()
