"""``gpucost report``: sreport's words and letters."""

from __future__ import annotations

from typing import Annotated

import typer

from slurm_gpucost.cli.options import Clusters, Collector, Config, Json, Ledger, NoHeader, Parsable, Parsable2


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
    collector: Collector = None,
    json: Json = False,
) -> None:
    """Report GPU time by account and user with an estimate of its cost, or a cluster's allocated and idle time.

    By default all of yesterday, as sreport does; unlike there, start and end need not be whole hours.
    """
    from zoneinfo import ZoneInfo

    from slurm_gpucost.cli.asking import ask
    from slurm_gpucost.cli.options import words as listed
    from slurm_gpucost.cli.output import print_rows
    from slurm_gpucost.cli.run import emit_json
    from slurm_gpucost.cli.words import UTILIZATION, parse
    from slurm_gpucost.documents import report as document
    from slurm_gpucost.documents.table import choose
    from slurm_gpucost.domain.errors import UsageError

    asked = parse(words)
    unit = _unit(time_format)
    with_energy = _energy(tres)
    of_clusters = asked.report == UTILIZATION
    if of_clusters:
        if asked.names("accounts") or asked.names("users"):
            raise UsageError("report cluster Utilization: it is of whole clusters; leave accounts= and users=")
        every_column, usual = document.utilization_columns(unit), document.UTILIZATION_DEFAULT
    else:
        every_column, usual = document.columns(unit, _proper_name), document.DEFAULT
        if with_energy:
            usual += "," + document.ENERGY
    columns = choose(every_column, asked.format or usual, "format=")
    with_energy |= any(column.name in document.ENERGY.split(",") for column in columns)
    chosen = (listed(clusters) or []) + (asked.names("clusters") or [])
    where = {"clusters": chosen, "all_clusters": all_clusters or asked.all_clusters or "all" in chosen}
    when = {"start": asked.start, "end": asked.end}
    if of_clusters:
        told = ask(ctx, config, ledger, collector, "cluster_utilization", **when, **where)
    else:
        whose = {"accounts": asked.names("accounts"), "users": asked.names("users"), "energy": with_energy}
        told = ask(ctx, config, ledger, collector, "account_utilization_by_user", **when, **where, **whose)
    if json:
        emit_json(told.rows)
        return
    head = told.head
    heading = document.utilization_heading if of_clusters else document.heading
    above = heading(head["start"], head["end"], unit, head["currency"], ZoneInfo(head["timezone"]))
    print_rows(columns, told.rows, noheader=noheader, parsable=parsable, parsable2=parsable2, above=above)


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
