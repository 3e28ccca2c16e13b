"""Plays the nodes of a fleet with the real wire protocol, each over a connection of its own: asyncio, one process."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from slurm_gpucost.domain.wire import Batch, encode

MOST_ROWS = 5_000
VERSION = "benchmark"


@dataclass
class Counted:
    """What the nodes saw."""

    batches: int = 0
    rows: int = 0
    refused: int = 0
    """Answers of 429 and 503: sent again later."""
    lags_ms: list[int] = field(default_factory=list)
    """From when a row was known on its node to when the collector had it."""


class Node:
    """One node: what it has, and how far it was taken."""

    def __init__(self, name: str, token: str, address: tuple[str, int], counted: Counted) -> None:
        self.name = name
        self.journal = f"{abs(hash(name)) % 16**12:032x}"
        self.entries: list[tuple[int, str, Any]] = []
        """(known at ms, table, row); entry n has the number n + 1."""
        self.held = 0
        self.packed: dict[int, tuple[int, bytes]] = {}
        """By first number: the last, and the batch as it is sent, where it was made beforehand."""
        self._token = token
        self._address = address
        self._counted = counted
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._lock: asyncio.Lock | None = None

    def pack(self) -> None:
        """Make the batches of all that is there, so that the sending costs little."""
        for first in range(self.held + 1, len(self.entries) + 1, MOST_ROWS):
            self.packed[first] = self._batch(first)

    def _packed(self, first: int) -> tuple[int, bytes]:
        return self.packed.pop(first) if first in self.packed else self._batch(first)

    def _batch(self, first: int) -> tuple[int, bytes]:
        entries = self.entries[first - 1 : first - 1 + MOST_ROWS]
        rows: dict[str, list[Any]] = defaultdict(list)
        for _, table, row in entries:
            rows[table].append(row)
        last, now = first - 1 + len(entries), int(time.time() * 1000)
        said = {"driver": "ok", "spool": 0, "unsent": len(self.entries) - self.held, "journal_bytes": 0}
        return last, encode(Batch("fleet", self.name, self.journal, first, last, 1, now, VERSION, said, dict(rows)))

    def forget(self) -> None:
        """The event loop that it sent in has ended: what belonged to that is gone."""
        self._streams = self._lock = None

    async def send_all(self, *, measure: bool = False, alive: bool = False) -> None:
        """Send until all is taken; ``alive``: an empty batch where there is nothing. One at a time."""
        self._lock = self._lock or asyncio.Lock()
        async with self._lock:
            await self._send_all(measure, alive)

    async def _send_all(self, measure: bool, alive: bool) -> None:
        while self.held < len(self.entries) or alive:
            alive = False
            last, body = self._packed(self.held + 1)
            status, answer = await self._post(body)
            if status in (429, 503):
                self._counted.refused += 1
                await asyncio.sleep(answer.get("again", 1))
                continue
            if status not in (200, 409):
                raise SystemExit(f"{self.name}: the collector answers {status}: {answer}")
            before, self.held = self.held, answer["held"]
            if status == 200:
                self._counted.batches += 1
                self._counted.rows += last - before
                if measure:
                    now = int(time.time() * 1000)
                    self._counted.lags_ms += [now - at for at, _, _ in self.entries[before:last]]

    async def _post(self, body: bytes) -> tuple[int, dict[str, Any]]:
        head = (
            f"POST /v1/batches HTTP/1.1\r\nHost: fleet\r\nAuthorization: Bearer {self._token}\r\n"
            f"Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        for fresh in (False, True):
            try:
                if self._streams is None or fresh:
                    self._streams = await asyncio.open_connection(*self._address)
                reader, writer = self._streams
                writer.write(head.encode() + body)
                await writer.drain()
                return await _answer(reader)
            except (OSError, asyncio.IncompleteReadError):
                self._streams = None
                if fresh:
                    await asyncio.sleep(1)
        return 503, {}


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ", 2)[1])
    again = next((int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("retry-after:")), 1)
    length = next((int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length:")), 0)
    body = await reader.readexactly(length)
    said = json.loads(body) if body.startswith(b"{") else {}
    return status, {"again": again, **said}
