"""Reads a request's body: no more than it may have, no longer than it may take."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from slurm_gpucost.collector.limits import BODY_SECONDS
from slurm_gpucost.collector.replies import Refusal

DISCARD_SECONDS = 5.0
DISCARD_BYTES = 32 * 1024 * 1024


def announced(request: Request, most: int) -> int:
    """How long the body says it is; ``most`` where it does not say."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 19 else most


async def read(request: Request, most: int, seconds: float = BODY_SECONDS) -> bytes:
    """The whole body. Raises Refusal: 413 for more than ``most`` bytes, 408 for a slow one, 400 for a cut one."""
    pieces: list[bytes] = []
    size = 0
    too_large = announced(request, 0) > most
    try:
        async with asyncio.timeout(seconds):
            if not too_large:
                async for piece in request.stream():
                    size += len(piece)
                    if size > most:
                        too_large = True
                        break
                    pieces.append(piece)
    except TimeoutError:
        raise Refusal(408, f"the body was not here within {seconds:g} s", close=True) from None
    except ClientDisconnect:
        raise Refusal(400, "the body was cut off", close=True) from None
    if too_large:
        pieces.clear()
        await discard(request)
        raise Refusal(413, f"the body is larger than {most} bytes; send less at once", close=True)
    return b"".join(pieces)


async def discard(request: Request) -> None:
    """Let the client send what it is sending, and keep nothing, so that it reads the answer after it."""
    size = 0
    with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError):
        async with asyncio.timeout(DISCARD_SECONDS):
            async for piece in _rest(request):
                size += len(piece)
                if size > DISCARD_BYTES:
                    return


async def _rest(request: Request) -> AsyncIterator[bytes]:
    while True:
        message = await request.receive()
        if message["type"] != "http.request":
            return
        yield message.get("body", b"")
        if not message.get("more_body"):
            return
