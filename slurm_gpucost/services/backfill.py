"""History from accounting alone: from sacct, slice by slice, or from a saved file of its output."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO
from zoneinfo import ZoneInfo

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.domain.evidence import AccountingRow, Poll
from slurm_gpucost.ledger import asked, ingest
from slurm_gpucost.ledger.projector import bring_up_to_date, pending
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services import collect
from slurm_gpucost.services.reservation_evidence import RESERVATIONS, take_node_cpus, take_reservations
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources import nodes, reservations, sacct
from slurm_gpucost.sources.accounting_text import (
    FREE_TEXT,
    HeaderError,
    columns_of,
    make_parser,
    separator_of,
)
from slurm_gpucost.sources.accounting_times import BrokenRow

CURRENT_MS = 60_000
"""A window that ends within this of the time of asking tells the state of now."""
Progress = Callable[[str, int, int | None], None]
"""Called with (what is done, done, of how many or None)."""


@dataclass
class Result:
    """What a backfill did."""

    rows: int = 0
    new: int = 0
    jobs: int = 0
    broken: list[tuple[int, str]] = field(default_factory=list)
    """(line, reason); the rows are set aside in the ledger."""
    failed: list[str] = field(default_factory=list)
    """Slices that could not be asked."""
    warnings: list[str] = field(default_factory=list)


def from_sacct(
    settings: Settings,
    ledger: Ledger,
    start_ms: int,
    end_ms: int,
    progress: Progress,
    runner: sacct.Runner | None = None,
) -> Result:
    """Ask sacct for [start, end), and slurmdbd for its reservations where they are billed. A slice that fails is
    reported and the rest goes on; safe to repeat."""
    result = Result()
    run = runner or sacct.runner(settings.accounting_timeout_seconds)
    total = end_ms - start_ms
    for low, high in sacct.slices(start_ms, end_ms, settings.accounting_slice_hours * 3_600_000):
        try:
            for reply in sacct.fetch(run, settings.sacct, settings.cluster, low, high):
                now = int(time.time() * 1000)
                current = reply.end_ms >= now - CURRENT_MS
                taken = collect.take_accounting(ledger, settings, reply, now, current=current)
                result.rows += taken.rows
                result.new += taken.new
                result.broken += taken.broken
        except SourceError as error:
            if low == start_ms and not result.rows and "not found" in str(error):
                raise
            result.failed.append(str(error))
            collect.take_failure(ledger, settings, "sacct", int(time.time() * 1000), str(error))
        progress("asking sacct", high - start_ms, total)
    if not result.rows and not result.failed:
        result.warnings.append(f"sacct: {collect.nothing_heard(settings.cluster)}")
    if settings.billing.bill_reservations:
        _reservations(settings, ledger, (start_ms, end_ms), result)
    result.jobs = _project(ledger, settings, progress)
    return result


def _reservations(settings: Settings, ledger: Ledger, window: tuple[int, int], result: Result) -> None:
    now = int(time.time() * 1000)
    timeout, current = settings.accounting_timeout_seconds, window[1] >= now - CURRENT_MS
    try:
        said = reservations.ask(settings.sacctmgr, settings.cluster, *window, timeout, now)
        take_reservations(ledger, settings, said, window, now, current=current)
        if settings.controller_enabled:
            listed = nodes.ask(settings.scontrol, settings.controller_timeout_seconds)
            take_node_cpus(ledger, settings, listed, now)
    except SourceError as error:
        result.failed.append(str(error))
        collect.take_failure(ledger, settings, RESERVATIONS, now, str(error))


def from_file(
    settings: Settings,
    ledger: Ledger,
    stream: TextIO,
    name: str,
    zone: ZoneInfo,
    observed_at_ms: int,
    progress: Progress,
    size: int | None = None,
) -> Result:
    """Read saved sacct output. Broken rows are set aside with their line number, the rest goes in."""
    header = stream.readline()
    if not header.strip():
        raise HeaderError(f"{name}: is empty; its first line must be sacct's header (no --noheader)")
    columns = columns_of(header)
    try:
        parse = make_parser(columns, cluster=settings.cluster, zone=zone, observed_at_ms=observed_at_ms, current=False)
    except HeaderError as error:
        raise HeaderError(f"{name}: line 1: {error}") from None
    result = Result()
    free = [column for column in columns if column in FREE_TEXT]
    if free:
        result.warnings.append(
            f"{name}: has {', '.join(free)}: text that users write, which could forge rows; "
            "`gpucost backfill --print-command` prints a command line without it"
        )
    separator, width, read = separator_of(header), len(columns), len(header)
    last_is_text = columns[-1] in FREE_TEXT
    raw: dict[int, str] = {}

    def rows() -> Iterator[AccountingRow]:
        nonlocal read
        for number, line in enumerate(stream, 2):
            read += len(line)
            stripped = line.rstrip("\r\n")
            if not stripped:
                continue
            try:
                row = parse(stripped.split(separator, width - 1 if last_is_text else -1))
            except BrokenRow as error:
                result.broken.append((number, str(error)))
                raw[number] = stripped
                continue
            if row is not None:
                yield row

    for count, new in collect.take_rows(ledger, rows()):
        result.rows += count
        result.new += new
        progress("reading", read, size)
    with ledger.transaction() as db:
        for number, reason in result.broken:
            ingest.set_aside(db, "sacct", name, number, reason, raw[number].encode(), observed_at_ms)
        poll = Poll(
            "sacct",
            settings.cluster,
            observed_at_ms,
            None,
            None,
            result.rows,
            result.new,
            1,
            0,
            f"file {name}",
        )
        asked.add_poll(db, poll)
    result.jobs = _project(ledger, settings, progress)
    return result


def _project(ledger: Ledger, settings: Settings, progress: Progress) -> int:
    total = pending(ledger.connection)
    return bring_up_to_date(ledger, settings.shards, lambda done: progress("projecting", done, total))


def print_command(settings: Settings, start_ms: int, end_ms: int) -> str:
    """A sacct command line for a shell, that writes a file which :func:`from_file` reads safely."""
    return sacct.shell_command(settings.sacct, settings.cluster, start_ms, end_ms)


def file_time_ms(path: Path) -> int:
    """A saved file's time of observation: when it was written."""
    return path.stat().st_mtime_ns // 1_000_000
