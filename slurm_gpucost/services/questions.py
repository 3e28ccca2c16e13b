"""What the daemon asks Slurm, when, and what it does with the answers. Threads ask; whoever writes takes in."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from slurm_gpucost.ledger import asked
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services import collect, reconcile
from slurm_gpucost.services.accounting import Accounting
from slurm_gpucost.services.background import Background
from slurm_gpucost.services.reservation_evidence import RESERVATIONS, take_node_cpus, take_reservations
from slurm_gpucost.services.rights_evidence import RIGHTS, take_rights
from slurm_gpucost.services.trouble import Trouble, told
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources import associations, node_events, nodes, reservations, sacct, scontrol, slurm_rights
from slurm_gpucost.sources.sacct import Slice

RECONCILE = "reconcile"
RECONCILE_AFTER_MS = 600_000
"""After the start, when witnesses have been heard; then once a day."""
RECONCILE_EVERY_SECONDS = 86_400
ACCOUNTS_EVERY_SECONDS = 86_400
RIGHTS_EVERY_SECONDS = 600
log = logging.getLogger("gpucostd")


class Questions:
    """``clock`` gives ms UTC. All methods are of the thread that writes; what is asked for is decided there."""

    def __init__(
        self, settings: Settings, ledger: Ledger, clock: Callable[[], int], background: Background, trouble: Trouble
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._background = background
        self._trouble = trouble
        self._accounting = Accounting(settings, ledger)
        self._due = {"sacct": 0, "sacctmgr": 0, "accounts": 0, "scontrol": 0, RECONCILE: clock() + RECONCILE_AFTER_MS}
        self._due[RESERVATIONS] = self._due[RIGHTS] = 0

    def ask_due(self) -> None:
        """Ask what is due and not under way."""
        settings = self._settings
        self._when_due("sacct", settings.accounting_interval_seconds, self._to_accounting)
        self._when_due("sacctmgr", settings.accounting_interval_seconds, self._about_nodes)
        if settings.billing.bill_reservations:
            self._when_due(RESERVATIONS, settings.accounting_interval_seconds, self._about_reservations)
        self._when_due("accounts", ACCOUNTS_EVERY_SECONDS, lambda now: partial(self._ask_of_accounts, now))
        self._when_due(RIGHTS, RIGHTS_EVERY_SECONDS, lambda now: partial(self._ask_of_rights, now))
        self._when_due(RECONCILE, RECONCILE_EVERY_SECONDS, lambda now: partial(self._reconcile, now))
        if settings.controller_enabled:
            self._when_due("scontrol", settings.controller_interval_seconds, self._to_controller)

    def failed(self, name: str, error: Exception) -> None:
        """A question got no answer: the ledger notes it."""
        if name in self._due and name != RECONCILE:
            collect.take_failure(self._ledger, self._settings, name, self._clock(), told(error))
        if name == "accounts":  # not in a day only
            self._due[name] = self._clock() + self._settings.accounting_interval_seconds * 1000

    def _when_due(self, name: str, interval_seconds: int, question: Callable[[int], Callable[[], None]]) -> None:
        now, interval_ms = self._clock(), interval_seconds * 1000
        waits = now < self._due[name] <= now + interval_ms  # where the clock went back it is due at once
        if not waits and not self._background.busy(name):
            self._due[name] = now + interval_ms
            self._background.run(name, question(now))

    def _hand_over(self, name: str, take: Callable[[], Any]) -> None:
        def run() -> None:
            taken = take()
            if isinstance(taken, collect.Taken) and taken.broken:
                self._trouble.say(name, f"{len(taken.broken)} rows set aside; the first: {taken.broken[0][1]}")
            else:
                self._trouble.say(name, "")

        self._background.hand_over(run)

    def _to_accounting(self, now: int) -> Callable[[], None]:
        """The window is made here: threads do not read the ledger."""
        return partial(self._ask_accounting, now, *self._accounting.window(now))

    def _ask_accounting(self, now: int, start: int, end: int) -> None:
        settings = self._settings
        run = sacct.runner(settings.accounting_timeout_seconds)
        lost: list[Slice] = []
        for low, high in sacct.slices(start, end, settings.accounting_slice_hours * 3_600_000):
            for reply in sacct.fetch(run, settings.sacct, settings.cluster, low, high):
                self._hand_over("sacct", partial(self._accounting.take, reply, now, reply.end_ms >= end, lost))

    def _to_controller(self, now: int) -> Callable[[], None]:
        return partial(self._ask_controller, now)

    def _ask_controller(self, now: int) -> None:
        settings, ledger = self._settings, self._ledger
        jobs = scontrol.ask(settings.scontrol, settings.squeue, settings.controller_timeout_seconds)
        self._hand_over("scontrol", partial(collect.take_controller, ledger, settings, jobs, now))
        listed = nodes.ask(settings.scontrol, settings.controller_timeout_seconds)
        self._hand_over("scontrol", partial(collect.take_nodes, ledger, settings, listed, now))

    def _about_nodes(self, now: int) -> Callable[[], None]:
        """The window is made here: threads do not read the ledger."""
        return partial(self._ask_about_nodes, now, *self._accounting.events_window(now))

    def _ask_about_nodes(self, now: int, start: int, end: int) -> None:
        settings = self._settings
        where = (settings.sacctmgr, settings.cluster, start, end, settings.accounting_timeout_seconds)
        said = node_events.ask_events(*where), node_events.ask_reservations(*where)
        take = partial(collect.take_node_events, self._ledger, settings, *said, (start, end), now)
        self._hand_over("sacctmgr", take)

    def _about_reservations(self, now: int) -> Callable[[], None]:
        """The window is made here: threads do not read the ledger."""
        return partial(self._ask_about_reservations, now, self._accounting.reservations_window(now))

    def _ask_about_reservations(self, now: int, window: tuple[int, int]) -> None:
        """How many CPUs nodes have says whether a reservation is of whole nodes."""
        settings, ledger, timeout = self._settings, self._ledger, self._settings.accounting_timeout_seconds
        said = reservations.ask(settings.sacctmgr, settings.cluster, *window, timeout, now)
        take = partial(take_reservations, ledger, settings, said, window, now, current=True)
        self._hand_over(RESERVATIONS, take)
        if settings.controller_enabled:
            listed = nodes.ask(settings.scontrol, settings.controller_timeout_seconds)
            self._hand_over(
                RESERVATIONS,
                partial(take_node_cpus, ledger, settings, listed, now),
            )

    def _ask_of_accounts(self, now: int) -> None:
        settings = self._settings
        told = associations.ask(settings.sacctmgr, settings.accounting_timeout_seconds)
        self._hand_over("accounts", partial(collect.take_accounts, self._ledger, settings, told, now))

    def _ask_of_rights(self, now: int) -> None:
        settings = self._settings
        told = slurm_rights.ask(settings.sacctmgr, settings.cluster, settings.accounting_timeout_seconds)
        self._hand_over(RIGHTS, partial(take_rights, self._ledger, settings, told, now))

    def _reconcile(self, now: int) -> None:
        to_decide = reconcile.by_itself(self._settings, self._ledger.path, now)
        self._hand_over(RECONCILE, partial(self._take_reconciled, now, to_decide))

    def _take_reconciled(self, now: int, to_decide: dict[str, int]) -> None:
        with self._ledger.transaction() as db:
            asked.set_reconciled(db, self._settings.cluster, now, to_decide)
        if to_decide:
            log.warning("reconcile: to decide (`gpucost reconcile` shows it): %s", reconcile.words(to_decide))
