"""How much one client may ask of the collector, so that the others have theirs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import randint

MIB = 1024 * 1024
PACKED_BYTES = 8 * MIB
"""The largest batch, as it is sent."""
QUESTION_BYTES = MIB
"""The largest body of a question."""
SMALL_BYTES = 16 * 1024
LARGE_BODIES_BYTES = 64 * MIB
"""Of questions' bodies that are larger than SMALL_BYTES and being read, together."""
LARGE_BODIES_OF_ONE = 8
"""Of one address or one user, at once."""
HEAD_BYTES = 32 * 1024
"""The head of a request."""
BODY_SECONDS = 30.0
"""Until a body must be here whole."""
HEAD_SECONDS = 10.0
"""Until the head of a request must be here whole."""
IDLE_SECONDS = 75
"""How long a connection may be kept for the next request."""
REQUEST_SECONDS = 180.0
"""A request's whole life beside the question's own time: its body, its turn, its answer on the way."""
CONNECTIONS = 12_000
CONNECTIONS_OF_ONE = 4096
"""Open at once, of one address or one user. Each node keeps one open, and a proxy has those of many."""
ACCEPTED, ACCEPTED_OF_ONE = CONNECTIONS + 1_000, CONNECTIONS_OF_ONE + 500
"""The same where nobody is told so: with those that are not through with TLS yet."""
BODIES_BYTES = 128 * MIB
"""Of batches that are being read or unpacked, together."""
BATCHES_OF_ONE = 2
"""Batches of one node that are on their way at once."""
QUESTIONS_OF_ONE = 2
"""Questions and pages of one user that are on their way at once."""
QUESTIONS_WAITING = 100
NODE_RATE = (10.0, 50.0)
"""Requests a second, and how many at once, of a node."""
PEER_RATE = (20.0, 200.0)
"""The same of an address or a user."""
ADDRESS_RATE = (200.0, 2000.0)
"""The same of all users of an address, before it is known who they are."""
LATEST_SECONDS = (8, 60)
"""Within how long who found no room is told to come again: where few are told so, and where many are."""
COMERS_A_SECOND = 50
"""So many of them are meant to come, for to be refused costs time, too."""
_MOST_BUCKETS = 100_000


class Rates:
    """A bucket of tokens for each client."""

    def __init__(self, rate: tuple[float, float], clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._most = rate
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait_seconds(self, client: str) -> int:
        """0: go on; else after how many seconds there is a turn again."""
        now = self._clock()
        left, at = self._buckets.get(client, (self._most, now))
        left = min(self._most, left + max(0.0, now - at) * self._per_second)
        if left < 1:
            return int((1 - left) / self._per_second) + 1
        if len(self._buckets) >= _MOST_BUCKETS:
            self._forget(now)
        self._buckets[client] = (left - 1, now)
        return 0

    def _forget(self, now: float) -> None:
        """Those that are full again; where all are at work, all."""
        full = self._most / self._per_second
        self._buckets = {one: bucket for one, bucket in self._buckets.items() if now - bucket[1] < full}
        if len(self._buckets) >= _MOST_BUCKETS:
            self._buckets.clear()


class AtOnce:
    """Counts what each client has on its way."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._busy: Counter[str] = Counter()

    @contextmanager
    def one_more(self, client: str) -> Iterator[bool]:
        """Whether there is room for one more, as long as the block lasts."""
        if self._busy[client] >= self._most:
            yield False
            return
        self._busy[client] += 1
        try:
            yield True
        finally:
            self._busy[client] -= 1
            if not self._busy[client]:
                del self._busy[client]


class Room:
    """Bytes that may be held at once."""

    def __init__(self, most: int) -> None:
        self._left = most

    @contextmanager
    def take(self, size: int) -> Iterator[bool]:
        """Whether there is room for so many, as long as the block lasts."""
        if size > self._left:
            yield False
            return
        self._left -= size
        try:
            yield True
        finally:
            self._left += size


class Later:
    """When those for whom there was no room are to come again: not all at once, and later where there are many."""

    def __init__(self) -> None:
        self._told: set[object] = set()

    def seconds(self, client: object) -> int:
        """For one that is refused now."""
        self._told.add(client)
        soonest, latest = LATEST_SECONDS
        return randint(1, max(soonest, min(latest, 2 * len(self._told) // COMERS_A_SECOND)))

    def came(self, client: object) -> None:
        """It was taken."""
        self._told.discard(client)
