"""``/v1/queries/NAME``: a question by name and parameters, its answer in pages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from slurm_gpucost.collector import bodies, peers
from slurm_gpucost.collector.answers import BYTES_OF_ONE, Answer, Answers
from slurm_gpucost.collector.limits import (
    ADDRESS_RATE,
    LARGE_BODIES_BYTES,
    LARGE_BODIES_OF_ONE,
    PEER_RATE,
    QUESTION_BYTES,
    QUESTIONS_OF_ONE,
    SMALL_BYTES,
    AtOnce,
    Rates,
    Room,
)
from slurm_gpucost.collector.numbers import Numbers
from slurm_gpucost.collector.ports import Asking, People
from slurm_gpucost.collector.replies import Refusal, refusal_of
from slurm_gpucost.collector.turns import Turns
from slurm_gpucost.collector.wanted import Wanted, in_the_url, posted
from slurm_gpucost.collector.worker import Job
from slurm_gpucost.collector.workers import Workers
from slurm_gpucost.domain.errors import Unidentified
from slurm_gpucost.services.callers import Caller
from slurm_gpucost.services.named import QUERIES, Query, allow
from slurm_gpucost.services.named.params import checked

_PIECE = 1 << 16
_BUSY = f"you have {QUESTIONS_OF_ONE} questions on their way; wait for their answers"


class Queries:
    """An ASGI app, so that its limits hold until the last byte of a page is on its way."""

    def __init__(
        self,
        people: People,
        workers: Workers,
        numbers: Numbers,
        clock: Callable[[], int],
        seconds: float,
        places: int,
    ) -> None:
        self._people = people
        self._workers = workers
        self._numbers = numbers
        self._clock = clock
        self._seconds = seconds
        self.turns = Turns(places)
        self.answers = Answers()
        self._addresses = Rates(ADDRESS_RATE)
        self._users = Rates(PEER_RATE)
        self._busy = AtOnce(QUESTIONS_OF_ONE)
        self._large = Room(LARGE_BODIES_BYTES)
        self._large_of_one = AtOnce(LARGE_BODIES_OF_ONE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        request = Request(scope, receive)
        name = request.path_params["name"]
        began, status, started = time.monotonic(), 200, False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with contextlib.AsyncExitStack() as stack:
                response = await self._response(request, name, stack)
                await response(scope, receive, sending)
        except Exception as error:
            if started:  # the connection ends in the middle of the page, which is no JSON then
                raise
            refusal = refusal_of(error)
            status = refusal.status
            await refusal.response()(scope, receive, send)
        if name in QUERIES:
            self._numbers.query(name, status, time.monotonic() - began)

    def close(self) -> None:
        """Forget the answers."""
        self.answers.close()

    async def _response(self, request: Request, name: str, stack: contextlib.AsyncExitStack) -> StreamingResponse:
        peer = peers.of(request.state)
        if wait := (self._users if peer.uid is not None else self._addresses).wait_seconds(peer.client):
            self._numbers.turned_away("rate")
            raise Refusal(429, "too many requests", again=wait, close=True)
        caller, body = await self._told(request)
        if peer.uid is None and (wait := self._users.wait_seconds(f"user {caller.user}")):
            self._numbers.turned_away("rate")
            raise Refusal(429, "too many requests", again=wait)
        query = QUERIES.get(name)
        if query is None:
            raise Refusal(404, f"{name[:40]}: no question has this name; there are {', '.join(QUERIES)}")
        wanted = posted(body) if request.method == "POST" else in_the_url(request, query)
        if not stack.enter_context(self._busy.one_more(caller.user)):
            self._numbers.turned_away("busy")
            raise Refusal(429, _BUSY, again=1)
        if wanted.cursor:
            key, answer, number = self.answers.find(wanted.cursor, caller, name)
            return _streamed(self._page(answer, number, key))
        return _streamed(self._page(await self._asked(request, query, wanted, caller), 0, ""))

    async def _told(self, request: Request) -> tuple[Caller, bytes]:
        """Who asks, and the body. Who can be known without the body is, before it is read."""
        peer, signs = peers.of(request.state), request.headers.get("authorization", "")[:6].lower() == "munge "
        size = min(bodies.announced(request, 0), QUESTION_BYTES)
        try:
            caller = None if signs else await self._caller(request, b"")
        except Refusal:
            if size <= SMALL_BYTES:  # so that he reads the answer
                await bodies.discard(request)
            raise
        with contextlib.ExitStack() as stack:
            if size > SMALL_BYTES and not (
                stack.enter_context(self._large_of_one.one_more(peer.client))
                and stack.enter_context(self._large.take(size))
            ):
                self._numbers.turned_away("busy")
                raise Refusal(503, "too many large questions are on their way", again=1, close=True)
            body = await bodies.read(request, QUESTION_BYTES)
        return caller or await self._caller(request, body), body

    async def _caller(self, request: Request, body: bytes) -> Caller:
        path = request.scope["raw_path"].decode("ascii")
        if told := request.scope["query_string"].decode("ascii"):
            path += "?" + told
        headers = request.headers
        asking = Asking(
            request.method, path, headers.get("host", ""), headers.get("authorization", ""), body,
            peers.of(request.state),
        )  # fmt: skip
        try:
            return await self._people.caller(asking)
        except Unidentified as error:
            self._numbers.turned_away("unidentified")
            raise Refusal(401, str(error), close=True) from None

    async def _asked(self, request: Request, query: Query, wanted: Wanted, caller: Caller) -> Answer:
        """The answer, whole, in its file."""
        viewer = await self._people.viewer(caller)
        allow(query, viewer)
        params = checked(query, wanted.params)
        if query.shows_costs(viewer):
            await self._people.looked(caller, query.name, wanted.params)
        answer = Answer(caller, query.name, wanted.rows)
        try:
            mends = viewer.everyone and peers.of(request.state).uid is not None
            async with self.turns.turn(caller.user, self._seconds, first=mends):
                job = Job(query.name, params, viewer, self._clock(), self._seconds, BYTES_OF_ONE)
                done = await _unless_gone(request, self._workers.ask(job, answer.file.fileno()))
        except BaseException:
            answer.close()
            raise
        if done.status != 200:
            answer.close()
            raise Refusal(done.status, done.said, again=5 if done.status == 503 else None)
        return answer

    async def _page(self, answer: Answer, number: int, key: str) -> AsyncIterator[bytes]:
        """A page and the cursor of the next one."""
        kept = bool(key)
        try:
            gathered = bytearray()
            for piece in answer.page(number):
                gathered += piece
                if len(gathered) >= _PIECE:
                    yield bytes(gathered)
                    gathered.clear()
            cursor = None
            if answer.pages > number + 1:
                key = key or self.answers.keep(answer)
                kept = True
                cursor = f"{key}.{number + 1}"
            yield bytes(gathered) + b',"next":' + json.dumps(cursor).encode("ascii") + b"}"
        finally:
            if not kept:
                answer.close()


def _streamed(pages: AsyncIterator[bytes]) -> StreamingResponse:
    return StreamingResponse(pages, media_type="application/json", headers={"Cache-Control": "no-store"})


async def _unless_gone(request: Request, work: Any) -> Any:
    """What comes of the work; it is given up when the client goes away."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
            raise Refusal(499, "the client went away", close=True)
        return task.result()
    finally:
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
