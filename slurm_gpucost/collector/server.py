"""Two uvicorn servers in one loop: TCP, by TLS where there is a certificate, and the Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn

from slurm_gpucost.collector.limits import IDLE_SECONDS
from slurm_gpucost.collector.peers import Protocol
from slurm_gpucost.domain.errors import ConfigError

HEAD_BYTES = 32 * 1024
END_SECONDS = 20
"""How long requests on their way may still take when the collector ends."""
LOOK_SECONDS = 0.1


class _Server(uvicorn.Server):
    """One that leaves signals alone: there are two."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def tls(certificate: Path | None, key: Path | None) -> dict[str, Any]:
    """uvicorn's words for a certificate; none for none. Raises ConfigError where it cannot be used."""
    if certificate is None and key is None:
        return {}
    if certificate is None or key is None:
        raise ConfigError("collector.tls_cert and collector.tls_key: give both, or neither")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"collector.tls_cert {certificate}, collector.tls_key {key}: cannot be used ({error.strerror or error})"
        ) from None
    return {"ssl_certfile": certificate, "ssl_keyfile": key}


async def serve(
    app: Any,
    sockets: list[tuple[list[socket.socket], dict[str, Any]]],
    ended: Callable[[], bool],
    request_seconds: float,
) -> None:
    """Answer until it has ``ended``, which is looked at often. Requests on their way are answered."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    protocol = type("Protocol", (Protocol,), {"request_seconds": request_seconds})
    servers = [_Server(_config(app, protocol, words)) for _, words in sockets]
    tasks = [asyncio.ensure_future(one.serve(own)) for one, (own, _) in zip(servers, sockets, strict=True)]
    while not ended() and not any(task.done() for task in tasks):
        await asyncio.sleep(LOOK_SECONDS)
    for one in servers:
        one.should_exit = True
    await asyncio.gather(*tasks)


def _config(app: Any, protocol: type[Protocol], words: dict[str, Any]) -> uvicorn.Config:
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
        h11_max_incomplete_event_size=HEAD_BYTES,
        **words,
    )
