"""Connections are counted from accept on, before anybody agrees on TLS."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from slurm_gpucost.collector import sockets


def test_one_address_has_so_many_connections_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "ACCEPTED_OF_ONE", 3)
    (listening,) = sockets.tcp("127.0.0.1:0")
    with ExitStack() as stack:
        stack.callback(listening.close)
        clients = [stack.enter_context(socket.create_connection(listening.getsockname())) for _ in range(4)]
        accepted = [listening.accept()[0] for _ in range(3)]
        with pytest.raises(ConnectionAbortedError):
            listening.accept()
        assert clients[3].recv(1) == b"", "it is closed at once"
        accepted[0].sendall(b"x")
        assert clients[0].recv(1) == b"x"
        accepted[0].close()
        accepted[0].close()
        clients.append(stack.enter_context(socket.create_connection(listening.getsockname())))
        accepted[0] = listening.accept()[0]
        with pytest.raises(ConnectionAbortedError):
            clients.append(stack.enter_context(socket.create_connection(listening.getsockname())))
            listening.accept()
        for one in accepted:
            one.close()
