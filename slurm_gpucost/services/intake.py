"""The collector's side of the uplink: whose batch it is, what of it is new, which of its rows may be taken in.

Many batches are one transaction. What a batch told and the number up to which its journal is held are in it together,
so a batch that was answered is in, and one that was not may come again. docs/uplink.md describes the rules.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

from slurm_gpucost.domain.units import MS
from slurm_gpucost.domain.wire import Batch
from slurm_gpucost.ledger import journals, tokens
from slurm_gpucost.ledger.journals import TAKEN, WAITING, Journal
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.ledger.tokens import Who
from slurm_gpucost.services.sent_rows import SentRows

SILENT_SECONDS = 600
"""As [collector] silent_seconds has it by default."""
MOST_SAID = 4_096
"""Characters of what a node says of itself."""
LONGEST_TAIL = 100
_MOST_NESTED = 64
_SAID = ("driver", "spool", "unsent", "journal_bytes", "dropped_windows", "paused")


class Outcome(NamedTuple):
    """What came of a batch, as it is answered over HTTP."""

    status: int
    """200: it is in; 409: entries before it are not, send again from ``held`` + 1; 403: not from you, or not now."""
    held: int
    """All entries up to it are in the ledger."""
    error: str = ""
    waiting: bool = False
    """Another journal of that node is alive: keep all, and try again later."""
    rows: int = 0
    """That were taken in."""
    refused: int = 0
    """That were set aside."""


def authenticate(db: sqlite3.Connection, token: str) -> Who | None:
    """The node that may write with this token; None: nobody."""
    return tokens.owner(db, token)


def held(db: sqlite3.Connection, who: Who, journal: str) -> int:
    """Up to which entry the ledger has all of this node's journal; 0 of an unknown one."""
    known = _own(db, who, journal)
    return 0 if known is None else known.held


def tail(db: sqlite3.Connection, who: Who, journal: str) -> str:
    """What this node's journal said last of its newest entry that was sent, as it said it; '' where it did not."""
    known = _own(db, who, journal)
    said = None if known is None else json.loads(known.said).get("tail")
    return said if isinstance(said, str) and len(said) <= LONGEST_TAIL else ""


def _own(db: sqlite3.Connection, who: Who, journal: str) -> Journal | None:
    known = journals.find(db, journal)
    return known if known is not None and (known.cluster, known.node) == who else None


def take_batches(
    ledger: Ledger,
    batches: Iterable[tuple[Who, Batch]],
    now_ms: int,
    *,
    silent_seconds: int = SILENT_SECONDS,
    up_since_ms: int = 0,
) -> list[Outcome]:
    """Batches with who sent them, in the order they came, durably in one transaction.

    ``up_since_ms``: when the collector began to listen; before it nobody could be heard. Raises LedgerError where the
    ledger cannot be written: then nothing of any of them is in.
    """
    with ledger.transaction() as db:
        intake = _Intake(db, now_ms, silent_seconds * MS, up_since_ms)
        outcomes = [intake.take(Who(*who), batch) for who, batch in batches]
        intake.write()
    return outcomes


class _Intake:
    """One transaction's batches; ``write`` ends it."""

    def __init__(self, db: sqlite3.Connection, now_ms: int, silent_ms: int, up_since_ms: int) -> None:
        self._db = db
        self._now_ms = now_ms
        self._silent_ms = silent_ms
        self._up_since_ms = up_since_ms
        self._rows = SentRows(db, now_ms, silent_ms)

    def take(self, who: Who, batch: Batch) -> Outcome:
        if (batch.cluster, batch.node) != who:
            return Outcome(
                403, 0, f"the token is that of node {who.node} of {who.cluster}, not of {batch.node} of {batch.cluster}"
            )
        before = journals.find(self._db, batch.journal)
        if before is not None and (before.cluster, before.node) != who:
            return Outcome(
                403, 0,
                f"journal {batch.journal} is that of node {before.node} of {before.cluster}; on a renamed or cloned "
                "machine move it away, so that it gets a new one",
            )  # fmt: skip
        journal = self._heard(who, batch, before)
        if journal.state == WAITING:
            journals.write(self._db, journal)
            why = (
                f"another journal of node {who.node} is alive; `gpucost node enroll {who.node} --accept` takes this one"
            )
            return Outcome(403, journal.held, why, waiting=True)
        if before is None or before.state != TAKEN:
            journals.take(self._db, who, journal.journal)
        if batch.first > journal.held + 1:
            if batch.first > batch.oldest:
                journals.write(self._db, journal)
                return Outcome(409, journal.held, f"entries {journal.held + 1} to {batch.first - 1} are not here")
            lost = batch.oldest - journal.held - 1
            journal = journal._replace(missing=journal.missing + lost, held=batch.oldest - 1)
        journal = journal._replace(held=max(journal.held, batch.last))
        journals.write(self._db, journal)
        taken, refused = self._rows.add(who, batch)
        return Outcome(200, journal.held, rows=taken, refused=refused)

    def _heard(self, who: Who, batch: Batch, before: Journal | None) -> Journal:
        """The journal as it is after this sign of life, and whether it is its turn."""
        now = self._now_ms
        state = TAKEN
        if before is None:
            journals.make_room(self._db, who)
        if before is None or before.state != TAKEN:
            other = journals.taken(self._db, who)
            if other is not None and self._is_alive(other):
                state = WAITING
        old = before or Journal(batch.journal, *who, state, 0, 0, now, now, 0, "", "{}")
        return old._replace(
            state=state,
            last_heard_ms=now,
            clock_ahead_ms=batch.sent_at_ms - now,
            version=batch.version,
            said=_said(batch.said),
        )

    def _is_alive(self, journal: Journal) -> bool:
        return self._now_ms - max(journal.last_heard_ms, self._up_since_ms) < self._silent_ms

    def write(self) -> None:
        self._rows.write()


def _said(said: dict[str, Any]) -> str:
    """What a node says of itself, as JSON; of too much only what is known here."""
    try:
        text = json.dumps(said, sort_keys=True)
    except RecursionError:
        text = ""
    if text and len(text) <= MOST_SAID and text.count("[") + text.count("{") <= _MOST_NESTED:
        return text
    known = {key: said[key] for key in _SAID if isinstance(said.get(key), int) and abs(said[key]) < 1 << 62}
    if isinstance(said.get("driver"), str):
        known["driver"] = said["driver"][:255]
    return json.dumps(known, sort_keys=True)
