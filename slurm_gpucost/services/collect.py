"""Takes in what witnesses say. The daemon, the backfill and the demo go through here, for reservations through
:mod:`slurm_gpucost.services.reservation_evidence`, what nodes send through :mod:`slurm_gpucost.services.intake`.

Each function is one durable transaction, safe to repeat; projection follows in transactions of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.domain.evidence import (
    AccountingRow,
    AccountReport,
    DeviceReport,
    HookEvent,
    NodeReport,
    Poll,
    SlotReport,
)
from slurm_gpucost.domain.occupancy import DeviceProcess, MigInstance
from slurm_gpucost.domain.windows import Window
from slurm_gpucost.ledger import asked, ingest, measured, reports
from slurm_gpucost.ledger.projector import bring_up_to_date
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources import associations, node_events, nodes, scontrol
from slurm_gpucost.sources.accounting_text import cut, make_parser
from slurm_gpucost.sources.accounting_times import BrokenRow
from slurm_gpucost.sources.sacct import Slice
from slurm_gpucost.sources.spool import BadEvent, SpoolFile, to_event

BATCH_ROWS = 5_000


class Taken(NamedTuple):
    """What came of taking something in."""

    rows: int
    new: int
    broken: list[tuple[int, str]]
    """(line or record number, reason) of what was set aside."""
    gone: tuple[asked.Open, ...] = ()
    """Attempts that the ledger has as not ended and a reply that tells the state of now does not name."""


def take_events(ledger: Ledger, settings: Settings, files: Iterable[SpoolFile], now_ms: int) -> list[HookEvent]:
    """Event files, durably; what cannot be read is set aside whole. The caller discards the files afterwards."""
    events: list[HookEvent] = []
    with ledger.transaction() as db:
        for file in files:
            try:
                events.append(to_event(file.content, file.at_ms, settings.cluster))
            except BadEvent as error:
                ingest.set_aside(db, "hook", file.path.name, None, str(error), file.content, now_ms)
        ingest.add_hooks(db, events)
    return events


def take_accounting(
    ledger: Ledger,
    settings: Settings,
    reply: Slice,
    observed_at_ms: int,
    *,
    current: bool,
    asked_until_ms: int | None = None,
) -> Taken:
    """One reply of sacct. ``current``: its window reaches to the time of asking.

    ``asked_until_ms``: with this reply all is taken in up to then, so the daemon need not ask for it again. Raises
    SourceError for a reply that does not hold whole records; it is set aside, and must be asked for again.
    """
    broken: list[tuple[int, str]] = []
    rows: list[AccountingRow] = []
    try:
        records = list(cut(reply.text, reply.separator))
    except BrokenRow as error:
        with ledger.transaction() as db:
            ingest.set_aside(db, "sacct", "reply", None, str(error), reply.text.encode(), observed_at_ms)
        raise SourceError(str(error)) from None
    with ledger.transaction() as db:
        if records:
            parse = make_parser(
                records[0],
                cluster=settings.cluster,
                zone=ZoneInfo("UTC"),
                observed_at_ms=observed_at_ms,
                current=current,
            )
            for number, parts in enumerate(records[1:], 1):
                try:
                    row = parse(list(parts))
                except BrokenRow as error:
                    broken.append((number, str(error)))
                    content = reply.separator.join(parts).encode()
                    ingest.set_aside(db, "sacct", "reply", number, str(error), content, observed_at_ms)
                else:
                    if row is not None:
                        rows.append(row)
        new = ingest.add_accounting(db, rows)
        ingest.forget_vanished(db, rows)
        window = (reply.start_ms, reply.end_ms)
        poll = Poll("sacct", settings.cluster, observed_at_ms, *window, len(rows), new, 1, int(current), "")
        asked.add_poll(db, poll)
        if asked_until_ms is not None:
            asked.set_asked_until(db, settings.cluster, asked_until_ms)
        named = {(row.job_id, row.submit_ms) for row in rows}
        still_open = asked.open_attempts(db, settings.cluster) if current else []
    return Taken(len(rows), new, broken, tuple(one for one in still_open if (one.job_id, one.submit_ms) not in named))


def nothing_heard(cluster: str) -> str:
    """What to say when sacct has no rows: for a cluster that it does not know it answers nothing, and no error."""
    return f"no jobs of cluster '{cluster}' in that time; is that its name? `sacctmgr show cluster` lists them"


def take_failure(ledger: Ledger, settings: Settings, witness: str, observed_at_ms: int, why: str) -> None:
    """Note that a witness did not answer."""
    with ledger.transaction() as db:
        asked.add_poll(db, Poll(witness, settings.cluster, observed_at_ms, None, None, 0, 0, 0, 0, why[:2000]))


def take_controller(ledger: Ledger, settings: Settings, told: scontrol.Asked, observed_at_ms: int) -> Taken:
    """One reply of ``scontrol show job -d``."""
    reply = scontrol.parse(told, settings.cluster, observed_at_ms)
    doubt = f"records of jobs {', '.join(map(str, reply.doubtful[:20]))} not taken" if reply.doubtful else ""
    with ledger.transaction() as db:
        new = ingest.add_controller(db, reply.rows)
        poll = Poll("scontrol", settings.cluster, observed_at_ms, None, None, len(reply.rows), new, 1, 1, doubt)
        asked.add_poll(db, poll)
    return Taken(len(reply.rows), new, [(job, "not taken: some of it stands twice") for job in reply.doubtful])


def take_nodes(ledger: Ledger, settings: Settings, text: str, observed_at_ms: int) -> int:
    """One reply of ``scontrol show node``; how many nodes have something else than before, or are gone."""
    listed = nodes.parse(text, settings.cluster, observed_at_ms)
    with ledger.transaction() as db:
        before = reports.latest_nodes(db, settings.cluster)
        gone = {node for node, gres in before.items() if gres} - {report.node for report in listed}
        changed = [report for report in listed if before.get(report.node) != report.gres]
        changed += [NodeReport(settings.cluster, node, observed_at_ms, "") for node in sorted(gone)]
        return reports.add_nodes(db, changed)


def take_node_events(
    ledger: Ledger, settings: Settings, events: str, reservations: str, window: tuple[int, int], observed_at_ms: int
) -> Taken:
    """What slurmdbd says of when nodes were out of use."""
    rows = node_events.parse_events(events, observed_at_ms)
    rows += node_events.parse_reservations(reservations, observed_at_ms)
    with ledger.transaction() as db:
        new = reports.add_node_events(db, rows)
        poll = Poll("sacctmgr", settings.cluster, observed_at_ms, *window, len(rows), new, 1, 1, "")
        asked.add_poll(db, poll)
    return Taken(len(rows), new, [])


def take_accounts(
    ledger: Ledger, settings: Settings, told: Iterable[associations.Account], observed_at_ms: int
) -> Taken:
    """What sacctmgr says of accounts. Those it does not list any more are gone, unless it does not show us all."""
    said = [
        AccountReport(settings.cluster, one.name, observed_at_ms, one.description, one.organization) for one in told
    ]
    listed = {report.account for report in said}
    with ledger.transaction() as db:
        before = reports.listed_accounts(db, settings.cluster, observed_at_ms)
        gone = before - listed if associations.ROOT in listed else set()
        said += [AccountReport(settings.cluster, name, observed_at_ms, None, None) for name in sorted(gone)]
        new = reports.add_accounts(db, said)
        poll = Poll("accounts", settings.cluster, observed_at_ms, None, None, len(listed), new, 1, 1, "")
        asked.add_poll(db, poll)
    return Taken(len(listed), new, [])


def take_inventory(ledger: Ledger, devices: Iterable[DeviceReport], slots: Iterable[SlotReport]) -> None:
    """What the driver and the nodes say of devices and of the GRES indexes that they are."""
    with ledger.transaction() as db:
        reports.add_devices(db, devices)
        reports.add_slots(db, slots)


def take_measured(
    ledger: Ledger,
    windows: Iterable[Window],
    layouts: Iterable[MigInstance] = (),
    processes: Iterable[DeviceProcess] = (),
) -> None:
    """What the driver measured, and what it lists on its devices."""
    with ledger.transaction() as db:
        measured.add_windows(db, windows)
        measured.add_layouts(db, layouts)
        measured.add_processes(db, processes)


def take_rows(ledger: Ledger, rows: Iterable[AccountingRow]) -> Iterator[tuple[int, int]]:
    """Accounting rows in batches of one transaction each: yields (rows, new) after each batch."""
    source = iter(rows)
    while batch := list(islice(source, BATCH_ROWS)):
        with ledger.transaction() as db:
            new = ingest.add_accounting(db, batch)
        yield len(batch), new


def project(ledger: Ledger, settings: Settings, batches: int | None = None) -> int:
    """Bring attempts and leases up to date, in at most so many batches; the number of jobs that were looked at."""
    return bring_up_to_date(ledger, settings.shards, batches=batches)
