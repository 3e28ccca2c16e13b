"""Which names and addresses are whose. Names are looked up to addresses, never the other way round."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

_KEEP_SECONDS = 60
"""So long a look-up is kept."""


def is_loopback(address: str) -> bool:
    """Whether it is this host, talking to itself; also text that is no address is not."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return bool((mapped or found).is_loopback)


def among(address: str, names: Iterable[str]) -> bool:
    """Whether one of these hosts has the address. No loopback address has a host; a name without one has none."""
    if is_loopback(address):
        return False
    now = int(time.monotonic() // _KEEP_SECONDS)
    return any(_plain(address) in _addresses(name, now) for name in names)


@lru_cache(maxsize=4096)
def _addresses(name: str, _minute: int) -> frozenset[str]:
    try:
        return frozenset(_plain(str(found[4][0])) for found in socket.getaddrinfo(name, None))
    except (OSError, UnicodeError):
        return frozenset()


def _plain(address: str) -> str:
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(getattr(found, "ipv4_mapped", None) or found)


def host_of(header: str) -> str:
    """The host in a Host header or the place of a URL, in lower case and without its port; '' where there is none."""
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""


def is_own(host: str, url: str | None, listen: str, peer: str) -> bool:
    """Whether a collector is meant by that name: its URL's, its host's, its address.

    localhost is meant by each host of itself, so it counts only for who calls from here.
    """
    if host == "localhost" or is_loopback(host):
        return is_loopback(peer)
    name = socket.gethostname().lower()
    own = {host_of(urlsplit(url).netloc) if url else "", host_of(listen), name, name.split(".")[0], _full()}
    return bool(host) and host in own - {"", "0.0.0.0", "::"} - {"localhost"}


@lru_cache(maxsize=1)
def _full() -> str:
    return socket.getfqdn().lower()
