"""``gpucost jobs``: sacct's letters, and what they mean there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from slurm_gpucost.cli.options import (
    Accounts,
    Clusters,
    Config,
    Format,
    Json,
    Ledger,
    NoHeader,
    Parsable,
    Parsable2,
)

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


def jobs(
    ctx: typer.Context,
    allusers: Annotated[bool, typer.Option("-a", "--allusers", help="All users' jobs; root's default.")] = False,
    user: Annotated[
        list[str] | None,
        typer.Option("-u", "--user", "--uid", metavar="LIST", help="Jobs of these users; else your own."),
    ] = None,
    accounts: Accounts = None,
    jobs: Annotated[
        list[str] | None, typer.Option("-j", "--jobs", metavar="LIST", help="These jobs: 123, or a task: 123_4.")
    ] = None,
    starttime: Annotated[
        str | None, typer.Option("-S", "--starttime", metavar="TIME", help="From when on; midnight, by default.")
    ] = None,
    endtime: Annotated[
        str | None, typer.Option("-E", "--endtime", metavar="TIME", help="Until when; now, by default.")
    ] = None,
    state: Annotated[
        list[str] | None, typer.Option("-s", "--state", metavar="LIST", help="In these states, as sacct means it.")
    ] = None,
    partition: Annotated[
        list[str] | None, typer.Option("-r", "--partition", metavar="LIST", help="Only these partitions.")
    ] = None,
    clusters: Clusters = None,
    allclusters: Annotated[bool, typer.Option("-L", "--allclusters", help="Jobs of all clusters.")] = False,
    noheader: NoHeader = False,
    parsable: Parsable = False,
    parsable2: Parsable2 = False,
    format: Format = None,
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """Show attempts of jobs that overlap a time, whole, with the GPUs that they held.

    By default your own since midnight, as sacct does; -s and -j change the default times as they do there.
    """
    from slurm_gpucost.cli import jobids, states
    from slurm_gpucost.cli.options import now_ms, site, words
    from slurm_gpucost.cli.output import print_rows
    from slurm_gpucost.cli.run import emit_json
    from slurm_gpucost.documents import jobs as document
    from slurm_gpucost.documents.table import choose
    from slurm_gpucost.services import jobs as service
    from slurm_gpucost.services import names
    from slurm_gpucost.services.queries import open_queries

    found = site(ctx, config, ledger)
    zone = found.settings.timezone
    columns = choose(document.columns(zone), format or document.DEFAULT, "--format")
    ids = jobids.parse(words(jobs) or ())
    wanted_states = states.names(words(state) or ())
    start_ms, end_ms = window(starttime, endtime, bool(ids), bool(wanted_states), now_ms(), zone)
    chosen = words(clusters) or []
    every = allclusters or "all" in chosen
    users = _users(words(user), allusers)
    wanted = service.Filter(
        start_ms=start_ms,
        end_ms=end_ms,
        users=users,
        accounts=words(accounts),
        job_ids=[one.number for one in ids] or None,
        partitions=words(partition),
        clusters=None if every else chosen or [found.settings.cluster],
    )
    with open_queries(found.settings, found.ledger) as queries:
        names.check(queries, wanted.accounts, users if user else None)
        rows = service.jobs(found.settings, queries, wanted)
    if ids:
        rows = [row for row in rows if jobids.matches(row, ids)]
    if wanted_states:
        rows = [row for row in rows if states.matches(row, wanted_states, start_ms // 1000, end_ms // 1000)]
    if json:
        emit_json(rows)
    else:
        print_rows(columns, rows, noheader=noheader, parsable=parsable, parsable2=parsable2)


def window(
    start: str | None, end: str | None, by_id: bool, by_state: bool, now_ms: int, zone: ZoneInfo
) -> tuple[int, int]:
    """[start, end) in ms UTC, with the defaults of sacct(1), DEFAULT TIME WINDOW.

    As in Slurm, an end that is the start or now includes that second.
    """
    from slurm_gpucost.domain.errors import UsageError
    from slurm_gpucost.domain.timegrammar import parse_time

    now = now_ms // 1000 * 1000
    start_ms = None if start is None else parse_time(start, now_ms, zone, "-S")
    end_ms = None if end is None else parse_time(end, now_ms, zone, "-E")
    if by_state and end_ms is None and start_ms is not None:
        end_ms = start_ms
    if start_ms is None:
        start_ms = 0 if by_id else now if by_state else parse_time("midnight", now_ms, zone, "-S")
    if end_ms is None:
        end_ms = now
    if start_ms > end_ms:
        raise UsageError(f"-S {start or 'by default'} -E {end or 'by default'}: the start is after the end")
    return start_ms, end_ms + 1000 if end_ms in (start_ms, now) else end_ms


def _users(given: list[str] | None, everyone: bool) -> list[str] | None:
    """Names for names and numbers; without -u one's own, and for root all. None stands for all."""
    import os
    import pwd

    from slurm_gpucost.domain.errors import UsageError

    if everyone or given == ["-1"]:
        return None
    if given is None:
        return None if os.getuid() == 0 else [pwd.getpwuid(os.getuid()).pw_name]
    found: list[str] = []
    for name in given:
        try:
            found.append(pwd.getpwuid(int(name)).pw_name if name.isdigit() else name)
        except (KeyError, OverflowError):
            raise UsageError(f"-u {name}: no user has this number here; give the name") from None
    return found
