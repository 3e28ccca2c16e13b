"""The all-in-one daemon's work, a step at a time: the loop calls :meth:`Engine.step` about once a second.

Only this thread writes. Slow questions (sacct, scontrol, slurmd -G) run in threads that hand their replies over, and
the driver has a thread of its own, so nothing that hangs holds up the intake of events.
"""

from __future__ import annotations

from collections.abc import Callable

from slurm_gpucost.ledger.projector import pending
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services import collect
from slurm_gpucost.services.background import Background
from slurm_gpucost.services.capture import Capture
from slurm_gpucost.services.questions import Questions
from slurm_gpucost.services.sampler import Sampler
from slurm_gpucost.services.trouble import Trouble, told
from slurm_gpucost.settings import Settings

PROJECT_MS = 20_000
"""How often, at most, attempts and leases are made of hooks alone."""


class Engine:
    """Holds the ledger open; ``clock`` gives ms UTC."""

    def __init__(self, settings: Settings, ledger: Ledger, clock: Callable[[], int], sampler: Sampler | None) -> None:
        self.settings = settings
        self.ledger = ledger
        self.clock = clock
        self.trouble = Trouble()
        self.background = Background(self._failed)
        self.capture = Capture(settings, ledger, clock, sampler, self.background, self.trouble)
        self.questions = Questions(settings, ledger, clock, self.background, self.trouble)
        self._project_at_ms = 0

    def step(self) -> None:
        """One round: events in, replies in, questions out, projection. Trouble is said once and tried again."""
        for name, work in (
            ("spool", self.capture.intake),
            ("replies", self._replies),
            ("driver", self.capture.measure),
            ("pausing", self.capture.pause.step),
            ("projection", self._project),
            ("questions", self.questions.ask_due),
        ):
            self.trouble.attempt(name, work)

    def close(self) -> None:
        """Take in what is there, and what the driver has measured."""
        self._project_at_ms = 0
        self.step()
        self.capture.close()

    def _failed(self, name: str, error: Exception) -> None:
        self.trouble.say(name, told(error))
        self.questions.failed(name, error)

    def _replies(self) -> None:
        """One reply may fail: the others are taken in the next round."""
        for take in self.background.answers():
            take()
            self._project_at_ms = 0

    def _project(self) -> None:
        """A batch a round: while a backfill brings more and more, events are taken in all the same."""
        now = self.clock()
        if now < self._project_at_ms <= now + PROJECT_MS or not pending(self.ledger.connection):
            return
        collect.project(self.ledger, self.settings, batches=1)
        self._project_at_ms = 0 if pending(self.ledger.connection) else now + PROJECT_MS
