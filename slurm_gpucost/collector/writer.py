"""The one thread that writes: batches as soon as they come, many in one transaction; all else once a second.

Nothing is answered before it is durable. Where the ledger cannot be written, what waited is refused, to come again.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from slurm_gpucost.collector.numbers import Numbers
from slurm_gpucost.domain.errors import GpucostError, LedgerError
from slurm_gpucost.domain.wire import Batch
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.ledger.tokens import Who
from slurm_gpucost.services import intake
from slurm_gpucost.services.intake import Outcome
from slurm_gpucost.services.trouble import Trouble, told

STEP_SECONDS = 1.0
MOST_BATCHES = 500
"""In one transaction."""
MOST_ROWS = 20_000
WAITING_ROWS = 60_000
"""Rows of batches that wait, each about a KiB; where there are so many, further batches are refused for now."""
WAITING = 2_000
log = logging.getLogger("gpucostd")
Step = Callable[[], None]


class Full(GpucostError):
    """More waits to be written than is taken; try again in a second."""


class _Waiting(NamedTuple):
    who: Who
    batch: Batch
    rows: int
    future: Future[Outcome]
    since: float


class _Change(NamedTuple):
    work: Callable[[Ledger], Any]
    future: Future[Any]


class Writer:
    """Holds the ledger; ``step`` is done about once a second beside the batches; ``clock`` gives ms UTC."""

    def __init__(
        self, ledger: Ledger, clock: Callable[[], int], silent_seconds: int, numbers: Numbers, step: Step = lambda: None
    ) -> None:
        self.ledger = ledger
        self.turned = time.monotonic()
        """When the thread last began a round."""
        self.failing = ""
        """Why the last transaction was not made; '': it was."""
        self._clock = clock
        self._silent_seconds = silent_seconds
        self._numbers = numbers
        self._step = step
        self._up_since_ms = clock()
        self._queue: queue.SimpleQueue[_Waiting | _Change | None] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._rows = self._count = 0
        self._oldest: float | None = None
        self._ending = False
        self._trouble = Trouble()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Batches that wait."""
        return self._count

    @property
    def lag_seconds(self) -> float:
        """How long the oldest batch has waited."""
        oldest = self._oldest
        return 0.0 if oldest is None or not self._count else time.monotonic() - oldest

    @property
    def full(self) -> bool:
        """Whether another batch would be refused now, however small it is."""
        return self._ending or self._count >= WAITING or self._rows >= WAITING_ROWS

    def put(self, who: Who, batch: Batch) -> Future[Outcome]:
        """Take a batch in; its outcome comes when it is durable. Raises Full."""
        rows = sum(map(len, batch.rows.values()))
        with self._guard:
            if self.full:
                raise Full("the collector is behind")
            self._count += 1
            self._rows += rows
            waiting = _Waiting(who, batch, rows, _future(), time.monotonic())
            self._queue.put(waiting)
        return waiting.future

    def change(self, work: Callable[[Ledger], Any]) -> Future[Any]:
        """Do a change in the thread that writes."""
        with self._guard:
            if self._ending:
                raise Full("the collector is ending")
            future = _future()
            self._queue.put(_Change(work, future))
        return future

    def stop(self, seconds: float = 60) -> None:
        """Take in what waits, and end."""
        with self._guard:
            self._ending = True
            self._queue.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        step_at = 0.0
        while True:
            self.turned = now = time.monotonic()
            if now >= step_at:
                try:
                    self._step()
                except Exception as error:  # whatever it is, batches go on
                    log.exception("internal error: %s", error)
                step_at = time.monotonic() + STEP_SECONDS
            batches, changes, ends = self._next(max(0.0, step_at - time.monotonic()))
            if batches:
                self._take(batches)
            for change in changes:
                self._do(change)
            if ends:
                return

    def _next(self, seconds: float) -> tuple[list[_Waiting], list[_Change], bool]:
        """What there is to do: what waits for up to ``seconds``, and all that is there with it."""
        batches: list[_Waiting] = []
        changes: list[_Change] = []
        rows = 0
        try:
            item = self._queue.get(timeout=seconds) if seconds else self._queue.get_nowait()
            while True:
                if item is None:
                    return batches, changes, True
                if isinstance(item, _Change):
                    changes.append(item)
                else:
                    batches.append(item)
                    rows += item.rows
                if len(batches) >= MOST_BATCHES or rows >= MOST_ROWS:
                    break
                item = self._queue.get_nowait()
        except queue.Empty:
            pass
        return batches, changes, False

    def _take(self, batches: list[_Waiting]) -> None:
        self._oldest = batches[0].since
        try:
            outcomes = self._written(batches)
        except LedgerError as error:
            self._settle(batches, error)
        except Exception as error:
            if len(batches) == 1:
                log.exception("a batch of node %s was not taken in: %s", batches[0].who.node, error)
                self._settle(batches, error)
            else:  # one of them is at fault: the others are not to bear it
                for one in batches:
                    self._take([one])
            return
        else:
            for one, outcome in zip(batches, outcomes, strict=True):
                self._numbers.batch(one.batch, outcome, self._clock())
                self._count_off(one)
                one.future.set_result(outcome)
        self._trouble.say("batches", self.failing)

    def _written(self, batches: list[_Waiting]) -> list[Outcome]:
        try:
            outcomes = intake.take_batches(
                self.ledger,
                [(one.who, one.batch) for one in batches],
                self._clock(),
                silent_seconds=self._silent_seconds,
                up_since_ms=self._up_since_ms,
            )
        except Exception as error:
            self.failing = told(error)
            raise
        self.failing = ""
        return outcomes

    def _settle(self, batches: list[_Waiting], error: Exception) -> None:
        for one in batches:
            self._count_off(one)
            one.future.set_exception(error)

    def _count_off(self, one: _Waiting) -> None:
        with self._guard:
            self._count -= 1
            self._rows -= one.rows
            if not self._count:
                self._oldest = None

    def _do(self, change: _Change) -> None:
        try:
            change.future.set_result(change.work(self.ledger))
            self.failing = ""
        except Exception as error:
            if isinstance(error, LedgerError):
                self.failing = told(error)
            change.future.set_exception(error)


def _future() -> Future[Any]:
    """One that whoever waits for it cannot take back: what is queued is done."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future
