"""Who asks: the kernel's word, a MUNGE credential or a token becomes a user. What he may is not decided here."""

from __future__ import annotations

import os
import pwd
import sqlite3
from typing import NamedTuple

from slurm_gpucost.domain.errors import Unidentified
from slurm_gpucost.services import tokens
from slurm_gpucost.services.access import MUNGE, SOCKET, TOKEN
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources import hosts, munge
from slurm_gpucost.sources.identity import uid_of

NOBODY = -1
"""The uid of a token's user whom this host does not know."""


class Caller(NamedTuple):
    """A person who was told. Its fields are what :func:`slurm_gpucost.services.access.viewer_of` takes, in order."""

    user: str
    uid: int
    host: str
    """Address that he calls from; this host's name over the socket."""
    via: str
    trusted: bool
    """No forgery of root on another host, as far as the config says so."""


class Request(NamedTuple):
    """What of a request a credential is bound to."""

    method: str
    path: str
    """With its query, as it was sent."""
    host: str
    """The header Host, as it was sent."""
    body: bytes


def by_socket(uid: int) -> Caller:
    """The uid that the kernel names at the other end of the Unix socket. Raises Unidentified."""
    return Caller(_name(uid), uid, os.uname().nodename, SOCKET, True)


def by_munge(settings: Settings, credential: str, request: Request, peer: str) -> Caller:
    """The user that a credential names, by this host's passwd. ``peer``: the address at the connection's other end.

    Both peer and origin must be of a trusted host: root elsewhere with the key can write any origin. Asks munged and,
    for trusted hosts, the resolver: for a thread. Raises Unidentified, and SourceError where munged does not answer.
    """
    collector, access = settings.collector, settings.access
    host = hosts.host_of(request.host)
    if not hosts.is_own(host, collector.url, collector.listen, peer):
        raise Unidentified(f"'{host}' is no name of this collector ([collector] url); a credential must be made for it")
    said = munge.decode(credential, access.munge_socket)
    wanted = munge.binding(request.method, request.path, host, request.body)
    munge.check(said, wanted, access.munge_lifetime_seconds)
    trusted = all(hosts.among(address, access.trusted_hosts) for address in (peer, said.origin))
    return Caller(_name(said.uid), said.uid, peer, MUNGE, trusted)


def owner_of(db: sqlite3.Connection, token: str, secure: bool, now_ms: int) -> str:
    """The user whom a token was issued to. ``secure``: it came over TLS or from this host. Raises Unidentified."""
    if not secure:
        raise Unidentified(
            "a token is taken over TLS only: call the collector by https; this one is known to others now"
        )
    return tokens.user_of(db, token, now_ms)


def by_token(settings: Settings, user: str, peer: str) -> Caller:
    """Whose token it was, calling from ``peer``. Asks passwd and the resolver: for a thread."""
    uid = uid_of(user)
    trusted = hosts.among(peer, settings.access.trusted_hosts)
    return Caller(user, NOBODY if uid is None else uid, peer, TOKEN, trusted)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        raise Unidentified(f"the ledger's host knows no user with the uid {uid}") from None
