"""Takes in what is said of reservations, and of nodes' CPUs, which alone tell whether a reservation is of whole nodes.

As in :mod:`slurm_gpucost.services.collect`, each function is one durable transaction, safe to repeat.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from slurm_gpucost.domain.evidence import Poll, ReservationReport
from slurm_gpucost.ledger import asked, reports
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services.collect import Taken
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources import nodes

RESERVATIONS = "reservations"
"""The witness that is asked for them."""


def take_reservations(
    ledger: Ledger, settings: Settings, said: Iterable[ReservationReport], window: tuple[int, int], observed_at_ms: int,
    *, current: bool,
) -> Taken:  # fmt: skip
    """What slurmdbd says of the reservations that touch ``window``. ``current``: it reaches to the time of asking.

    A row that lasted at the last look and is not there any more ended then: it was deleted before it began, or moved.
    An association that slurmdbd knows no more is of the account that it was of.
    """
    with ledger.transaction() as db:
        looked = asked.last_poll(db, RESERVATIONS, settings.cluster) or 0
        before = {(one.id, one.start_ms): one for one in reports.latest_reservations(db, settings.cluster)}
        known = [_with_accounts(one, before.get((one.id, one.start_ms))) for one in said]
        there = {(one.id, one.start_ms) for one in known}
        gone = [
            one._replace(end_ms=max(one.start_ms, last), listed=0, observed_at_ms=observed_at_ms)
            for key, one in before.items()
            for last in [max(looked, one.observed_at_ms)]
            if current and key not in there and one.end_ms > max(last, window[0]) and one.start_ms < window[1]
        ]
        new = reports.add_reservations(db, [*known, *gone])
        poll = Poll(RESERVATIONS, settings.cluster, observed_at_ms, *window, len(known), new, 1, int(current), "")
        asked.add_poll(db, poll)
    return Taken(len(known), new, [])


def take_node_cpus(ledger: Ledger, settings: Settings, listed: str, observed_at_ms: int) -> int:
    """What ``scontrol show node`` says of CPUs; of how many nodes it is something else than before."""
    with ledger.transaction() as db:
        return reports.add_node_cpus(db, nodes.parse_cpus(listed, settings.cluster, observed_at_ms))


def _with_accounts(said: ReservationReport, before: ReservationReport | None) -> ReservationReport:
    same = before is not None and before.associations == said.associations and "" in json.loads(said.accounts)
    return said._replace(accounts=before.accounts) if before and same else said
