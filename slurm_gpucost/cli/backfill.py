"""``gpucost backfill``."""

from __future__ import annotations

import io
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from slurm_gpucost.cli.options import Config, Json, Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slurm_gpucost.cli.options import Site
    from slurm_gpucost.cli.progress import Progress
    from slurm_gpucost.services.backfill import Result

_SHOWN = 20
"""Broken rows told one by one; the rest is counted."""


def backfill(
    ctx: typer.Context,
    starttime: Annotated[str | None, typer.Option("-S", "--starttime", metavar="TIME", help="From when on.")] = None,
    endtime: Annotated[str, typer.Option("-E", "--endtime", metavar="TIME", help="Until when.")] = "now",
    from_file: Annotated[
        str | None, typer.Option("--from-file", metavar="FILE", help="Read saved sacct output; - is stdin.")
    ] = None,
    observed_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="When the file was saved; else its time of change, for - now.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Zone of the file's times; else the config's.")
    ] = None,
    print_command: Annotated[
        bool,
        typer.Option(
            "--print-command",
            help="Print the sacct command line that writes such a file safely; without -S, of 30 days.",
        ),
    ] = False,
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """Take in history from the accounting alone: ask sacct, or read its saved output. Safe to repeat."""
    from slurm_gpucost.cli.options import now_ms, site
    from slurm_gpucost.cli.progress import bar
    from slurm_gpucost.cli.run import emit
    from slurm_gpucost.domain.errors import UsageError
    from slurm_gpucost.domain.timegrammar import parse_time
    from slurm_gpucost.services import backfill as service

    found = site(ctx, config, ledger)
    if from_file is not None:
        if starttime is not None or print_command:
            raise UsageError("--from-file: a file is read whole; leave -S and --print-command")
        with bar() as progress:
            result = _from_file(found, from_file, observed_at, timezone, progress)
        _finish(result, "stdin" if from_file == "-" else from_file, json)
        return
    zone = found.settings.timezone
    if starttime is None:
        if not print_command:
            raise UsageError("-S: say from when on, like -S 2026-10-01, or give --from-file")
        starttime = "now-30days"
    start_ms = parse_time(starttime, now_ms(), zone, "-S")
    end_ms = parse_time(endtime, now_ms(), zone, "-E")
    if start_ms >= end_ms:
        raise UsageError(f"-S {starttime} -E {endtime}: the start is not before the end")
    if print_command:
        emit(service.print_command(found.settings, start_ms, end_ms) + "\n")
        return
    from slurm_gpucost.ledger.store import open_ledger

    with open_ledger(found.ledger) as opened, bar() as progress:
        result = service.from_sacct(found.settings, opened, start_ms, end_ms, progress)
    _finish(result, "sacct", json)


def _from_file(found: Site, name: str, observed_at: str | None, timezone: str | None, progress: Progress) -> Result:
    from slurm_gpucost.cli.options import now_ms
    from slurm_gpucost.domain.errors import UsageError
    from slurm_gpucost.domain.timegrammar import parse_time
    from slurm_gpucost.ledger.store import open_ledger
    from slurm_gpucost.services import backfill as service
    from slurm_gpucost.settings.kinds import zone as zone_named

    zone = found.settings.timezone
    if timezone is not None:
        try:
            zone = zone_named(timezone)
        except ValueError as error:
            raise UsageError(f"--timezone: {error}") from None
    path = None if name == "-" else Path(name)
    if observed_at is not None:
        seen_ms = parse_time(observed_at, now_ms(), found.settings.timezone, "--observed-at")
    with _opened(path) as stream:
        if observed_at is None:
            seen_ms = service.file_time_ms(path) if path else now_ms()
        size = path.stat().st_size if path else None
        with open_ledger(found.ledger) as opened:
            return service.from_file(
                found.settings, opened, stream, name if path else "stdin", zone, seen_ms, progress, size
            )


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    """The text, ended by newlines alone; bytes that are no UTF-8 become escapes, so that one name spoils no file."""
    from slurm_gpucost.domain.errors import UsageError

    if path is None:
        stream = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", errors="backslashreplace", newline="\n")
        yield stream
        stream.detach()
        return
    try:
        file = path.open(encoding="utf-8", errors="backslashreplace", newline="\n")
    except OSError as error:
        raise UsageError(f"--from-file {path}: cannot be read ({error.strerror})") from error
    with file:
        yield file


def _finish(result: Result, source: str, json: bool) -> None:
    from slurm_gpucost.cli.run import emit, emit_json, note

    for warning in result.warnings:
        note(warning)
    for line, reason in result.broken[:_SHOWN]:
        note(f"{source}: line {line}: {reason}" if source != "sacct" else f"sacct: record {line} of a reply: {reason}")
    if len(result.broken) > _SHOWN:
        note(f"{source}: and {len(result.broken) - _SHOWN} more broken rows")
    for failure in result.failed:
        note(failure)
    if json:
        broken = [{"line": line, "reason": reason} for line, reason in result.broken]
        emit_json(
            {
                "rows": result.rows, "new": result.new, "jobs": result.jobs,
                "broken": broken, "failed": result.failed, "warnings": result.warnings,
            }
        )  # fmt: skip
    else:
        aside = f", {len(result.broken)} set aside" if result.broken else ""
        missing = f", {len(result.failed)} slices missing: run it again" if result.failed else ""
        emit(f"{result.rows} rows read, {result.new} of them new; {result.jobs} jobs projected{aside}{missing}\n")
    if result.broken or result.failed:
        raise typer.Exit(1)
