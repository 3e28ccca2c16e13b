"""``/v1/batches``: what nodes send, and up to where it is held. docs/uplink.md has the form."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future, ThreadPoolExecutor

from starlette.requests import Request
from starlette.responses import JSONResponse

from slurm_gpucost.collector import bodies, peers
from slurm_gpucost.collector.limits import (
    BATCHES_OF_ONE,
    BODIES_BYTES,
    NODE_RATE,
    PACKED_BYTES,
    PEER_RATE,
    AtOnce,
    Later,
    Rates,
    Room,
)
from slurm_gpucost.collector.numbers import Numbers
from slurm_gpucost.collector.reader import Reader
from slurm_gpucost.collector.replies import Refusal
from slurm_gpucost.collector.writer import Full, Writer
from slurm_gpucost.domain.wire import BadBatch, decode
from slurm_gpucost.ledger.tokens import Who
from slurm_gpucost.services import intake
from slurm_gpucost.services.intake import Outcome

KNOWN_SECONDS = 2.0
"""How long a token that was good is good without a look: so long works one that is revoked."""
_MOST_KNOWN = 50_000
_MOST_TOKEN = 512
_UNPACKERS = 2
_HOW = (
    "a batch needs a node's token: `Authorization: Bearer TOKEN`, from `gpucost node enroll NAME` on the ledger's host"
)


class Batches:
    """The two requests of a node's uplink."""

    def __init__(self, reader: Reader, writer: Writer, numbers: Numbers) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = numbers
        self._threads = ThreadPoolExecutor(_UNPACKERS, "unpack")
        self._known: dict[str, tuple[Who, float]] = {}
        self._rates = Rates(NODE_RATE)
        self._strangers = Rates(PEER_RATE)
        self._busy = AtOnce(BATCHES_OF_ONE)
        self._room = Room(BODIES_BYTES)
        self._later = Later()

    async def post(self, request: Request) -> JSONResponse:
        """A batch: 200 with ``held`` when it is durable."""
        try:
            who = await self._who(request)
        except Refusal:
            if bodies.announced(request, PACKED_BYTES) <= PACKED_BYTES:
                await bodies.discard(request)
            raise
        with self._busy.one_more("\0".join(who)) as there_is_room:
            if not there_is_room:
                raise self._away("busy", Refusal(429, "more of this node is on its way", again=1, close=True))
            return await self._taken(request, who)

    async def get(self, request: Request) -> JSONResponse:
        """Up to which entry a journal of this node is held."""
        who = await self._who(request)
        journal = request.query_params.get("journal", "")
        if not journal or len(journal) > 255:
            raise Refusal(400, "journal: its id is missing: GET /v1/batches?journal=ID")
        held, tail = await self._reader.look(lambda db: (intake.held(db, who, journal), intake.tail(db, who, journal)))
        return JSONResponse({"held": held, **({"tail": tail} if tail else {})})

    def close(self) -> None:
        """No more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _taken(self, request: Request, who: Who) -> JSONResponse:
        if self._writer.full:  # before its body is read and unpacked in vain
            raise self._behind(who)
        size = min(bodies.announced(request, PACKED_BYTES), PACKED_BYTES)
        with self._room.take(size) as there_is_room:
            if not there_is_room:
                raise self._behind(who)
            body = await bodies.read(request, PACKED_BYTES)
            try:
                waits = await asyncio.get_running_loop().run_in_executor(self._threads, self._put, who, body)
            except BadBatch as error:
                raise self._away("no batch", Refusal(422, f"the batch {error}")) from None
            except Full:
                raise self._behind(who) from None
        self._later.came(who)
        outcome = await asyncio.wrap_future(waits)
        match outcome.status:
            case 200 | 409:
                return JSONResponse({"held": outcome.held}, outcome.status)
            case _ if outcome.waiting:
                raise Refusal(outcome.status, outcome.error, waiting=True)
        raise Refusal(outcome.status, outcome.error)

    def _put(self, who: Who, body: bytes) -> Future[Outcome]:
        """In a thread of those that unpack, so that no more is unpacked than can wait."""
        if self._writer.full:
            raise Full("the collector is behind")
        return self._writer.put(who, decode(body))

    def _behind(self, who: Who) -> Refusal:
        return self._away("busy", Refusal(503, "the collector is behind", again=self._later.seconds(who), close=True))

    async def _who(self, request: Request) -> Who:
        """The node that a token is of. Raises Refusal."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        who = None
        if scheme.lower() == "bearer" and token and len(token) <= _MOST_TOKEN:
            who = await self._owner(token.strip())
        if who is None:
            wait = self._strangers.wait_seconds(peers.of(request.state).client)
            if wait:
                raise self._away("rate", Refusal(429, "too many requests without a good token", again=wait, close=True))
            raise self._away("unidentified", Refusal(401, _HOW, close=True))
        if wait := self._rates.wait_seconds("\0".join(who)):
            raise self._away("rate", Refusal(429, "too many requests of this node", again=wait, close=True))
        return who

    async def _owner(self, token: str) -> Who | None:
        now = time.monotonic()
        known = self._known.get(token)
        if known is not None and now - known[1] < KNOWN_SECONDS:
            return known[0]
        who = await self._reader.look(lambda db: intake.authenticate(db, token))
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        if who is None:
            self._known.pop(token, None)
        else:
            self._known[token] = (who, now)
        return who

    def _away(self, reason: str, refusal: Refusal) -> Refusal:
        self._numbers.turned_away(reason)
        return refusal
