"""What a daemon takes in on the host of GPUs: hooks' events, the driver's windows, what is in which slot.

The all-in-one daemon and that of a node both do. The thread that calls these writes, and waits for nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from slurm_gpucost.domain.errors import LedgerError
from slurm_gpucost.domain.evidence import DeviceReport, HookEvent
from slurm_gpucost.domain.occupancy import DeviceProcess, MigInstance
from slurm_gpucost.domain.windows import Window
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services import taking
from slurm_gpucost.services.background import Background
from slurm_gpucost.services.cuts import devices_of
from slurm_gpucost.services.gathering import Drained
from slurm_gpucost.services.pause import Pause
from slurm_gpucost.services.sampler import Sampler
from slurm_gpucost.services.slots import Slots
from slurm_gpucost.services.trouble import Trouble, told
from slurm_gpucost.sources.nvml import NvmlGpus
from slurm_gpucost.sources.spool import MOST_FILES, Spool

DRAIN_MS = 20_000
"""How often the driver's windows are taken in: each commit costs a node as much as twenty readings."""
_WELL = ("ok", "not started", "held")


class CaptureSettings(Protocol):
    """What capturing needs of a config."""

    @property
    def cluster(self) -> str:
        """The cluster's name."""

    @property
    def spool(self) -> Path:
        """Where hooks leave their events."""

    @property
    def slurmd(self) -> str:
        """The slurmd to ask for slots."""

    @property
    def slurm_conf(self) -> Path | None:
        """Its configuration, where it is in no usual place."""

    @property
    def nvml_enabled(self) -> bool:
        """Whether to read the driver."""

    @property
    def nvml_interval_seconds(self) -> int:
        """How often."""

    @property
    def idle_threshold_percent(self) -> int:
        """Below this a device idles."""

    @property
    def pause_minutes(self) -> int:
        """The longest pause."""


def make_sampler(settings: CaptureSettings, clock: Callable[[], int], zones: Iterable[ZoneInfo]) -> Sampler | None:
    """A sampler of the host's driver, if the config wants one."""
    if not settings.nvml_enabled:
        return None
    return Sampler(
        NvmlGpus(),
        settings.nvml_interval_seconds,
        clock,
        hour_offsets_ms(zones),
        idle_percent=settings.idle_threshold_percent,
    )


def hour_offsets_ms(zones: Iterable[ZoneInfo]) -> tuple[int, ...]:
    """Where in a UTC hour the clock hours of these zones begin, in winter and summer."""
    offsets = set()
    for zone in zones:
        for month in (1, 7):
            ahead = datetime(2026, month, 1, tzinfo=zone).utcoffset() or timedelta()
            offsets.add(-int(ahead.total_seconds()) % 3600 * 1000)
    return tuple(sorted(offsets))


class Capture:
    """Holds the ledger, or a journal, open; ``clock`` gives ms UTC."""

    def __init__(
        self,
        settings: CaptureSettings,
        ledger: Ledger,
        clock: Callable[[], int],
        sampler: Sampler | None,
        background: Background,
        trouble: Trouble,
    ) -> None:
        self.settings = settings
        self.ledger = ledger
        self.clock = clock
        self.sampler = sampler
        self.trouble = trouble
        self.spool = Spool(settings.spool)
        self.slots = Slots(settings, ledger, clock, background, trouble)
        self.pause = Pause(settings.spool.parent, settings.pause_minutes, clock, sampler, self._store, trouble)
        self._listed: list[DeviceReport] | None = None
        """What the driver lists, until the ledger has it; so too for the windows."""
        self._windows: list[Window] = []
        self._layouts: list[MigInstance] = []
        self._processes: list[DeviceProcess] = []
        self._drain_at_ms = 0

    def start(self) -> None:
        """Begin to read the driver, unless there is a wish to pause."""
        self.trouble.attempt("pause", self.pause.step)
        if self.sampler is not None:
            self.sampler.start()

    def intake(self) -> list[HookEvent]:
        """Event files into the ledger; only then are they discarded. The events."""
        taken: list[HookEvent] = []
        more = True
        while more and (paths := self.spool.scan()):
            more = len(paths) == MOST_FILES
            files = [file for file in map(self.spool.read, paths) if file is not None]
            events = taking.take_events(self.ledger, self.settings, files, self.clock())
            for path in paths:
                self.spool.discard(path)
            for event in events:
                if self.sampler:
                    self.sampler.cut(event.at_ms, devices_of(event, self.slots.known, self.slots.devices))
                self.slots.heard_of(event.node)
            taken += events
        return taken

    def measure(self) -> None:
        """What the driver measured, when it is due."""
        if self.sampler is None:
            return
        self.sampler.hurry()
        state = self.sampler.state
        self.trouble.say("NVML", "" if state in _WELL else state)
        now = self.clock()
        if self.slots.devices and not self._windows and now < self._drain_at_ms <= now + DRAIN_MS:
            return
        self._drain_at_ms = now + DRAIN_MS
        self._store()

    def _store(self) -> None:
        if self.sampler is None:
            return
        self._measured(self.sampler.drain())
        if self._listed is not None:
            self.slots.listed(self._listed)
            self._listed = None

    @property
    def idle(self) -> bool:
        """Whether nothing is under way: no glance after a hook, nobody who waits for a pause."""
        return not self.pause.under_way and (self.sampler is None or not self.sampler.hooked)

    def close(self) -> None:
        """Take in what the driver has measured."""
        self.trouble.attempt("pause", self.pause.close)
        if self.sampler:
            self._measured(self.sampler.stop())

    def _measured(self, drained: Drained) -> None:
        """What the driver measured; what cannot be written now is kept for the next round."""
        self._listed = self._listed if drained.devices is None else drained.devices
        self._windows += drained.windows
        self._layouts += drained.layouts
        self._processes += drained.processes
        if self._windows or self._layouts or self._processes:
            try:
                taking.take_measured(self.ledger, self._windows, self._layouts, self._processes)
            except LedgerError:
                raise
            except Exception as error:  # one of them cannot be kept: the others are not to wait for it
                self._one_by_one(error)
            self._windows, self._layouts, self._processes = [], [], []

    def _one_by_one(self, error: Exception) -> None:
        lost = 0
        works = [partial(taking.take_measured, self.ledger, [window]) for window in self._windows]
        works += [partial(taking.take_measured, self.ledger, [], [layout]) for layout in self._layouts]
        works += [partial(taking.take_measured, self.ledger, [], [], [process]) for process in self._processes]
        for work in works:
            try:
                work()
            except LedgerError:
                raise
            except Exception:
                lost += 1
        self.trouble.say("measured", f"{lost} rows that cannot be kept are left out: {told(error)}")
