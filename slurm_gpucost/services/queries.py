"""Where questions go: named queries with parameters that return rows, here asked of a ledger file.

Commands only know :class:`Queries`, so that a service can answer them later without a command being rewritten.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from slurm_gpucost.ledger.queries import Rows, ask, each, tuples
from slurm_gpucost.ledger.store import open_readonly
from slurm_gpucost.settings import Settings

Sees = Callable[[str, str, str], bool]
"""Of cluster, account and user: whether their time may be looked at for who asks."""


class Queries(Protocol):
    """Answers named questions."""

    def ask(self, name: str, /, **params: Any) -> Rows:
        """The rows of the named query."""

    def each(self, name: str, /, **params: Any) -> Iterator[dict[str, Any]]:
        """The same, one by one, and kept nowhere: for answers as long as the ledger."""

    def tuples(self, name: str, /, **params: Any) -> Iterator[tuple[Any, ...]]:
        """The same without the names of columns, which costs half."""


class LedgerQueries:
    """Asks a ledger that this process may read.

    All questions are answered from one moment of it, so that what a command shows fits together while a daemon
    writes; the same question is answered once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = open_readonly(path)
        self.connection.execute("BEGIN")
        self._answers: dict[str, Rows] = {}

    def ask(self, name: str, /, **params: Any) -> Rows:
        """The rows of the named query."""
        key = json.dumps([name, sorted(params.items())])
        if key not in self._answers:
            self._answers[key] = ask(self.connection, name, **params)
        return self._answers[key]

    def each(self, name: str, /, **params: Any) -> Iterator[dict[str, Any]]:
        """The same, one by one, and kept nowhere."""
        return each(self.connection, name, **params)

    def tuples(self, name: str, /, **params: Any) -> Iterator[tuple[Any, ...]]:
        """The same without the names of columns."""
        return tuples(self.connection, name, **params)

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()


@contextmanager
def open_queries(settings: Settings, ledger: Path | None = None) -> Iterator[LedgerQueries]:
    """The queries over ``ledger``, or the config's."""
    queries = LedgerQueries(ledger or settings.ledger)
    try:
        yield queries
    finally:
        queries.close()
