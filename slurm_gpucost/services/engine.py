"""The all-in-one daemon's work, a step at a time: the loop calls :meth:`Engine.step` about once a second.

Only this thread writes. Slow questions (sacct, scontrol, slurmd -G) run in threads that hand their replies over, and
the driver has a thread of its own, so nothing that hangs holds up the intake of events.
"""

from __future__ import annotations

import logging
import queue
import re
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from slurm_gpucost.domain.errors import GpucostError
from slurm_gpucost.domain.evidence import DeviceReport
from slurm_gpucost.domain.inventory import slot_types
from slurm_gpucost.domain.occupancy import DeviceProcess, MigInstance
from slurm_gpucost.domain.windows import Window
from slurm_gpucost.ledger import asked, reports
from slurm_gpucost.ledger.projector import pending
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services import collect, reconcile
from slurm_gpucost.services.accounting import Accounting
from slurm_gpucost.services.cuts import devices_of
from slurm_gpucost.services.gathering import Drained
from slurm_gpucost.services.sampler import Sampler
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources import node_events, nodes, sacct, scontrol, slurmd_gres
from slurm_gpucost.sources.sacct import Slice
from slurm_gpucost.sources.spool import MOST_FILES, Spool

DRAIN_MS = 20_000
"""How often the driver's windows are taken in: each commit costs a node as much as twenty readings."""
PROJECT_MS = 20_000
"""How often, at most, attempts and leases are made of hooks alone."""
log = logging.getLogger("gpucostd")
_COMMAND = re.compile("`[^`]*`")
RECONCILE_AFTER_MS = 600_000
"""After the start, when witnesses have been heard; then once a day."""
RECONCILE_EVERY_SECONDS = 86_400


class Engine:
    """Holds the ledger open; ``clock`` gives ms UTC."""

    def __init__(self, settings: Settings, ledger: Ledger, clock: Callable[[], int], sampler: Sampler | None) -> None:
        self.settings = settings
        self.ledger = ledger
        self.clock = clock
        self.sampler = sampler
        self.spool = Spool(settings.spool)
        self.accounting = Accounting(settings, ledger)
        self._done: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._busy: set[str] = set()
        self._due: dict[str, int] = {
            "sacct": 0,
            "sacctmgr": 0,
            "scontrol": 0,
            "reconcile": clock() + RECONCILE_AFTER_MS,
        }
        self._said: dict[str, str] = {}
        self._nodes: set[str] = set()
        self._devices: list[DeviceReport] = []
        self._listed: list[DeviceReport] | None = None
        """What the driver lists, until the ledger has it; so too for the windows."""
        self._windows: list[Window] = []
        self._layouts: list[MigInstance] = []
        self._processes: list[DeviceProcess] = []
        self._slots: dict[tuple[str, int], str] = {}
        """The device of each (node, GRES index), as far as it is known."""
        self._drain_at_ms = 0
        self._project_at_ms = 0

    def step(self) -> None:
        """One round: events in, replies in, questions out, projection. Trouble is said once and tried again."""
        for name, work in (
            ("spool", self.intake),
            ("replies", self._replies),
            ("driver", self._driver),
            ("projection", self._project),
            ("questions", self._questions),
        ):
            try:
                work()
                self._say(name, "")
            except Exception as error:  # whatever it is, the daemon goes on and says it
                self._say(name, _told(error))

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
                    self.sampler.cut(event.at_ms, devices_of(event, self._slots, self._devices))
                if event.node and event.node not in self._nodes:
                    self._nodes.add(event.node)
                    self._ask_slots(event.node)

    def close(self) -> None:
        """Take in what is there, and what the driver has measured."""
        self._project_at_ms = 0
        self.step()
        if self.sampler:
            self._measured(self.sampler.stop())

    def _say(self, what: str, message: str) -> None:
        """Say a trouble once, and when it is over. The command line in it has new times with every question."""
        gist = _COMMAND.sub("", message)
        if self._said.get(what, "") != gist:
            self._said[what] = gist
            if message:
                log.warning("%s: %s", what, message)
            else:
                log.info("%s: works again", what)

    def _replies(self) -> None:
        """One reply may fail: the others are taken in the next round."""
        while True:
            try:
                take = self._done.get_nowait()
            except queue.Empty:
                return
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
        self._say("NVML", "" if state in ("ok", "not started") else state)
        now = self.clock()
        if self._devices and not self._windows and now < self._drain_at_ms <= now + DRAIN_MS:
            return
        self._drain_at_ms = now + DRAIN_MS
        self._measured(self.sampler.drain())
        if self._listed is not None:
            if [(r.device, r.digest) for r in self._listed] != [(r.device, r.digest) for r in self._devices]:
                collect.take_inventory(self.ledger, self._listed, [])
                for node in sorted(self._nodes):
                    self._ask_slots(node)
            self._devices, self._listed = self._listed, None

    def _measured(self, drained: Drained) -> None:
        """What the driver measured; what cannot be written now is kept for the next round."""
        self._listed = self._listed if drained.devices is None else drained.devices
        self._windows += drained.windows
        self._layouts += drained.layouts
        self._processes += drained.processes
        if self._windows or self._layouts or self._processes:
            collect.take_measured(self.ledger, self._windows, self._layouts, self._processes)
            self._windows, self._layouts, self._processes = [], [], []

    def _questions(self) -> None:
        self._ask_when_due("sacct", self.settings.accounting_interval_seconds, self._question_to_accounting)
        self._ask_when_due("sacctmgr", self.settings.accounting_interval_seconds, self._question_about_nodes)
        self._ask_when_due("reconcile", RECONCILE_EVERY_SECONDS, lambda now: partial(self._reconcile, now))
        if self.settings.controller_enabled:
            self._ask_when_due("scontrol", self.settings.controller_interval_seconds, self._question_to_controller)

    def _ask_when_due(self, name: str, interval_seconds: int, question: Callable[[int], Callable[[], None]]) -> None:
        now = self.clock()
        if now >= self._due[name] and name not in self._busy:
            self._due[name] = now + interval_seconds * 1000
            self._in_background(name, question(now))

    def _in_background(self, name: str, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except Exception as error:  # whatever it is, the daemon goes on and says it
                self._done.put(partial(self._failed, name, error))
            self._done.put(partial(self._busy.discard, name))

        self._busy.add(name)
        threading.Thread(target=run, name=name, daemon=True).start()

    def _failed(self, name: str, error: Exception) -> None:
        said = _told(error)
        self._say(name, said)
        if name in self._due and name != "reconcile":
            collect.take_failure(self.ledger, self.settings, name, self.clock(), said)

    def _hand_over(self, name: str, take: Callable[[], Any]) -> None:
        def run() -> None:
            taken = take()
            if isinstance(taken, collect.Taken) and taken.broken:
                self._say(name, f"{len(taken.broken)} rows set aside; the first: {taken.broken[0][1]}")
            else:
                self._say(name, "")

        self._done.put(run)

    def _question_to_accounting(self, now: int) -> Callable[[], None]:
        """The window is made here: threads do not read the ledger."""
        return partial(self._ask_accounting, now, *self.accounting.window(now))

    def _ask_accounting(self, now: int, start: int, end: int) -> None:
        run = sacct.runner(self.settings.accounting_timeout_seconds)
        lost: list[Slice] = []
        for low, high in sacct.slices(start, end, self.settings.accounting_slice_hours * 3_600_000):
            for reply in sacct.fetch(run, self.settings.sacct, self.settings.cluster, low, high):
                self._hand_over("sacct", partial(self.accounting.take, reply, now, reply.end_ms >= end, lost))

    def _question_to_controller(self, now: int) -> Callable[[], None]:
        return partial(self._ask_controller, now)

    def _ask_controller(self, now: int) -> None:
        settings = self.settings
        asked = scontrol.ask(settings.scontrol, settings.squeue, settings.controller_timeout_seconds)
        self._hand_over("scontrol", partial(collect.take_controller, self.ledger, settings, asked, now))
        listed = nodes.ask(settings.scontrol, settings.controller_timeout_seconds)
        self._hand_over("scontrol", partial(collect.take_nodes, self.ledger, settings, listed, now))

    def _question_about_nodes(self, now: int) -> Callable[[], None]:
        """The window is made here: threads do not read the ledger."""
        return partial(self._ask_about_nodes, now, *self.accounting.events_window(now))

    def _ask_about_nodes(self, now: int, start: int, end: int) -> None:
        settings = self.settings
        where = (settings.sacctmgr, settings.cluster, start, end, settings.accounting_timeout_seconds)
        said = node_events.ask_events(*where), node_events.ask_reservations(*where)
        take = partial(collect.take_node_events, self.ledger, settings, *said, (start, end), now)
        self._hand_over("sacctmgr", take)

    def _reconcile(self, now: int) -> None:
        to_decide = reconcile.by_itself(self.settings, self.ledger.path, now)
        self._hand_over("reconcile", partial(self._take_reconciled, now, to_decide))

    def _take_reconciled(self, now: int, to_decide: dict[str, int]) -> None:
        with self.ledger.transaction() as db:
            asked.set_reconciled(db, self.settings.cluster, now, to_decide)
        if to_decide:
            log.warning("reconcile: to decide (`gpucost reconcile` shows it): %s", reconcile.words(to_decide))

    def _ask_slots(self, node: str) -> None:
        def work() -> None:
            try:
                gres = slurmd_gres.parse(slurmd_gres.ask(self.settings.slurmd, node))
            except Exception:
                self._done.put(partial(self._nodes.discard, node))  # its next event asks again
                raise
            self._done.put(partial(self._take_slots, node, gres))

        self._in_background(f"slurmd -G -N {node}", work)

    def _take_slots(self, node: str, gres: list[slurmd_gres.GresSlot]) -> None:
        said = sum(slot.name == "gpu" for slot in gres)
        known = slot_types(reports.latest_nodes(self.ledger.connection, self.settings.cluster).get(node, ""))
        if known and len(known) != said:  # 22.05 prints a MIG instance of several device files once for each of them
            self._say(
                f"slurmd -G -N {node}", f"{node}: slurmd lists {said} GPUs, the controller {len(known)}: not taken"
            )
            return
        slots = slurmd_gres.slots(self.settings.cluster, node, gres, self._devices, self.clock())
        try:
            collect.take_inventory(self.ledger, [], slots)
        except Exception:
            self._nodes.discard(node)  # its next event asks again
            raise
        self._slots = {slot: device for slot, device in self._slots.items() if slot[0] != node}
        self._slots |= {(node, slot.gres_index): slot.device for slot in slots if slot.device}


def _told(error: Exception) -> str:
    if isinstance(error, (GpucostError, OSError)):
        return str(error)
    return f"internal error: {type(error).__name__}: {error}"
