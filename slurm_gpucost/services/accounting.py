"""What the daemon must still ask the accounting for, so that nothing it ever said is passed over."""

from __future__ import annotations

import logging

from slurm_gpucost.ledger.ingest import Open, asked_until, last_current_poll
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services import collect
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources.sacct import Slice

FIRST_LOOK_BACK_MS = 86_400_000
log = logging.getLogger("gpucostd")


class Accounting:
    """:meth:`window` says what to ask for, :meth:`take` takes the replies in. Both in the thread that writes."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        self._heard = False
        self._look_back_ms: int | None = None
        """From when on to ask for attempts that ended while nobody asked; each is looked for once."""
        self._looked_for: set[tuple[int, int]] = set()

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
        return start, (now_ms // 1000 + 1) * 1000

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
            self._look_for(taken.gone)
        return taken

    def _look_for(self, gone: tuple[Open, ...]) -> None:
        """What a saved file, or a backfill of long ago, has as running would else count as running for ever."""
        fresh = [one for one in gone if (one.job_id, one.submit_ms) not in self._looked_for]
        self._looked_for.update((one.job_id, one.submit_ms) for one in fresh)
        self._look_back_ms = min((one.seen_ms for one in fresh), default=None)
