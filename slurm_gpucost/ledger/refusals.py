"""What a node sent and may not write, or could not read itself: set aside, within bounds for each node.

What lies beyond them is counted, so that no node can fill the ledger's disk with what nobody can use.
"""

from __future__ import annotations

import sqlite3

from slurm_gpucost.ledger import ingest
from slurm_gpucost.ledger.tokens import Who

MOST_ROWS = 1_000
MOST_BYTES = 16 * 1024 * 1024
LONGEST = 64 * 1024
"""Of one row's content; of longer content the beginning is kept."""


def keep(
    db: sqlite3.Connection,
    who: Who,
    witness: str,
    source: str,
    line: int | None,
    reason: str,
    content: bytes,
    observed_at_ms: int,
) -> None:
    """Set aside once, or count. What was only counted and is sent again counts again."""
    if len(content) > LONGEST:
        reason = f"{reason} (of {len(content)} bytes the first {LONGEST} are kept)"
        content = content[:LONGEST]
    key = ingest.set_aside_key(witness, content)
    if db.execute("SELECT 1 FROM set_aside WHERE digest = ?", (key,)).fetchone():
        return
    db.execute("INSERT OR IGNORE INTO node_refusal VALUES (?, ?, 0, 0, 0)", who)
    rows, size = db.execute("SELECT kept, kept_bytes FROM node_refusal WHERE cluster = ? AND node = ?", who).fetchone()
    if rows >= MOST_ROWS or size + len(content) > MOST_BYTES:
        db.execute("UPDATE node_refusal SET beyond = beyond + 1 WHERE cluster = ? AND node = ?", who)
        return
    ingest.set_aside(db, witness, f"{who.node}: {source}"[:255], line, reason[:2000], content, observed_at_ms)
    db.execute(
        "UPDATE node_refusal SET kept = kept + 1, kept_bytes = kept_bytes + ? WHERE cluster = ? AND node = ?",
        (len(content), *who),
    )
