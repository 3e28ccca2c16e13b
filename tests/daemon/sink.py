"""A collector for tests and benchmarks: a real HTTP server that takes batches in as docs/uplink.md says, in memory.

What it is to do amiss stands in ``moods``, one for each batch that comes; when none is left it does all well.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from slurm_gpucost.domain.wire import BadBatch, Batch, decode

TOKEN = "n1-token"
Mood = Callable[["Sink", Batch | None], "tuple[int, dict[str, Any], dict[str, str]] | str | None"]
"""(status, answer, headers); ``cut``: the connection is closed; ``lost``: the answer is lost; None: all well."""


class Sink:
    """``url`` is where it listens; ``close`` stops it, ``open`` lets it listen there again."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.certificate = certificate
        """PEM, with its key; None: no TLS."""
        self.batches: list[Batch] = []
        self.held: dict[str, int] = {}
        self.tails: dict[str, str] = {}
        self.rows: dict[str, dict[tuple[Any, ...], Any]] = {}
        """By table: the newest row of each key that tests tell rows apart by: all but what can change."""
        self.moods: deque[Mood] = deque()
        self.asked = 0
        self.skipped: list[str] = []
        """Batches that left numbers out; there must be none."""
        self.lock = threading.Lock()
        self._port = 0
        self.open()

    @property
    def url(self) -> str:
        return f"http{'s' if self.certificate else ''}://127.0.0.1:{self._port}"

    def open(self) -> None:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                sink.asked += 1
                journal = parse_qs(urlsplit(self.path).query)["journal"][0]
                if self.headers["Authorization"] != f"Bearer {TOKEN}":
                    self.answer(401, {"error": "no such token"})
                else:
                    said = {"tail": sink.tails[journal]} if journal in sink.tails else {}
                    self.answer(200, {"held": sink.held.get(journal, 0), **said})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Authorization"] != f"Bearer {TOKEN}":
                    self.answer(401, {"error": "no such token"})
                    return
                with sink.lock:
                    done = sink.take(body)
                if isinstance(done, str):
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                else:
                    self.answer(*done)

            def answer(self, status: int, said: dict[str, Any], headers: dict[str, str] | None = None) -> None:
                text = json.dumps(said).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(text)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass  # a node that is killed breaks its connections

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, body: bytes) -> tuple[int, dict[str, Any], dict[str, str]] | str:
        try:
            batch = decode(body)
        except BadBatch as error:
            self.skipped.append(str(error))
            return 400, {"error": str(error)}, {}
        mood = self.moods.popleft()(self, batch) if self.moods else None
        if mood is not None and mood != "lost":
            return mood
        held = self.held.get(batch.journal, 0)
        if batch.first > held + 1 and batch.oldest <= held + 1:
            return 409, {"held": held}, {}
        if batch.first > held + 1 and batch.first != batch.oldest:
            self.skipped.append(f"{held} held, {batch.first} to {batch.last} of {batch.oldest} came")
        self.batches.append(batch)
        for table, rows in batch.rows.items():
            kept = self.rows.setdefault(table, {})
            for row in rows:
                kept[key_of(table, row)] = row
        self.held[batch.journal] = max(held, batch.last)
        self.tails[batch.journal] = str(batch.said.get("tail", ""))
        return "lost" if mood == "lost" else (200, {"held": self.held[batch.journal]}, {})

    def jobs(self) -> list[int]:
        """The job ids of the hook events that it has, sorted."""
        with self.lock:
            return sorted(row.job_id for row in self.rows.get("hook_event", {}).values())


def key_of(table: str, row: Any) -> tuple[Any, ...]:
    keys = {"hook_event": 3, "device_process": 4, "set_aside": 1}
    return tuple(row[: keys[table]]) if table in keys else tuple(row)


def answer(status: int, said: dict[str, Any] | None = None, **headers: str) -> Mood:
    """The mood to answer so."""
    return lambda sink, batch: (status, said or {}, {name.replace("_", "-"): value for name, value in headers.items()})


def cut(sink: Sink, batch: Batch | None) -> str:
    return "cut"


def lost(sink: Sink, batch: Batch | None) -> str:
    return "lost"


def slow(seconds: float) -> Mood:
    def mood(sink: Sink, batch: Batch | None) -> None:
        time.sleep(seconds)

    return mood
