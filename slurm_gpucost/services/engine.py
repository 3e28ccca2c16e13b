"""The all-in-one daemon's work, a step at a time: the loop calls :meth:`Engine.step` about once a second.

Only this thread writes. Slow questions (sacct, scontrol, slurmd -G) run in threads that hand their replies over, and
the driver has a thread of its own, so nothing that hangs holds up the intake of events.
"""

from __future__ import annotations

from collections.abc import Callable

from slurm_gpucost.domain.evidence import DeviceReport
from slurm_gpucost.domain.occupancy import DeviceProcess, MigInstance
from slurm_gpucost.domain.windows import Window
from slurm_gpucost.ledger.projector import pending
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services import collect
from slurm_gpucost.services.background import Background
from slurm_gpucost.services.cuts import devices_of
from slurm_gpucost.services.gathering import Drained
from slurm_gpucost.services.questions import Questions
from slurm_gpucost.services.sampler import Sampler
from slurm_gpucost.services.slots import Slots
from slurm_gpucost.services.trouble import Trouble, told
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources.spool import MOST_FILES, Spool

DRAIN_MS = 20_000
"""How often the driver's windows are taken in: each commit costs a node as much as twenty readings."""
PROJECT_MS = 20_000
"""How often, at most, attempts and leases are made of hooks alone."""


class Engine:
    """Holds the ledger open; ``clock`` gives ms UTC."""

    def __init__(self, settings: Settings, ledger: Ledger, clock: Callable[[], int], sampler: Sampler | None) -> None:
        self.settings = settings
        self.ledger = ledger
        self.clock = clock
        self.sampler = sampler
        self.spool = Spool(settings.spool)
        self.trouble = Trouble()
        self.background = Background(self._failed)
        self.slots = Slots(settings, ledger, clock, self.background, self.trouble)
        self.questions = Questions(settings, ledger, clock, self.background, self.trouble)
        self._listed: list[DeviceReport] | None = None
        """What the driver lists, until the ledger has it; so too for the windows."""
        self._windows: list[Window] = []
        self._layouts: list[MigInstance] = []
        self._processes: list[DeviceProcess] = []
        self._drain_at_ms = 0
        self._project_at_ms = 0

    def step(self) -> None:
        """One round: events in, replies in, questions out, projection. Trouble is said once and tried again."""
        for name, work in (
            ("spool", self.intake),
            ("replies", self._replies),
            ("driver", self._driver),
            ("projection", self._project),
            ("questions", self.questions.ask_due),
        ):
            try:
                work()
                self.trouble.say(name, "")
            except Exception as error:  # whatever it is, the daemon goes on and says it
                self.trouble.say(name, told(error))

    def intake(self) -> None:
        """Event files into the ledger; only then are they discarded."""
        more = True
        while more and (paths := self.spool.scan()):
            more = len(paths) == MOST_FILES
            files = [file for file in map(self.spool.read, paths) if file is not None]
            events = collect.take_events(self.ledger, self.settings, files, self.clock())
            for path in paths:
                self.spool.discard(path)
            for event in events:
                if self.sampler:
                    self.sampler.cut(event.at_ms, devices_of(event, self.slots.known, self.slots.devices))
                self.slots.heard_of(event.node)

    def close(self) -> None:
        """Take in what is there, and what the driver has measured."""
        self._project_at_ms = 0
        self.step()
        if self.sampler:
            self._measured(self.sampler.stop())

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

    def _driver(self) -> None:
        if self.sampler is None:
            return
        self.sampler.hurry()
        state = self.sampler.state
        self.trouble.say("NVML", "" if state in ("ok", "not started") else state)
        now = self.clock()
        if self.slots.devices and not self._windows and now < self._drain_at_ms <= now + DRAIN_MS:
            return
        self._drain_at_ms = now + DRAIN_MS
        self._measured(self.sampler.drain())
        if self._listed is not None:
            self.slots.listed(self._listed)
            self._listed = None

    def _measured(self, drained: Drained) -> None:
        """What the driver measured; what cannot be written now is kept for the next round."""
        self._listed = self._listed if drained.devices is None else drained.devices
        self._windows += drained.windows
        self._layouts += drained.layouts
        self._processes += drained.processes
        if self._windows or self._layouts or self._processes:
            collect.take_measured(self.ledger, self._windows, self._layouts, self._processes)
            self._windows, self._layouts, self._processes = [], [], []
