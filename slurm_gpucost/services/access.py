"""Who may see and do what: from where he asks, Slurm's association database as the ledger has it, and ``[access]``."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterable
from typing import NamedTuple

from slurm_gpucost.domain.access import Viewer
from slurm_gpucost.ledger import asked
from slurm_gpucost.ledger.queries import ask
from slurm_gpucost.services.rights_evidence import RIGHTS
from slurm_gpucost.settings import Settings
from slurm_gpucost.settings.access import ACCOUNT, ALL, OWN, PRIVATE, SLURM

SOCKET, MUNGE, TOKEN = "socket", "munge", "token"
"""How a person can be told: the kernel says it, a MUNGE credential, a token."""
TRUST_MS = 86_400_000
"""What slurmdbd said of rights counts for so long after its last whole answer."""


def viewer_of(
    db: sqlite3.Connection,
    settings: Settings,
    user: str,
    uid: int,
    host: str,
    via: str,
    trusted: bool = False,
    *,
    now_ms: int,
    clusters: Collection[str] = (),
) -> Viewer:
    """The rights of a person, as :class:`slurm_gpucost.services.callers.Caller` has him.

    ``trusted``: what comes from ``host`` is no forgery of root elsewhere. ``clusters``: those that the ledger is fed
    from beside the config's: who is an operator of all of them sees all; of some, their accounts, as coordinators do.
    """
    if via == SOCKET and uid in (0, os.geteuid()):
        return Viewer(user, everyone=True, costs=True, acts=True, bills=True)
    if not user or via not in (SOCKET, MUNGE, TOKEN):
        return Viewer("", totals=False)
    access, local = settings.access, via == SOCKET
    whole = access.visibility == ALL
    told = [_told(db, cluster, user, now_ms, whole) for cluster in sorted({settings.cluster, *clusters})]
    administers = user in access.administrators or all(one.level for one in told)
    counts = user in access.finance
    from_safe = local or trusted
    sees = from_safe or via == TOKEN
    everyone = sees and (administers or counts)
    operated = [(one.cluster, account) for one in told if one.level and sees for account in one.parents]
    hidden = frozenset().union(*(_private(settings, one) for one in told))
    return Viewer(
        user,
        everyone=everyone,
        accounts=frozenset(operated + [pair for one in told for pair in _below(one)]),
        shared_accounts=frozenset(pair for one in told for pair in _shared(settings, one)),
        totals=everyone or "usage" not in hidden,
        costs=sees and user in access.costs,
        acts=from_safe and administers,
        bills=from_safe and (administers or counts),
    )


class _Told(NamedTuple):
    """What slurmdbd says of a user on a cluster; all but ``private`` is empty where it was not heard for too long."""

    cluster: str
    level: str
    coordinates: tuple[str, ...]
    member: tuple[str, ...]
    parents: dict[str, str]
    """Every account's, where somebody needs them."""
    private: frozenset[str]


def _told(db: sqlite3.Connection, cluster: str, user: str, now_ms: int, whole: bool) -> _Told:
    said = ask(db, "privacy", cluster=cluster, at_ms=now_ms)
    private = frozenset(said[0]["private_data"].split(",") if said else PRIVATE)
    heard = asked.last_poll_until(db, RIGHTS, cluster, now_ms)
    if heard is None or now_ms - heard > TRUST_MS:
        return _Told(cluster, "", (), (), {}, private)
    where = {"cluster": cluster, "at_ms": now_ms}
    levels = ask(db, "admin_levels", user=user, **where)
    coordinates = tuple(row["account"] for row in ask(db, "coordinators", user=user, **where))
    member = tuple(row["account"] for row in ask(db, "associations", user=user, **where))
    tree = ask(db, "associations", user="", **where) if levels or coordinates or whole else []
    parents = {row["account"]: row["parent"] for row in tree}
    return _Told(cluster, levels[0]["admin_level"] if levels else "", coordinates, member, parents, private)


def _private(settings: Settings, told: _Told) -> frozenset[str]:
    said = settings.access.private_data
    return told.private if said == SLURM else frozenset(said)


def _below(told: _Told) -> Iterable[tuple[str, str]]:
    """The accounts that he coordinates, and all that are below them."""
    mine = set(told.coordinates)
    found = set(mine)
    for account in told.parents:
        way = [account]
        while way[-1] not in found and (parent := told.parents.get(way[-1])) and parent not in way:
            way.append(parent)
        if way[-1] in found:
            found.update(way)
    return {(told.cluster, account) for account in found}


def _shared(settings: Settings, told: _Told) -> Iterable[tuple[str, str]]:
    """What `visibility` shows, as far as PrivateData leaves it."""
    hidden, shows = _private(settings, told), settings.access.visibility
    if shows == OWN or hidden & {"usage", "users"}:
        return ()
    if shows == ALL and "accounts" not in hidden:
        return [(told.cluster, account) for account in told.parents]
    return [(told.cluster, account) for account in told.member] if shows in (ACCOUNT, ALL) else ()
