"""Who asks: by the socket, by MUNGE with a real munged, by a token; and who cannot say who he is."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slurm_gpucost.domain.errors import Unidentified
from slurm_gpucost.ledger.store import Ledger, open_ledger
from slurm_gpucost.services import tokens
from slurm_gpucost.services.access import viewer_of
from slurm_gpucost.services.callers import NOBODY, Caller, Request, by_munge, by_socket, by_token, owner_of
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources import munge
from slurm_gpucost.sources.identity import Identity, identity
from tests.munged import HERE, Munged
from tests.unit.services.rights_site import NOW, hear, site

URL = "https://ledger.example.org:6843"
HOST = "ledger.example.org:6843"
ELSEWHERE = "198.51.100.20"
ME = identity({}, Path("/none")).login
ADMIN = Identity("root", 0, "ledger", "")


@pytest.fixture(scope="module")
def munged() -> Iterator[Munged]:
    with Munged() as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path, munged: Munged) -> Settings:
    made = site(tmp_path, munge_socket=munged.socket)
    return replace(made, collector=replace(made.collector, url=URL))


def asked(host: str = HOST, **other: Any) -> Request:
    return Request(**{"method": "POST", "path": "/v1/queries/jobs", "host": host, "body": b"{}", **other})


def credential(munged: Munged, request: Request, host: str = "ledger.example.org") -> str:
    return munge.encode(munge.binding(request.method, request.path, host, request.body), munged.socket)


def test_the_socket_s_uid_is_a_user() -> None:
    assert by_socket(os.geteuid()) == Caller(ME, os.geteuid(), os.uname().nodename, "socket", True)
    for uid in (54_321_987, 2**32 - 1):
        with pytest.raises(Unidentified, match=f"no user with the uid {uid}"):
            by_socket(uid)


def test_munge_says_who(settings: Settings, munged: Munged) -> None:
    caller = by_munge(settings, credential(munged, asked()), asked(), ELSEWHERE)
    assert caller == Caller(ME, os.geteuid(), ELSEWHERE, "munge", False)


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT RUN: only root can be another user")
def test_a_uid_that_this_host_does_not_know_is_refused(settings: Settings, munged: Munged) -> None:
    said = munge.binding("POST", "/v1/queries/jobs", "ledger.example.org", b"{}")
    with pytest.raises(Unidentified, match="uid 54321987"):
        by_munge(settings, munged.credential(54_321_987, said), asked(), ELSEWHERE)


@pytest.mark.parametrize(
    "other",
    [asked(path="/v1/queries/audit"), asked(path="/v1/queries/jobs?user=bob"), asked(body=b'{"user": "bob"}'),
     asked(method="GET")],
)  # fmt: skip
def test_a_captured_credential_asks_nothing_else(settings: Settings, munged: Munged, other: Request) -> None:
    with pytest.raises(Unidentified, match="another request"):
        by_munge(settings, credential(munged, asked()), other, ELSEWHERE)


def test_a_captured_credential_asks_nothing_twice(settings: Settings, munged: Munged) -> None:
    one = credential(munged, asked())
    by_munge(settings, one, asked(), ELSEWHERE)
    with pytest.raises(Unidentified, match=r"(?i)replayed"):
        by_munge(settings, one, asked(), ELSEWHERE)


def test_what_another_collector_was_sent_is_not_taken(settings: Settings, munged: Munged) -> None:
    """A false collector hands on what it was sent, under its own name or under ours."""
    for host in ("false.example.org", "localhost"):
        sent = credential(munged, asked(), host)
        with pytest.raises(Unidentified, match="no name of this collector"):
            by_munge(settings, sent, asked(host=host), ELSEWHERE)
        with pytest.raises(Unidentified, match="another request or for another host"):
            by_munge(settings, sent, asked(), ELSEWHERE)


@pytest.mark.parametrize("name", [socket.gethostname(), socket.gethostname().upper(), "127.0.0.1", "localhost"])
def test_names_of_the_collector(settings: Settings, munged: Munged, name: str) -> None:
    sent = credential(munged, asked(), name)
    assert by_munge(settings, sent, asked(host=f"{name}:6843"), "127.0.0.1").user == ME


@pytest.mark.parametrize("host", ["", ":", "[", "[::1", "a b", "\0", "ledger.example.org.", "x@ledger.example.com"])
def test_odd_names_are_refused(settings: Settings, munged: Munged, host: str) -> None:
    with pytest.raises(Unidentified):
        by_munge(settings, credential(munged, asked(), host), asked(host=host), ELSEWHERE)


@pytest.mark.parametrize(
    ("hosts", "peer", "trusted"),
    [
        ((), HERE, False),
        ((HERE,), HERE, True),
        ((HERE,), f"::ffff:{HERE}", True),
        ((HERE,), ELSEWHERE, False),  # whoever has the key can write any origin: the peer counts too
        ((ELSEWHERE,), ELSEWHERE, False),
        ((ELSEWHERE, HERE), ELSEWHERE, True),
        ((HERE, "localhost", "127.0.0.1"), "127.0.0.1", False),  # a proxy on this host calls from there
        (("no-such-host.invalid", HERE), HERE, True),
    ],
)
def test_trust_needs_peer_and_origin(
    settings: Settings, munged: Munged, hosts: tuple[str, ...], peer: str, trusted: bool
) -> None:
    settings = replace(settings, access=replace(settings.access, trusted_hosts=hosts))
    assert by_munge(settings, credential(munged, asked()), asked(), peer).trusted is trusted


def test_an_operator_s_forged_credential_is_a_user_s(settings: Settings, munged: Munged) -> None:
    with open_ledger(settings.ledger) as ledger:
        hear(ledger, settings)
        caller = by_munge(settings, credential(munged, asked()), asked(), ELSEWHERE)._replace(user="olga", uid=7)
        found = viewer_of(ledger.connection, settings, *caller, now_ms=NOW)
        assert not (found.everyone or found.acts or found.bills or found.costs)
        assert viewer_of(ledger.connection, settings, *caller._replace(trusted=True), now_ms=NOW).acts


def by_its_token(ledger: Ledger, settings: Settings, token: str, peer: str, secure: bool, at_ms: int) -> Caller:
    return by_token(settings, owner_of(ledger.connection, token, secure, at_ms), peer)


def test_a_token_is_good_until_its_day(settings: Settings) -> None:
    with open_ledger(settings.ledger) as ledger:
        made = tokens.issue(ledger, "ann", 2, ADMIN, "", NOW)

        def who(at_ms: int) -> Caller:
            return by_its_token(ledger, settings, made["token"], ELSEWHERE, True, at_ms)

        assert who(NOW + 2 * tokens.DAY_MS - 1) == Caller("ann", NOBODY, ELSEWHERE, "token", False)
        with pytest.raises(Unidentified, match="expired"):
            who(NOW + 2 * tokens.DAY_MS)


def test_a_revoked_token_is_good_for_nothing(settings: Settings) -> None:
    with open_ledger(settings.ledger) as ledger:
        first, second = (tokens.issue(ledger, "ann", 2, ADMIN, "", NOW) for _ in range(2))
        tokens.revoke(ledger, first["id"], None, ADMIN, "lost", NOW + 1)
        with pytest.raises(Unidentified, match="revoked"):
            by_its_token(ledger, settings, first["token"], ELSEWHERE, True, NOW + 1)
        assert by_its_token(ledger, settings, second["token"], ELSEWHERE, True, NOW + 1).user == "ann"


def test_no_other_text_is_a_token(settings: Settings) -> None:
    with open_ledger(settings.ledger) as ledger:
        made = tokens.issue(ledger, "ann", 2, ADMIN, "", NOW)["token"]
        digest = ledger.connection.execute("SELECT digest FROM user_token").fetchone()[0]
        for text in (
            "",
            made[:-1],
            made + "x",
            made.upper(),
            "é" + made,
            digest.hex(),
            "gpucost-user-",
            "%",
            "x" * 10**6,
        ):
            with pytest.raises(Unidentified, match="not known"):
                by_its_token(ledger, settings, text, ELSEWHERE, True, NOW)
        with pytest.raises(Unidentified, match="TLS"):
            by_its_token(ledger, settings, made, ELSEWHERE, False, NOW)


def test_a_token_of_an_operator_sees_and_acts_from_trusted_hosts_alone(settings: Settings) -> None:
    settings = replace(settings, access=replace(settings.access, trusted_hosts=(HERE,)))
    with open_ledger(settings.ledger) as ledger:
        hear(ledger, settings)
        made = tokens.issue(ledger, "olga", 2, ADMIN, "", NOW)["token"]
        for peer, acts in ((ELSEWHERE, False), (HERE, True), ("127.0.0.1", False)):
            caller = by_its_token(ledger, settings, made, peer, True, NOW)
            found = viewer_of(ledger.connection, settings, *caller, now_ms=NOW)
            assert (found.everyone, found.acts) == (True, acts), peer
