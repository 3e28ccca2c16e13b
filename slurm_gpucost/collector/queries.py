"""``/v1/queries/NAME``: a question by name and parameters, its answer in pages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from slurm_gpucost.collector import bodies, peers
from slurm_gpucost.collector.answers import BYTES_OF_ONE, MOST_ROWS, ROWS, Answer, Answers
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
from slurm_gpucost.collector.worker import Job
from slurm_gpucost.collector.workers import Workers
from slurm_gpucost.domain.errors import Unidentified
from slurm_gpucost.services.callers import Caller
from slurm_gpucost.services.named import QUERIES, Query, allow
from slurm_gpucost.services.named.model import FLAG, INTEGER, TEXTS
from slurm_gpucost.services.named.params import checked

_PIECE = 1 << 16
_BUSY = f"you have {QUESTIONS_OF_ONE} questions on their way; wait for their answers"


class Wanted(NamedTuple):
    """What a request asks for: a question, or the next page of an answer."""

    params: Mapping[str, Any]
    rows: int
    cursor: str


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
        wanted = _posted(body) if request.method == "POST" else _in_the_url(request, query)
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


def _posted(body: bytes) -> Wanted:
    try:
        said = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise Refusal(400, 'the body is no JSON like {"params": {"start": "2026-01-01"}, "limit": 1000}') from None
    if not isinstance(said, dict) or set(said) - {"params", "limit", "cursor"}:
        raise Refusal(400, "the body must be an object of params and limit, or of cursor")
    return _wanted(said.get("params") or {}, said.get("limit"), said.get("cursor"))


def _in_the_url(request: Request, query: Query) -> Wanted:
    """The same in a URL: lists by repetition, flags as true and false."""
    kinds = {param.name: param.kind for param in query.params}
    params: dict[str, Any] = {}
    limit: Any = None
    cursor = None
    for name, text in request.query_params.multi_items():
        kind = kinds.get(name)
        if name == "cursor" and kind is None:
            cursor = text
        elif name == "limit" and kind is None:
            limit = _number(name, text)
        elif kind == TEXTS:
            params.setdefault(name, []).append(text)
        elif name in params:
            raise Refusal(400, f"parameter {name}: is given twice")
        elif kind == FLAG:
            if text not in ("true", "false"):
                raise Refusal(400, f"parameter {name}: must be true or false")
            params[name] = text == "true"
        else:
            params[name] = _number(name, text) if kind == INTEGER else text
    return _wanted(params, limit, cursor)


def _number(name: str, text: str) -> int:
    if not (text.removeprefix("-").isascii() and text.removeprefix("-").isdigit() and len(text) < 19):
        raise Refusal(400, f"parameter {name[:40]}: must be a whole number")
    return int(text)


def _wanted(params: Any, limit: Any, cursor: Any) -> Wanted:
    if not isinstance(params, dict):
        raise Refusal(400, "params: must be an object")
    if cursor is not None and (not isinstance(cursor, str) or not cursor or params or limit is not None):
        raise Refusal(400, "cursor: stands alone, as the page before had it in next")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or not 0 < limit <= MOST_ROWS):
        raise Refusal(400, f"limit: must be a whole number from 1 to {MOST_ROWS}")
    return Wanted(params, limit or ROWS, cursor or "")
