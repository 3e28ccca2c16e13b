"""What the daemon must still ask the accounting for, so that nothing it ever said is passed over."""

from __future__ import annotations

import logging

from slurm_gpucost.domain.units import OPEN_END_MS
from slurm_gpucost.ledger import asked, ingest
from slurm_gpucost.ledger.asked import Open, asked_until, last_current_poll
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services import collect
from slurm_gpucost.services.reservation_evidence import RESERVATIONS
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources.sacct import Slice

DAY_MS = 86_400_000
FIRST_LOOK_BACK_MS = DAY_MS
LOOK_BACK_EVERY_MS = DAY_MS
log = logging.getLogger("gpucostd")


class Accounting:
    """:meth:`window` says what to ask for, :meth:`take` takes the replies in. Both in the thread that writes."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        self._heard = False
        self._look_back_ms: int | None = None
        """From when on to ask for attempts that ended while nobody asked."""
        self._asked_from = OPEN_END_MS
        self._whole = False
        """The question goes through the whole look-back."""
        self._named: int | None = None
        """When the accounting last told what runs, before this question."""
        self._gone: dict[tuple[int, int], int] = {}
        """Attempts that are looked for -> when the accounting last named them."""

    def window(self, now_ms: int) -> tuple[int, int]:
        """[start, end) of the next question: from where the last complete answer reached, less the overlap."""
        cluster = self._settings.cluster
        overlap_ms = self._settings.accounting_overlap_seconds * 1000
        known = asked_until(self._ledger.connection, cluster)
        if known is None:
            before = last_current_poll(self._ledger.connection, cluster)  # a backfill's
            start = min(now_ms - FIRST_LOOK_BACK_MS, now_ms if before is None else before - overlap_ms)
        else:
            start = known - overlap_ms
        if self._look_back_ms is not None:
            start = min(start, self._look_back_ms)
        looked = asked.looked_back(self._ledger.connection, cluster)
        self._whole = known is None or now_ms - (looked or 0) >= LOOK_BACK_EVERY_MS
        if self._whole and known is not None:
            first = asked.first_asked(self._ledger.connection, cluster)
            start = min(start, max(now_ms - self._settings.accounting_look_back_days * DAY_MS, first or now_ms))
        self._asked_from = start
        self._named = last_current_poll(self._ledger.connection, cluster)
        return start, (now_ms // 1000 + 1) * 1000

    def events_window(self, now_ms: int) -> tuple[int, int]:
        """[start, end) to ask node events for: they can come late, so a day more than since the last answer."""
        known = asked.last_poll(self._ledger.connection, "sacctmgr", self._settings.cluster)
        far = now_ms - self._settings.accounting_look_back_days * DAY_MS
        return (far if known is None else known - DAY_MS), now_ms + 10_000

    def reservations_window(self, now_ms: int) -> tuple[int, int]:
        """[start, end) to ask reservations for: they are few, so all of the look-back each time, whoever asked last."""
        known = asked.last_poll(self._ledger.connection, RESERVATIONS, self._settings.cluster)
        far = now_ms - self._settings.accounting_look_back_days * DAY_MS
        return min(far, now_ms if known is None else known - DAY_MS), now_ms + 10_000

    def take(self, reply: Slice, now_ms: int, last: bool, lost: list[Slice]) -> collect.Taken:
        """One slice of a question. Only when none of them was ``lost`` need it not be asked again.

        Raises what :func:`slurm_gpucost.services.collect.take_accounting` raises; the slice is then lost.
        """
        try:
            until = now_ms if last and not lost else None
            taken = collect.take_accounting(
                self._ledger, self._settings, reply, now_ms, current=last, asked_until_ms=until
            )
        except Exception:
            lost.append(reply)
            raise
        if not taken.rows and not self._heard:
            log.warning("sacct: %s", collect.nothing_heard(self._settings.cluster))
        self._heard = True
        if until is not None:
            self._look_for(taken.gone, now_ms)
            if self._whole:
                with self._ledger.transaction() as db:
                    asked.set_looked_back(db, self._settings.cluster, now_ms)
        return taken

    def _look_for(self, gone: tuple[Open, ...], now_ms: int) -> None:
        """What ran when it was last named, and is not named now, ended meanwhile: ask from then on.

        Where the accounting was asked from then on and does not know it at all, it was purged or mended away; it must
        not count as running for ever.
        """
        named = {(x.job_id, x.submit_ms): max(x.seen_ms, self._named or 0) for x in gone}
        self._gone = {key: min(at_ms, self._gone.get(key, at_ms)) for key, at_ms in named.items()}
        lost = [(x, self._gone[x.job_id, x.submit_ms]) for x in gone if x.seen_ms >= self._asked_from]
        if lost:
            with self._ledger.transaction() as db:
                ingest.add_vanished(db, self._settings.cluster, lost, now_ms)
        self._look_back_ms = min((x.seen_ms for x in gone if x.seen_ms < self._asked_from), default=None)
