"""The collector's pages, as a Starlette app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from slurm_gpucost.collector import health, openapi, peers
from slurm_gpucost.collector.batches import Batches
from slurm_gpucost.collector.figures import Figures
from slurm_gpucost.collector.limits import PEER_RATE, Rates
from slurm_gpucost.collector.queries import Queries
from slurm_gpucost.collector.reader import Reader
from slurm_gpucost.collector.replies import Refusal, refused
from slurm_gpucost.collector.writer import Writer
from slurm_gpucost.domain.errors import GpucostError

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Page = Callable[[Request], Awaitable[Response]]


def made(batches: Batches, queries: Queries, figures: Figures, writer: Writer, reader: Reader) -> Starlette:
    """All routes."""
    rates = Rates(PEER_RATE)
    form = openapi.document()

    def open_to_all(page: Page) -> Page:
        async def bounded(request: Request) -> Response:
            if wait := rates.wait_seconds(peers.of(request.state).client):
                raise Refusal(429, "too many requests", again=wait, close=True)
            return await page(request)

        return bounded

    async def healthz(_: Request) -> Response:
        return _said(health.alive(writer))

    async def readyz(_: Request) -> Response:
        return _said(await health.ready(writer, reader))

    async def metrics(_: Request) -> Response:
        return Response(await figures.text(), headers={"Content-Type": METRICS_TYPE})

    async def openapi_json(_: Request) -> Response:
        return JSONResponse(form)

    return Starlette(
        routes=[
            Route("/v1/batches", batches.post, methods=["POST"]),
            Route("/v1/batches", batches.get, methods=["GET"]),
            Route("/v1/queries/{name}", queries, methods=["GET", "POST"]),
            Route("/healthz", open_to_all(healthz)),
            Route("/readyz", open_to_all(readyz)),
            Route("/metrics", open_to_all(metrics)),
            Route("/openapi.json", open_to_all(openapi_json)),
        ],
        exception_handlers={HTTPException: _other, Refusal: refused, GpucostError: refused, Exception: refused},
    )


def _said(trouble: str) -> Response:
    return PlainTextResponse(f"{trouble or 'ok'}\n", 503 if trouble else 200)


async def _other(_: Request, error: Exception) -> Response:
    """What Starlette itself refuses: no such page, no such method."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
