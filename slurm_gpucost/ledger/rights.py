"""Rights as slurmdbd told them, and the tokens of users.

Call what writes inside :meth:`slurm_gpucost.ledger.store.Ledger.transaction`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from slurm_gpucost.domain.evidence import AssociationReport, CoordinatorReport, PrivacyReport, UserReport
from slurm_gpucost.ledger.queries import ask
from slurm_gpucost.ledger.reports import log

Report = UserReport | CoordinatorReport | AssociationReport | PrivacyReport
_KEYS: dict[type[Report], tuple[str, tuple[str, ...]]] = {
    UserReport: ("user_report", ("cluster", "user")),
    CoordinatorReport: ("coordinator_report", ("cluster", "user", "account")),
    AssociationReport: ("association_report", ("cluster", "user", "account")),
    PrivacyReport: ("privacy_report", ("cluster",)),
}


def add(db: sqlite3.Connection, reports: Iterable[Report]) -> int:
    """Take in what slurmdbd says of rights; the number that differ from what it said before."""
    return sum(log(db, *_KEYS[type(report)], report) for report in reports)


class Standing(NamedTuple):
    """What holds on a cluster at a moment."""

    levels: dict[str, str]
    coordinators: frozenset[tuple[str, str]]
    """(account, user)."""
    associations: frozenset[tuple[str, str, str]]
    """(account, user, parent)."""


def standing(db: sqlite3.Connection, cluster: str, at_ms: int) -> Standing:
    """All that slurmdbd said last, up to a moment, of what there is."""
    where = {"cluster": cluster, "at_ms": at_ms, "user": None}
    return Standing(
        {row["user"]: row["admin_level"] for row in ask(db, "admin_levels", **where)},
        frozenset((row["account"], row["user"]) for row in ask(db, "coordinators", **where)),
        frozenset((row["account"], row["user"], row["parent"]) for row in ask(db, "associations", **where)),
    )


class UserToken(NamedTuple):
    """A token, without the token. Field order is column order in the ledger."""

    digest: bytes
    user: str
    issued_ms: int
    expires_ms: int
    issued_by: str
    revoked_ms: int | None


def add_token(db: sqlite3.Connection, token: UserToken) -> None:
    """Keep a new one."""
    db.execute("INSERT INTO user_token VALUES (?, ?, ?, ?, ?, ?)", token)


def tokens(db: sqlite3.Connection) -> list[UserToken]:
    """All that were ever issued, oldest first."""
    return [UserToken(**row) for row in ask(db, "user_tokens")]


def token(db: sqlite3.Connection, digest: bytes) -> UserToken | None:
    """The one of that digest."""
    names = ", ".join(UserToken._fields)
    row = db.execute(f"SELECT {names} FROM user_token WHERE digest = ?", (digest,)).fetchone()  # names are ours
    return UserToken(*row) if row else None


def revoke_token(db: sqlite3.Connection, digest: bytes, at_ms: int) -> None:
    """It is no good from now on; what was revoked stays so since then."""
    db.execute("UPDATE user_token SET revoked_ms = ? WHERE digest = ? AND revoked_ms IS NULL", (at_ms, digest))
