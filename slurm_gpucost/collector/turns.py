"""Whose question is next: in order, but nobody has all the places where there are several."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from slurm_gpucost.collector.limits import QUESTIONS_WAITING
from slurm_gpucost.collector.replies import Refusal


class Turns:
    """``places`` at once; of one user at most all but one of them."""

    def __init__(self, places: int, most_waiting: int = QUESTIONS_WAITING) -> None:
        self._free = places
        self._most_of_one = max(1, places - 1)
        self._most_waiting = most_waiting
        self._running: Counter[str] = Counter()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    @property
    def waiting(self) -> int:
        """Questions without a place yet."""
        return len(self._waiting)

    @asynccontextmanager
    async def turn(self, client: str, seconds: float, *, first: bool = False) -> AsyncIterator[None]:
        """A place, as long as the block lasts. Raises Refusal where none is free in time, or too many wait.

        ``first``: before all who wait, however many, for who runs the site, on its own host, to find out what is wrong.
        """
        if len(self._waiting) >= self._most_waiting and not first:
            raise Refusal(503, "too many questions wait", again=5)
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.insert(0 if first else len(self._waiting), (client, granted))
        self._grant()
        try:
            await asyncio.wait_for(granted, seconds)
        except BaseException as error:
            self._give_up(client, granted)
            if isinstance(error, TimeoutError):
                raise Refusal(503, f"no turn came within {seconds:g} s; others ask, too", again=10) from None
            raise
        try:
            yield
        finally:
            self._back(client)

    def _grant(self) -> None:
        for entry in list(self._waiting):
            client, granted = entry
            if not self._free:
                return
            if self._running[client] < self._most_of_one and not granted.done():
                self._waiting.remove(entry)
                self._free -= 1
                self._running[client] += 1
                granted.set_result(None)

    def _give_up(self, client: str, granted: asyncio.Future[None]) -> None:
        if (client, granted) in self._waiting:
            self._waiting.remove((client, granted))
        else:  # it came just then
            self._back(client)

    def _back(self, client: str) -> None:
        self._free += 1
        self._running[client] -= 1
        if not self._running[client]:
            del self._running[client]
        self._grant()
