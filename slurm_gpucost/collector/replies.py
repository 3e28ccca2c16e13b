"""What goes wrong becomes an answer: one line of JSON, and when to try again."""

from __future__ import annotations

import json
import logging
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from slurm_gpucost.collector.writer import Full
from slurm_gpucost.domain.errors import GpucostError, LedgerError, NotAllowed, SourceError, TooSlow, UsageError

AGAIN_SECONDS = 5
log = logging.getLogger("gpucostd")


class Ascii(JSONResponse):
    """JSON in ASCII: what clients send may have half characters in it, and is repeated to them."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")


class Refusal(Exception):
    """A request that is not answered as it was meant: ``status``, and ``said`` for the client's eyes."""

    def __init__(self, status: int, said: str, *, again: int | None = None, close: bool = False, **more: Any) -> None:
        super().__init__(said)
        self.status = status
        self.again = again
        self.close = close
        self.content = {"error": said, **more}

    def response(self) -> JSONResponse:
        """As it is sent."""
        headers = {} if self.again is None else {"Retry-After": str(self.again)}
        if self.close:
            headers["Connection"] = "close"
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return Ascii(self.content, self.status, headers)


def refusal_of(error: Exception) -> Refusal:
    """An error of ours as HTTP has it; of others the log has more than the client."""
    said = str(error)
    match error:
        case Refusal():
            return error
        case UsageError():
            return Refusal(400, said)
        case NotAllowed():
            return Refusal(403, said)
        case Full():
            return Refusal(503, said, again=1)
        case LedgerError():
            return Refusal(503, said, again=AGAIN_SECONDS)
        case TooSlow():
            return Refusal(504, said)
        case SourceError():
            return Refusal(503, said, again=AGAIN_SECONDS)
        case GpucostError():
            return Refusal(500, said)
    log.error("internal error: %s", error, exc_info=error)
    return Refusal(500, "internal error; the collector's log has more")


async def refused(_: Request, error: Exception) -> JSONResponse:
    """For Starlette: the answer to a request that raised."""
    return refusal_of(error).response()
