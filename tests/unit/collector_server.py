"""A small collector for tests of those who ask one: real sockets, real answers, pages of a few rows."""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from slurm_gpucost.domain.access import Viewer
from slurm_gpucost.domain.errors import ConfigError, GpucostError, NotAllowed, UsageError
from slurm_gpucost.services.named import answer
from slurm_gpucost.settings import load

Response = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""
Respond = Callable[[str, dict[str, Any], dict[str, str]], Response]
"""Of path, content and headers."""


class Collector:
    """Answers questions about one ledger to one viewer, ``page`` rows at a time, and remembers what it was asked."""

    def __init__(self, config: Path, ledger: Path, viewer: Viewer, clock: Callable[[], int], page: int = 2) -> None:
        self.config, self.ledger, self.viewer, self.clock, self.page = config, ledger, viewer, clock, page
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self._pages: dict[str, list[dict[str, Any]]] = {}

    def __call__(
        self, path: str, content: dict[str, Any], headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        self.asked.append((path, content))
        self.headers.append(headers)
        try:
            return 200, {}, json.dumps(self._answer(path.removeprefix("/v1/queries/"), content)).encode()
        except GpucostError as error:
            status = {UsageError: 400, ConfigError: 500, NotAllowed: 403}.get(type(error), 500)
            return status, {}, json.dumps({"error": str(error)}).encode()

    def _answer(self, name: str, content: dict[str, Any]) -> dict[str, Any]:
        if "cursor" in content:
            return self._next(self._pages.pop(content["cursor"]))
        with answer(load(self.config), self.ledger, name, content["params"], self.viewer, self.clock()) as made:
            return {"head": made.head, **self._next(list(made.rows))}

    def _next(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        cursor = None
        if rows[self.page :]:
            cursor = f"c{len(self.asked)}"
            self._pages[cursor] = rows[self.page :]
        return {"rows": rows[: self.page], "next": cursor}


class _UnixServer(socketserver.UnixStreamServer):
    def get_request(self) -> tuple[Any, Any]:
        request, _ = super().get_request()
        return request, ("unix", 0)


@contextmanager
def serving(respond: Respond, at: Path | None = None, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve on a Unix socket, or else on a free port of this host; yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, headers, body = respond(self.path, content, dict(self.headers))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server: socketserver.BaseServer
    if at is None:
        server = http = HTTPServer(("127.0.0.1", 0), Handler)
        url = f"http://127.0.0.1:{http.server_port}"
        if tls is not None:
            http.socket = tls.wrap_socket(http.socket, server_side=True)
    else:
        server, url = _UnixServer(str(at), Handler), f"unix:{at}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
