"""Two uvicorn servers in one loop: TCP, by TLS where there is a certificate, and the Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from slurm_gpucost.collector.certificate import Certificate
from slurm_gpucost.collector.limits import HEAD_SECONDS, IDLE_SECONDS
from slurm_gpucost.collector.peers import Protocol

END_SECONDS = 20
"""How long requests on their way may still take when the collector ends."""
LOOK_SECONDS = 0.1
RENEW_SECONDS = 5.0
"""How often it is looked whether the certificate is another."""


class Loop(asyncio.SelectorEventLoop):
    """An event loop in which TLS has to be agreed on soon."""

    async def create_server(self, *args: Any, **words: Any) -> asyncio.Server:
        """As asyncio's own."""
        if words.get("ssl") is not None:
            words["ssl_handshake_timeout"] = HEAD_SECONDS
        return await super().create_server(*args, **words)


class _Server(uvicorn.Server):
    """One that leaves signals alone: there are two."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    app: Any,
    sockets: list[tuple[list[socket.socket], Certificate | None]],
    ended: Callable[[], bool],
    request_seconds: float,
) -> None:
    """Answer until it has ``ended``, which is looked at often. Requests on their way are answered.

    ``sockets``: some that listen, with the certificate that is shown there.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    protocol = type("Protocol", (Protocol,), {"request_seconds": request_seconds})
    servers = [_Server(_config(app, protocol, certificate)) for _, certificate in sockets]
    tasks = [asyncio.ensure_future(one.serve(own)) for one, (own, _) in zip(servers, sockets, strict=True)]
    renew_at = time.monotonic() + RENEW_SECONDS
    while not ended() and not any(task.done() for task in tasks):
        await asyncio.sleep(LOOK_SECONDS)
        if time.monotonic() >= renew_at:
            renew_at = time.monotonic() + RENEW_SECONDS
            for one, (_, certificate) in zip(servers, sockets, strict=True):
                if certificate is not None and one.config.ssl is not None:
                    certificate.renew(one.config.ssl)
    for one in servers:
        one.should_exit = True
    await asyncio.gather(*tasks)


def _config(app: Any, protocol: type[Protocol], certificate: Certificate | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # anybody could write them
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=END_SECONDS,
        **(certificate.words if certificate is not None else {}),
    )
