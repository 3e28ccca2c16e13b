"""Where a collector listens, and connections to it: TCP, TLS, or the Unix socket of its own host."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from slurm_gpucost.domain.errors import SourceError, UsageError

CONNECT_SECONDS = 10
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


class Endpoint(NamedTuple):
    """Where a collector listens."""

    url: str
    """As it was written, for messages."""
    host: str
    """'' : a Unix socket."""
    port: int
    tls: bool
    path: str
    """Of the socket, or before /v1."""

    @property
    def private(self) -> bool:
        """Whether what is sent can be read on the way by nobody: TLS, or it does not leave this host."""
        return self.tls or not self.host or self.host in _LOOPBACK


def endpoint(url: str, option: str) -> Endpoint:
    """Where ``url`` is: http://HOST:PORT, https://HOST:PORT or unix:/PATH. Raises UsageError that names ``option``."""
    if url.startswith("unix:"):
        path = url.removeprefix("unix:").removeprefix("//")
        if path.startswith("/") and len(os.fsencode(path)) < 108:
            return Endpoint(url, "", 0, False, path)
        raise UsageError(f"{option} {url}: after unix: comes a path from /, of less than 108 bytes")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = None, None, None
    if parts is None or parts.scheme not in ("http", "https") or not host or parts.query or parts.username:
        raise UsageError(f"{option} {url}: write https://HOST:PORT, http://HOST:PORT or unix:/PATH")
    tls = parts.scheme == "https"
    return Endpoint(url, host, port or (443 if tls else 80), tls, parts.path.rstrip("/"))


def answers(path: Path) -> bool:
    """Whether somebody accepts connections on a Unix socket that this user may use."""
    try:
        with socket.socket(socket.AF_UNIX) as tried:
            tried.settimeout(CONNECT_SECONDS)
            tried.connect(str(path))
    except OSError:
        return False
    return True


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=CONNECT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def connect(at: Endpoint, ca_file: Path | None) -> http.client.HTTPConnection:
    """A connection that is yet to be made. Raises SourceError for a ca_file that is none."""
    if not at.host:
        return _UnixConnection(at.path)
    if at.tls:
        try:
            context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        except OSError as error:
            raise SourceError(f"{ca_file}: is no file of certificates ({error.strerror or error})") from None
        return http.client.HTTPSConnection(at.host, at.port, timeout=CONNECT_SECONDS, context=context)
    return http.client.HTTPConnection(at.host, at.port, timeout=CONNECT_SECONDS)
