"""What the ledger's host does beside taking batches in: asks Slurm, of each cluster once, and projects what came."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from slurm_gpucost.ledger.projector import pending
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services import collect
from slurm_gpucost.services.background import Background
from slurm_gpucost.services.questions import Questions
from slurm_gpucost.services.trouble import Trouble, told
from slurm_gpucost.settings import Settings
from slurm_gpucost.settings.clusters import COMMANDS

PROJECT_MS = 5_000
"""How often, at most, attempts and leases are made of what nodes and Slurm told."""
PART_OF_TIME = 5
"""While batches wait, one part of so many of the time goes into that, at most: else a fleet's backlog waits for what
is made anew with each of its batches."""


class Engine:
    """All methods are of the thread that writes; ``clock`` gives ms UTC, ``busy`` whether batches wait."""

    def __init__(self, settings: Settings, ledger: Ledger, clock: Callable[[], int]) -> None:
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._asked = [_Asked(one, environment, ledger, clock) for one, environment in _of_clusters(settings)]
        self._trouble = Trouble()
        self._project_at_ms = 0
        self._rest_until = 0.0
        self.busy: Callable[[], bool] = lambda: False

    def step(self) -> None:
        """One round: replies in, questions out, projection. Trouble is said once and tried again."""
        for one in self._asked:
            if one.step():
                self._project_at_ms = 0
        self._trouble.attempt("projection", self._project)

    def _project(self) -> None:
        """A batch a round, so that what nodes send does not wait for it."""
        now = self._clock()
        if now < self._project_at_ms <= now + PROJECT_MS or not pending(self._ledger.connection):
            return
        began = time.monotonic()
        if began < self._rest_until and self.busy():
            return
        collect.project(self._ledger, self._settings, batches=1)
        ended = time.monotonic()
        self._rest_until = ended + (PART_OF_TIME - 1) * (ended - began)
        self._project_at_ms = 0 if pending(self._ledger.connection) else now + PROJECT_MS


class _Asked:
    """One cluster."""

    def __init__(
        self, settings: Settings, environment: dict[str, str], ledger: Ledger, clock: Callable[[], int]
    ) -> None:
        self._trouble = Trouble(f" of {settings.cluster}" if settings.clusters else "")
        self._background = Background(self._failed, environment)
        self._questions = Questions(settings, ledger, clock, self._background, self._trouble)
        self._came = False

    def step(self) -> bool:
        """Whether something came."""
        self._came = False
        self._trouble.attempt("replies", self._replies)
        self._trouble.attempt("questions", self._questions.ask_due)
        return self._came

    def _replies(self) -> None:
        """One reply may fail: the others are taken in the next round."""
        for take in self._background.answers():
            take()
            self._came = True

    def _failed(self, name: str, error: Exception) -> None:
        self._trouble.say(name, told(error))
        self._questions.failed(name, error)


def _of_clusters(settings: Settings) -> list[tuple[Settings, dict[str, str]]]:
    """The settings that each cluster is asked by, and the variables of its commands."""
    if not settings.clusters:
        return [(settings, {})]
    found = []
    for one in settings.clusters:
        own = {name: command for name in COMMANDS if (command := getattr(one, name)) is not None}
        environment = {"SLURM_CONF": str(one.slurm_conf)} if one.slurm_conf else {}
        found.append((replace(settings, cluster=one.name, **own), environment))
    return found
