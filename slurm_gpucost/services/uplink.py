"""Sends the journal to the collector, at least once, in a thread of its own that only reads the journal.

On start and after each failure it asks what the collector holds, and goes on from there. What the thread that writes is
to do, it tells by :attr:`Uplink.held` and :attr:`Uplink.went_back`. docs/uplink.md is the form.
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from slurm_gpucost import __version__
from slurm_gpucost.domain.errors import ConfigError, LedgerError, SourceError
from slurm_gpucost.domain.wire import Batch, Rows, encode
from slurm_gpucost.ledger import journal as journals
from slurm_gpucost.ledger.journal_batch import batch_rows
from slurm_gpucost.sources.collector_http import Answer

MOST_ROWS = 2_000
MOST_BYTES = 1024 * 1024
"""Of a batch, unpacked: a guest on a node keeps little in memory, and a week's backlog is some dozens of these."""
SIGN_OF_LIFE_SECONDS = 60.0
GATHER_SECONDS = 1.5
"""So long after a batch the next one waits for more to come."""
RETRY_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 300.0
"""Whatever `Retry-After` says: a proxy's page may speak of a day."""
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 60.0


class Collector(Protocol):
    """Where it sends to. Both may raise SourceError; ``held`` ConfigError, too."""

    def held(self, journal: str) -> Answer:
        """How much of a journal it holds."""

    def send(self, body: bytes) -> Answer:
        """Give it a batch."""

    def close(self) -> None:
        """Close the connection."""


class _Look(NamedTuple):
    """The journal at a moment."""

    id: str
    last: int
    oldest: int


class Uplink:
    """``start``, ``wake`` when there is something new, ``stop``. ``clock`` gives ms UTC, ``said`` what a node says."""

    def __init__(
        self,
        collector: Collector,
        journal: Path,
        cluster: str,
        node: str,
        clock: Callable[[], int],
        said: Callable[[], dict[str, Any]],
    ) -> None:
        self.held: tuple[str, int] | None = None
        """(journal, number): what the collector said last that it holds; None: it was not heard yet."""
        self.went_back = ""
        """The journal that has lower numbers than the collector holds: it must become another one."""
        self.state = ""
        """What is wrong, in one line; '' : nothing."""
        self._collector = collector
        self._path = journal
        self._cluster = cluster
        self._node = node
        self._clock = clock
        self._said = said
        self._db: sqlite3.Connection | None = None
        self._known: tuple[str, int] | None = None
        """(journal, number) to go on from; None: ask."""
        self._ours: tuple[str, int] = ("", 0)
        """(journal, number): no higher number can have come from here."""
        self._most_rows = MOST_ROWS
        self._failures = 0
        self._sent_at = -float("inf")
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def wake(self) -> None:
        """There is something new in the journal."""
        self._wake.set()

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """End, within the time even where the network hangs: what was not sent is sent after the next start."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                pause = self._turn()
            except (SourceError, ConfigError, LedgerError) as error:
                pause = self._failed(str(error))
            except Exception as error:  # whatever it is, sending must go on later
                pause = self._failed(f"internal error: {type(error).__name__}: {error}")
            if pause > 0:
                self._stopping.wait(pause)
        self._collector.close()
        if self._db is not None:
            self._db.close()

    def _turn(self) -> float:
        """Ask or send once; the seconds to wait before the next turn, whatever comes meanwhile."""
        look = self._look()
        if self._ours[0] != look.id:
            self._ours = (look.id, look.last)
        if self._known is None or self._known[0] != look.id:
            answer = self._collector.held(look.id)
            if answer.status != 200 or answer.held is None:
                return self._refused(answer, 0)
            if self._is_other(answer.tail):
                return self._is_back(look)
            return self._heard(look, answer.held)
        held = self._known[1]
        if look.last <= held and time.monotonic() < self._sent_at + SIGN_OF_LIFE_SECONDS:
            self._wake.clear()
            if self._look().last <= held:
                self._wake.wait(max(0.0, self._sent_at + SIGN_OF_LIFE_SECONDS - time.monotonic()))
            return max(0.0, min(GATHER_SECONDS, self._sent_at + GATHER_SECONDS - time.monotonic()))
        return self._send(look, held)

    def _send(self, look: _Look, held: int) -> float:
        first, last, oldest, tail, rows = self._batch(max(held + 1, look.oldest))
        batch = Batch(
            self._cluster, self._node, look.id, first, last, oldest, self._clock(), __version__,
            {**self._said(), "unsent": max(0, look.last - held), "tail": tail}, rows,
        )  # fmt: skip
        self._ours = (look.id, max(self._ours[1], last))
        answer = self._collector.send(encode(batch))
        self._sent_at = time.monotonic()
        if answer.status not in (200, 409) or answer.held is None:
            return self._refused(answer, last - first + 1)
        pause = self._heard(look, answer.held)
        if look.last > held == answer.held:  # it took nothing of what was sent
            return self._failed(f"the collector answers {answer.status} and holds no more than before")
        if answer.status != 200:
            return SHORTEST_SECONDS
        self._failures, self.state = 0, ""
        self._most_rows = min(MOST_ROWS, self._most_rows * 2)
        return pause

    def _batch(self, first: int) -> tuple[int, int, int, str, Rows]:
        """(first, last, oldest, tail, rows) of what comes next, in one look at the journal."""
        db = self._opened()
        db.execute("BEGIN")
        try:
            oldest = journals.oldest(db)
            last, rows = batch_rows(db, max(first, oldest), self._most_rows, MOST_BYTES)
            tail = journals.tail(db, last)
        finally:
            db.execute("COMMIT")
        return max(first, oldest), last, oldest, tail, rows

    def _heard(self, look: _Look, held: int) -> float:
        """The collector holds so much."""
        if held > self._ours[1]:
            return self._is_back(look)
        self._known = self.held = (look.id, held)
        return 0.0

    def _is_back(self, look: _Look) -> float:
        self.went_back, self._known = look.id, None
        return SHORTEST_SECONDS

    def _is_other(self, tail: str) -> bool:
        """Whether the collector's last entry of this journal is another one than stands here at its number."""
        number, colon, _ = tail.partition(":")
        if not (number.isascii() and number.isdigit() and len(number) < 19):
            return False
        own = journals.tail(self._opened(), int(number))
        return own.startswith(number + colon) and own != tail

    def _refused(self, answer: Answer, entries: int) -> float:
        """An answer that is not what was hoped for; so many entries were sent."""
        self._sent_at = -float("inf")  # once it answers, a batch follows, if only to see that all is well
        why = f" ({answer.error})" if answer.error else ""
        if answer.status in (400, 413, 422):
            if entries > 1:
                self._most_rows = max(1, min(entries, self._most_rows) // 2)
                return 0.0
            self._known = None
            self.state = f"the collector does not understand what this node sends{why}; it is kept, and sent again"
            return RETRY_SECONDS
        if answer.status in (401, 403):
            self._known = None
            self.state = (
                f"another journal of node {self._node} is alive, and this one waits{why}"
                if answer.waiting
                else f"the collector does not take this node's token{why}; enroll the node, or mend [node] token_file"
            )
            return RETRY_SECONDS
        if answer.status in (429, 503):
            self._known = None
            self.state = f"the collector has no time{why}"
            wait = min(answer.retry_after, LONGEST_WAIT_SECONDS) if answer.retry_after else self._backoff()
            return max(SHORTEST_SECONDS, wait) + random.random()
        return self._failed(f"the collector answers {answer.status}{why}")

    def _failed(self, why: str) -> float:
        self._sent_at = -float("inf")
        self._known = None
        self.state = why
        return self._backoff()

    def _backoff(self) -> float:
        """Longer with each failure, and never the same for two nodes."""
        self._failures = min(self._failures + 1, 16)
        longest = min(LONGEST_SECONDS, SHORTEST_SECONDS * 2.0**self._failures)
        return max(SHORTEST_SECONDS, random.uniform(longest / 2, longest))

    def _look(self) -> _Look:
        db = self._opened()
        db.execute("BEGIN")
        try:
            return _Look(journals.id_of(db), journals.last(db), journals.oldest(db))
        finally:
            db.execute("COMMIT")

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = journals.read_journal(self._path)
        return self._db
