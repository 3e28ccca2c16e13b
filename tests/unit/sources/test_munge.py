"""MUNGE credentials by a real munged: only the very request, once, now, with the site's key."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_gpucost.domain.errors import SourceError, Unidentified
from slurm_gpucost.sources import munge
from slurm_gpucost.sources.munge import binding, check, credentials, decode, encode
from tests.munged import HERE, Munged

REQUEST = ("POST", "/v1/queries/jobs?a=1", "ledger.example.org", b'{"params": {}}')


@pytest.fixture(scope="module")
def site() -> Iterator[Munged]:
    with Munged() as munged:
        yield munged


def test_who_and_when_come_back(site: Munged) -> None:
    said = decode(encode(b"payload", site.socket), site.socket)
    assert (said.uid, said.gid, said.payload) == (os.geteuid(), os.getegid(), b"payload")
    assert (said.ttl, said.origin) == (munge.TTL_SECONDS, HERE)
    assert 0 <= said.decoded - said.encoded <= 5


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT RUN: only root can be another user")
def test_another_user_is_another_user(site: Munged) -> None:
    assert decode(site.credential(65534, b"x"), site.socket).uid == 65534


def test_the_header_holds_the_credential_of_the_request(site: Munged) -> None:
    method, path, host, body = REQUEST
    scheme, _, credential = credentials(method, path, body, host, site.socket)["Authorization"].partition(" ")
    assert scheme == "MUNGE"
    check(decode(credential, site.socket), binding(*REQUEST), 300)


@pytest.mark.parametrize(
    "other",
    [
        ("GET", *REQUEST[1:]),
        ("POST", "/v1/queries/jobs?a=2", *REQUEST[2:]),
        ("POST", "/v1/queries/audit?a=1", *REQUEST[2:]),
        (*REQUEST[:2], "other.example.org", REQUEST[3]),
        (*REQUEST[:3], b'{"params": {"users": ["bob"]}}'),
        (*REQUEST[:3], b""),
        ("POST", "/v1/queries/jobs", "?a=1ledger.example.org", REQUEST[3]),
    ],
)
def test_a_captured_credential_is_good_for_no_other_request(site: Munged, other: tuple[str, str, str, bytes]) -> None:
    said = decode(encode(binding(*REQUEST), site.socket), site.socket)
    check(said, binding(*REQUEST), 300)
    with pytest.raises(Unidentified, match="another request"):
        check(said, binding(*other), 300)


def test_a_second_use_is_refused(site: Munged) -> None:
    credential = encode(binding(*REQUEST), site.socket)
    decode(credential, site.socket)
    for _ in range(3):
        with pytest.raises(Unidentified, match=r"(?i)replayed"):
            decode(credential, site.socket)


@pytest.mark.parametrize(("ahead", "why"), [(-3600, "expired"), (3600, "rewound")])
def test_what_is_too_old_or_from_the_future_is_refused(site: Munged, ahead: int, why: str) -> None:
    with Munged(site.key, ahead=ahead) as elsewhere:
        credential = encode(b"x", elsewhere.socket)
    with pytest.raises(Unidentified, match=f"(?i){why}"):
        decode(credential, site.socket)


def test_what_lives_longer_than_the_site_allows_is_refused(site: Munged) -> None:
    said = decode(encode(b"x", site.socket, ttl_seconds=301), site.socket)
    with pytest.raises(Unidentified, match="lives longer"):
        check(said, b"x", 300)
    with Munged(site.key, ahead=-400) as elsewhere:  # munged takes it, for it may live for an hour
        old = decode(encode(b"x", elsewhere.socket, ttl_seconds=3600), site.socket)
    with pytest.raises(Unidentified, match="older"):
        check(old._replace(ttl=300), b"x", 300)


def test_another_key_is_another_site(site: Munged) -> None:
    with Munged() as elsewhere:
        credential = encode(b"x", elsewhere.socket)
    with pytest.raises(Unidentified, match=r"(?i)invalid"):
        decode(credential, site.socket)


def test_a_changed_credential_is_refused(site: Munged) -> None:
    credential = encode(b"x" * 32, site.socket)
    rng = random.Random(6)
    for _ in range(50):
        at = rng.randrange(6, len(credential) - 1)
        changed = credential[:at] + ("A" if credential[at] != "A" else "B") + credential[at + 1 :]
        with pytest.raises(Unidentified):
            decode(changed, site.socket)


def test_garbage_is_refused(site: Munged) -> None:
    rng = random.Random(7)
    noise = rng.randbytes(10_000)
    texts = ["", "MUNGE:", "MUNGE:AAAA:", "MUNGE:" + "A" * 100_000 + ":", "x\0y", "é", noise.decode("latin-1")]
    texts += ["".join(chr(33 + byte % 94) for byte in noise[:5000])]
    texts += [rng.randbytes(rng.randrange(60)).decode("latin-1") for _ in range(100)]
    for text in texts:
        with pytest.raises(Unidentified, match="MUNGE"):
            decode(text, site.socket)


def test_no_munged_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="munged"):
        encode(b"x", tmp_path / "none")
    with pytest.raises(SourceError, match="munged"):
        decode("MUNGE:AwQFAAD:", tmp_path / "none")


def test_no_library_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(munge, "LIBRARY", "libmunge-of-nowhere.so")
    munge._library.cache_clear()
    try:
        with pytest.raises(SourceError, match="libmunge2"):
            encode(b"x")
    finally:
        munge._library.cache_clear()
