"""Tokens of nodes. The ledger has their digests only: whoever reads it cannot write as a node."""

from __future__ import annotations

import sqlite3
from hashlib import blake2b
from typing import NamedTuple

DIGEST_BYTES = 32


class Who(NamedTuple):
    """A node that may write, by its token."""

    cluster: str
    node: str


def digest_of(token: str) -> bytes:
    """What stands for a node's or a user's token, whose 256 random bits no digest without salt gives back."""
    return blake2b(token.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


def owner(db: sqlite3.Connection, token: str) -> Who | None:
    """Whose good token it is. The look-up is by digest, so its time tells nothing of other tokens."""
    row = db.execute(
        "SELECT cluster, node FROM node_token WHERE digest = ? AND revoked_ms IS NULL", (digest_of(token),)
    ).fetchone()
    return None if row is None else Who(*row)


def issue(db: sqlite3.Connection, who: Who, token: str, now_ms: int, by: str) -> None:
    """From now on the token is the node's."""
    db.execute("INSERT INTO node_token VALUES (?, ?, ?, ?, ?, NULL)", (digest_of(token), *who, now_ms, by))


def revoke(db: sqlite3.Connection, who: Who, now_ms: int) -> int:
    """No token that the node had is good any more; how many there were."""
    return db.execute(
        "UPDATE node_token SET revoked_ms = ? WHERE cluster = ? AND node = ? AND revoked_ms IS NULL", (now_ms, *who)
    ).rowcount
