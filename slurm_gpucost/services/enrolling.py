"""Who may write as which node: tokens given out and taken back, journals accepted. Each change goes to the log."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
from collections.abc import Iterable

from slurm_gpucost.domain.errors import GpucostError, UsageError
from slurm_gpucost.domain.hostlist import expand
from slurm_gpucost.ledger import changes, journals, tokens
from slurm_gpucost.ledger.changes import Change
from slurm_gpucost.ledger.journals import WAITING
from slurm_gpucost.ledger.tokens import Who
from slurm_gpucost.sources.identity import Identity

SUBJECT = "nodes"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_SHORTEST = 6
"""Digits by which a journal can be named."""


def named(words: Iterable[str], cluster: str) -> list[Who]:
    """The nodes that hostlists name, each once. Raises UsageError."""
    found: dict[Who, None] = {}
    if not _NAME.fullmatch(cluster):
        raise UsageError(f"--cluster '{cluster}': is no name of a cluster")
    for word in words:
        try:
            names = expand(word)
        except ValueError as error:
            raise UsageError(f"{error}; write nodes like n1 or n[1-4]") from None
        wrong = next((name for name in names if not _NAME.fullmatch(name)), None)
        if wrong is not None or not names:
            raise UsageError(f"'{wrong or word}' is no name of a node; write nodes like n1 or n[1-4]")
        found |= dict.fromkeys(Who(cluster, name) for name in names)
    return list(found)


def enroll(
    db: sqlite3.Connection, nodes: Iterable[Who], by: Identity, why: str, now_ms: int, *, revoke_others: bool = False
) -> list[tuple[Who, str]]:
    """A new token for each node, inside the caller's transaction. It is nowhere but in what is returned."""
    issued = []
    gone = 0
    for who in nodes:
        gone += tokens.revoke(db, who, now_ms) if revoke_others else 0
        token = secrets.token_urlsafe(32)
        tokens.issue(db, who, token, now_ms, by.login)
        issued.append((who, token))
    _note(db, by, why, now_ms, {"enrolled": [list(who) for who, _ in issued], "revoked_tokens": gone})
    return issued


def revoke(db: sqlite3.Connection, nodes: Iterable[Who], by: Identity, why: str, now_ms: int) -> list[tuple[Who, int]]:
    """No token of these nodes is good any more: how many each had. Raises GpucostError where one had none."""
    found = [(who, tokens.revoke(db, who, now_ms)) for who in nodes]
    without = [who.node for who, count in found if not count]
    if without:
        raise GpucostError(f"{', '.join(without)}: no such node has a good token; nothing was changed")
    _note(db, by, why, now_ms, {"revoked": [list(who) for who, _ in found]})
    return found


def accept(db: sqlite3.Connection, who: Who, journal: str | None, by: Identity, why: str, now_ms: int) -> str:
    """A journal of the node that waits, or was retired, is taken in from now on, and no other one; its id.

    ``journal``: its id or the beginning of it; None: the only one that waits. Raises GpucostError.
    """
    known = journals.of_node(db, who)
    if journal is None:
        found = [one for one in known if one.state == WAITING]
    else:
        found = [one for one in known if one.journal.startswith(journal) and len(journal) >= _SHORTEST]
    if len(found) != 1:
        there = ", ".join(f"{one.journal} ({one.state})" for one in known) or "none"
        what = "several could be meant" if found else "none waits" if journal is None else f"none is {journal}"
        raise GpucostError(f"node {who.node} of {who.cluster}: of its journals {what}; it has: {there}")
    journals.take(db, who, found[0].journal)
    _note(db, by, why, now_ms, {"accepted": [[*who, found[0].journal]]})
    return found[0].journal


def _note(db: sqlite3.Connection, by: Identity, why: str, now_ms: int, what: dict[str, object]) -> None:
    said = json.dumps(what, sort_keys=True)
    changes.add(db, Change(now_ms, by.login, by.uid, by.host, by.terminal, SUBJECT, said, why))
