"""What of the config the money rests on, in the log of changes: each change once, whoever notices it first."""

from __future__ import annotations

import json
import logging
import sqlite3
from typing import Any

from slurm_gpucost.domain.errors import GpucostError
from slurm_gpucost.domain.units import MS
from slurm_gpucost.ledger import changes
from slurm_gpucost.ledger.changes import Change
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.settings import Settings
from slurm_gpucost.settings.inputs import (
    account_inputs,
    billing_inputs,
    blocked_inputs,
    energy_inputs,
    free_inputs,
    inputs_of,
    node_inputs,
)
from slurm_gpucost.sources.identity import Identity, identity

SUBJECT = "config"
log = logging.getLogger("gpucostd")
Difference = dict[str, str | None]
"""``key``, and its value ``before`` and ``now`` as TOML text; None: it is not there."""


def record(db: sqlite3.Connection, settings: Settings, who: Identity, why: str, now_ms: int) -> list[Difference]:
    """Note what differs from the values noted last, inside the caller's transaction; nothing where nothing does."""
    now = {"currency": settings.currency, **billing_inputs(settings.billing), **free_inputs(settings.free)}
    now |= blocked_inputs(settings.pools) | energy_inputs(settings.pools) | node_inputs(settings.pools)
    now |= account_inputs(settings.classes, settings.accounts)
    for pool in settings.pools:
        now |= inputs_of(pool)
    row = db.execute("SELECT what FROM change_log WHERE subject = ? ORDER BY seq DESC LIMIT 1", (SUBJECT,)).fetchone()
    found = differences(json.loads(row[0])["inputs"] if row else {}, now)
    if found:
        what = json.dumps({"changed": found, "inputs": now}, sort_keys=True, ensure_ascii=False)
        changes.add(db, Change(now_ms, who.login, who.uid, who.host, who.terminal, SUBJECT, what, why))
    return found


def at_start(ledger: Ledger, settings: Settings, daemon: str, now_ms: int) -> None:
    """What nobody noted with `gpucost config record`. A full disk must not keep a daemon from its work."""
    try:
        with ledger.transaction() as db:
            changed = record(db, settings, identity(), f"found when {daemon} started", now_ms)
    except GpucostError as error:
        log.warning("the config's costs could not be noted: %s", error)
    else:
        if changed:
            log.info("the config's costs are others than were noted last: `gpucost config history` shows them")


def differences(before: dict[str, str], now: dict[str, str]) -> list[Difference]:
    """By key."""
    return [
        {"key": key, "before": before.get(key), "now": now.get(key)}
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]


def history(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The changes in the rows of the query ``config_changes``, oldest first; ``at`` in seconds since 1970."""
    return [
        {
            "seq": row["seq"],
            "at": row["at_ms"] // MS,
            **{key: row[key] for key in ("login", "uid", "host", "terminal", "why")},
            "changed": json.loads(row["what"])["changed"],
        }
        for row in rows
    ]
