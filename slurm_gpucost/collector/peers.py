"""The other end of a connection: whom the kernel names there, and how long it may take.

uvicorn neither tells the peer of a Unix socket nor ends a connection whose head, body or reading is slow.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from collections import Counter
from typing import Any, ClassVar, NamedTuple

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from slurm_gpucost.collector.limits import (
    CONNECTIONS,
    CONNECTIONS_OF_ONE,
    HEAD_BYTES,
    HEAD_SECONDS,
    IDLE_SECONDS,
    REQUEST_SECONDS,
)

LOOK_SECONDS = 1.0
_CREDENTIALS = struct.Struct("3i")  # struct ucred of socket(7): pid, uid, gid
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Peer(NamedTuple):
    """Who is at the other end."""

    uid: int | None
    """As the kernel has it, over the Unix socket; None: over TCP."""
    address: str
    """'' over the Unix socket."""
    tls: bool = False

    @property
    def client(self) -> str:
        """Whose limits count: a user's over the socket, an address's, of IPv6 its /64."""
        if self.uid is not None:
            return f"uid {self.uid}"
        try:
            address = ipaddress.ip_address(self.address.partition("%")[0])
        except ValueError:
            return self.address
        if address.version == 6:
            return str(ipaddress.ip_network((address, 64), strict=False))
        return str(address)

    @property
    def private(self) -> bool:
        """What is sent can be read on the way by nobody: TLS, or it does not leave this host."""
        if self.tls or self.uid is not None:
            return True
        try:
            return ipaddress.ip_address(self.address).is_loopback
        except ValueError:
            return False


def _plain(address: str) -> str:
    """An IPv4 address as such, also where an IPv6 socket took the connection."""
    try:
        mapped = ipaddress.IPv6Address(address).ipv4_mapped
    except ValueError:
        return address
    return address if mapped is None else str(mapped)


def client_at(address: str) -> str:
    """Whose limits count at an address of TCP."""
    return Peer(None, _plain(address)).client


def peer_of(transport: asyncio.BaseTransport) -> Peer:
    """The peer of a connection."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family == socket.AF_UNIX:
        told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return Peer(_CREDENTIALS.unpack(told)[1], "")
    told = transport.get_extra_info("peername")
    return Peer(None, _plain(str(told[0])) if told else "", transport.get_extra_info("sslcontext") is not None)


class _Connection(h11.Connection):
    """Takes bodies whose length is said beforehand, and no others.

    A body in chunks of a byte costs the loop a hundred times what its bytes do, before anybody knows whose it is.
    """

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        event = super().next_event()
        if isinstance(event, h11.Request) and any(name == b"transfer-encoding" for name, _ in event.headers):
            raise h11.RemoteProtocolError("send the body with Content-Length", error_status_hint=411)
        return event


class Protocol(H11Protocol):
    """One connection. Requests have their :class:`Peer` as ``state.peer``; who is slow is cut off."""

    open_of: ClassVar[Counter[tuple[int, str]]] = Counter()
    """Connections by server and client."""
    peer: Peer | None = None
    request_seconds = REQUEST_SECONDS
    _look: asyncio.TimerHandle | None = None
    _closing = False

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.conn = _Connection(h11.SERVER, HEAD_BYTES)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note who it is; too many are sent away."""
        super().connection_made(transport)
        self.peer = peer_of(transport)
        self.app_state = {**self.app_state, "peer": self.peer}
        self._key = (id(self.server_state), self.peer.client)
        self.open_of[self._key] += 1
        self._at_work, self._since = False, self.loop.time()
        self._patience = HEAD_SECONDS
        if len(self.connections) > CONNECTIONS or self.open_of[self._key] > CONNECTIONS_OF_ONE:
            transport.write(_BUSY)
            transport.close()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        if self._look:
            self._look.cancel()
        self.open_of[self._key] -= 1
        if not self.open_of[self._key]:
            del self.open_of[self._key]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """What is no HTTP ends the connection without more words."""
        if not self._at_work and self._patience == IDLE_SECONDS:
            self._turn(HEAD_SECONDS)  # the next request's first bytes
        try:
            super().data_received(data)
        except h11.ProtocolError:
            self.transport.abort()
        self._note()

    def on_response_complete(self) -> None:
        """The next request may come."""
        super().on_response_complete()
        self._note()

    def _note(self) -> None:
        at_work = self.cycle is not None and not self.cycle.response_complete
        if at_work != self._at_work:
            self._at_work = at_work
            self._turn(self.request_seconds if at_work else IDLE_SECONDS)

    def _turn(self, patience: float) -> None:
        self._patience, self._since = patience, self.loop.time()

    def _watch(self) -> None:
        """Once a second: whoever keeps us waiting, or does not read what he is sent, is cut off."""
        if self.transport.is_closing() and not self._closing:
            self._closing = True
            self._turn(HEAD_SECONDS)
        if self.loop.time() - self._since > self._patience:
            self.transport.abort()
            return
        self._look = self.loop.call_later(LOOK_SECONDS, self._watch)


def of(state: Any) -> Peer:
    """The peer of a request, by its ``state``."""
    peer: Peer = state.peer
    return peer
