"""The questions by name, and how one is answered."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slurm_gpucost.domain.access import Viewer
from slurm_gpucost.domain.errors import GpucostError, NotAllowed, UsageError
from slurm_gpucost.ledger.queries import Rows
from slurm_gpucost.services.named import accounts, acts, invoices, jobs, prices, reports, whole
from slurm_gpucost.services.named.model import ALL, COSTS, IF_THERE, OWN, UNUSED, Answer, Asked, Query
from slurm_gpucost.services.named.params import checked
from slurm_gpucost.services.named.scope import Narrowed, Scope
from slurm_gpucost.services.queries import LedgerQueries
from slurm_gpucost.settings import Settings

QUERIES: Mapping[str, Query] = {
    query.name: query
    for module in (jobs, reports, invoices, whole, accounts, prices, acts)
    for query in module.QUERIES
}  # fmt: skip


@contextmanager
def answer(
    settings: Settings,
    ledger: Path,
    name: str,
    params: Mapping[str, Any],
    viewer: Viewer,
    now_ms: int,
    *,
    local: bool = False,
    on_open: Callable[[sqlite3.Connection], None] | None = None,
) -> Iterator[Answer]:
    """The answer to a named question as this viewer may see it; the ledger is open as long as the block lasts.

    ``local``: whoever asks opens the files himself, so he may also name other ones. ``on_open`` is given the ledger's
    connection, to put limits on it. Raises UsageError for a name that
    there is not and for wrong parameters, NotAllowed where the viewer has not the right, and what goes wrong beside:
    in words that tell people without rights nothing of others.
    """
    query = QUERIES.get(name)
    if query is None:
        raise UsageError(f"{name[:40]}: no question has this name; there are {', '.join(QUERIES)}")
    allow(query, viewer)
    given = checked(query, params)
    with _told(viewer):
        queries = _opened(query, ledger)
    try:
        if on_open is not None and not isinstance(queries, _NoLedger):
            on_open(queries.connection)
        scope = Scope(viewer, queries)
        with _told(viewer):
            made = query.run(Asked(settings, queries, given, viewer, now_ms, local), scope)
        if query.rights == OWN and not (isinstance(made.rows, Narrowed) and made.rows.scope is scope):
            raise RuntimeError(f"{name}: its rows came past what its viewer may see")
        usual = {
            "cluster": settings.cluster,
            "timezone": settings.timezone.key,
            "currency": settings.currency,
            "now": now_ms // 1000,
            "notes": [],
        }
        yield Answer({**usual, **made.head}, made.rows)
    finally:
        queries.close()


def allow(query: Query, viewer: Viewer) -> None:
    """Raise NotAllowed where the viewer has not the right to ask this at all."""
    if query.rights == ALL and not viewer.everyone:
        raise NotAllowed(f"{query.name}: for those who see all users' spend: operators, administrators, finance")
    if query.rights == COSTS and not viewer.costs:
        raise NotAllowed(f"{query.name}: for those who see cost items; the collector's config names them")


@contextmanager
def _told(viewer: Viewer) -> Iterator[None]:
    """Errors that are not the asker's name accounts, files and keys: only for who may see those."""
    try:
        yield
    except (UsageError, NotAllowed):
        raise
    except GpucostError:
        if viewer.everyone or viewer.costs:
            raise
        raise GpucostError("config or ledger do not allow an answer now; tell an administrator") from None


class _NoLedger(LedgerQueries):
    """Of a ledger that is not there yet, or that the question does not need: nothing is known."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ask(self, name: str, /, **params: Any) -> Rows:
        """No rows."""
        return []

    def close(self) -> None:
        """Nothing is open."""


def _opened(query: Query, ledger: Path) -> LedgerQueries:
    if query.ledger == UNUSED or (query.ledger == IF_THERE and not ledger.exists()):
        return _NoLedger(ledger)
    return LedgerQueries(ledger)
