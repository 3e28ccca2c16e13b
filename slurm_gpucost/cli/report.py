"""``gpucost report``: sreport's words and letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from slurm_gpucost.cli.options import Clusters, Config, Json, Ledger, NoHeader, Parsable, Parsable2

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


def report(
    ctx: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="cluster AccountUtilizationByUser|Utilization [KEY=VALUE]...",
            help="KEY is start, end, accounts, users, clusters or format. Names may be cut short, in any case.",
        ),
    ],
    all_clusters: Annotated[bool, typer.Option("-a", "--all_clusters", help="All clusters, not the config's.")] = False,
    clusters: Clusters = None,
    noheader: NoHeader = False,
    parsable: Parsable = False,
    parsable2: Parsable2 = False,
    time_format: Annotated[
        str, typer.Option("-t", metavar="FORMAT", help="Seconds, Minutes or Hours of GPU time.")
    ] = "Minutes",
    tres: Annotated[
        str | None,
        typer.Option(
            "-T", "--tres", metavar="LIST", help="gres/gpu, energy (kWh and CO2e of the jobs, beside) or ALL."
        ),
    ] = None,
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """Report GPU time by account and user with an estimate of its cost, or a cluster's allocated and idle time.

    By default all of yesterday, as sreport does; unlike there, start and end need not be whole hours.
    """
    from slurm_gpucost.cli.options import now_ms, site
    from slurm_gpucost.cli.options import words as listed
    from slurm_gpucost.cli.output import print_rows
    from slurm_gpucost.cli.run import emit_json
    from slurm_gpucost.cli.words import UTILIZATION, parse
    from slurm_gpucost.documents import report as document
    from slurm_gpucost.documents.table import choose
    from slurm_gpucost.domain.errors import UsageError
    from slurm_gpucost.services import names
    from slurm_gpucost.services import report as service
    from slurm_gpucost.services.queries import open_queries
    from slurm_gpucost.services.utilization import utilization

    asked = parse(words)
    unit = _unit(time_format)
    with_energy = _energy(tres)
    found = site(ctx, config, ledger)
    settings = found.settings
    if asked.report == UTILIZATION:
        if asked.names("accounts") or asked.names("users"):
            raise UsageError("report cluster Utilization: it is of whole clusters; leave accounts= and users=")
        every_column, usual = document.utilization_columns(unit), document.UTILIZATION_DEFAULT
    else:
        every_column, usual = document.columns(unit, _proper_name), document.DEFAULT
        if with_energy:
            usual += "," + document.ENERGY
    columns = choose(every_column, asked.format or usual, "format=")
    with_energy |= any(column.name in document.ENERGY.split(",") for column in columns)
    start_ms, end_ms = window(asked.start, asked.end, now_ms(), settings.timezone)
    chosen = (listed(clusters) or []) + (asked.names("clusters") or [])
    every = all_clusters or asked.all_clusters or "all" in chosen
    with open_queries(settings, found.ledger) as queries:
        names.check(queries, asked.names("accounts"), asked.names("users"))
        which = None if every else chosen or [settings.cluster]
        if asked.report == UTILIZATION:
            rows = utilization(settings, queries, start_ms, end_ms, which)
        else:
            rows = service.account_utilization_by_user(
                settings, queries, start_ms, end_ms, asked.names("accounts"), asked.names("users"), which, with_energy
            )
    if json:
        emit_json(rows)
        return
    heading = document.utilization_heading if asked.report == UTILIZATION else document.heading
    above = heading(start_ms // 1000, end_ms // 1000, unit, settings.currency, settings.timezone)
    print_rows(columns, rows, noheader=noheader, parsable=parsable, parsable2=parsable2, above=above)


def window(start: str | None, end: str | None, now_ms: int, zone: ZoneInfo) -> tuple[int, int]:
    """[start, end) in ms UTC: yesterday by default; an end yet to come is now, as in sreport."""
    from slurm_gpucost.domain.errors import UsageError
    from slurm_gpucost.domain.timegrammar import parse_time

    start_ms = parse_time(start or "yesterday", now_ms, zone, "start=")
    end_ms = min(parse_time(end or "today", now_ms, zone, "end="), now_ms // 1000 * 1000)
    if start_ms >= end_ms:
        raise UsageError(f"start={start or 'yesterday'} end={end or 'today'}: the start is not before the end")
    return start_ms, end_ms


def _unit(text: str) -> str:
    from slurm_gpucost.documents.report import UNITS
    from slurm_gpucost.domain.errors import UsageError

    for unit in UNITS:
        if text and unit.casefold().startswith(text.casefold()):
            return unit
    why = "its percentages need the capacity of the time, which is not kept yet; " if "per" in text.casefold() else ""
    raise UsageError(f"-t {text}: {why}there are {', '.join(UNITS)}")


def _energy(text: str | None) -> bool:
    """Whether energy is among the TRES."""
    from slurm_gpucost.domain.errors import UsageError

    asked = {name.strip().casefold() for name in (text or "").split(",") if name.strip()}
    if unknown := sorted(asked - {"all", "gres/gpu", "energy"}):
        raise UsageError(f"-T {unknown[0]}: gres/gpu and energy are kept here; ask sreport for others")
    return bool(asked & {"all", "energy"})


def _proper_name(login: str) -> str:
    import pwd

    try:
        return pwd.getpwnam(login).pw_gecos.split(",")[0]
    except KeyError:
        return ""
