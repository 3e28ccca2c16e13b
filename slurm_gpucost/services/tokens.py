"""Tokens of users, for sites without MUNGE: issued on the ledger's host, kept as digests, good until a day."""

from __future__ import annotations

import secrets
import sqlite3
from typing import Any

from slurm_gpucost.domain.errors import Unidentified, UsageError
from slurm_gpucost.ledger import rights
from slurm_gpucost.ledger.rights import UserToken
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.ledger.tokens import digest_of
from slurm_gpucost.services.access_log import note
from slurm_gpucost.sources.identity import Identity

DAY_MS = 86_400_000
MOST_DAYS = 366
_PREFIX = "gpucost-user-"
_LONGEST = 128
_ID_DIGITS = 12


def issue(ledger: Ledger, user: str, days: int, who: Identity, why: str, now_ms: int) -> dict[str, Any]:
    """A new token for a user: it is told here and never again. Raises UsageError."""
    if not 0 < days <= MOST_DAYS:
        raise UsageError(f"--days {days}: a token is good for 1 to {MOST_DAYS} days")
    if not user or not user.isprintable() or any(c in user for c in " |,"):
        raise UsageError(f"--user '{user}': is no user's name")
    token = _PREFIX + secrets.token_urlsafe(32)
    kept = UserToken(digest_of(token), user, now_ms, now_ms + days * DAY_MS, who.login, None)
    with ledger.transaction() as db:
        rights.add_token(db, kept)
        note(db, who, {"did": "token issued", "token": _id(kept), "days": days}, now_ms, users=[user], why=why)
    return {"token": token, **_row(kept, now_ms)}


def listed(db: sqlite3.Connection, now_ms: int) -> list[dict[str, Any]]:
    """Every token that was issued, oldest first: all but the token itself."""
    return [_row(one, now_ms) for one in rights.tokens(db)]


def revoke(
    ledger: Ledger, number: str | None, user: str | None, who: Identity, why: str, now_ms: int
) -> list[dict[str, Any]]:
    """A token, by its number, or all of a user: no good from now on. Raises UsageError where there is none."""
    with ledger.transaction() as db:
        good = [one for one in rights.tokens(db) if _state(one, now_ms) == "good"]
        found = [one for one in good if (_id(one) == number if number else one.user == user)]
        if not found:
            what = f"{number}: no token with this id is good" if number else f"--user {user}: has no token that is good"
            raise UsageError(f"{what}; `gpucost token list` shows them")
        for one in found:
            rights.revoke_token(db, one.digest, now_ms)
            note(db, who, {"did": "token revoked", "token": _id(one)}, now_ms, users=[one.user], why=why)
    return [_row(one._replace(revoked_ms=now_ms), now_ms) for one in found]


def user_of(db: sqlite3.Connection, token: str, now_ms: int) -> str:
    """Whose it is. Raises Unidentified where it is unknown, over or revoked."""
    known = None
    if token.startswith(_PREFIX) and len(token) <= _LONGEST and token.isascii():
        known = rights.token(db, digest_of(token))
    if known is None:
        raise Unidentified("this token is not known here; ask for another (`gpucost token issue` on the ledger's host)")
    if (state := _state(known, now_ms)) != "good":
        raise Unidentified(f"this token is {state}; ask for another (`gpucost token issue` on the ledger's host)")
    return known.user


def _id(token: UserToken) -> str:
    return token.digest.hex()[:_ID_DIGITS]


def _state(token: UserToken, now_ms: int) -> str:
    if token.revoked_ms is not None:
        return "revoked"
    return "good" if now_ms < token.expires_ms else "expired"


def _row(token: UserToken, now_ms: int) -> dict[str, Any]:
    return {
        "id": _id(token),
        "user": token.user,
        "state": _state(token, now_ms),
        "issued": token.issued_ms // 1000,
        "expires": token.expires_ms // 1000,
        "issued_by": token.issued_by,
        "revoked": None if token.revoked_ms is None else token.revoked_ms // 1000,
    }
