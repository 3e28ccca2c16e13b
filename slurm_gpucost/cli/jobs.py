"""``gpucost jobs``: sacct's letters, and what they mean there."""

from __future__ import annotations

from typing import Annotated

import typer

from slurm_gpucost.cli.options import (
    Accounts,
    Clusters,
    Collector,
    Config,
    Format,
    Json,
    Ledger,
    NoHeader,
    Parsable,
    Parsable2,
)


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
    collector: Collector = None,
    json: Json = False,
) -> None:
    """Show attempts of jobs that overlap a time, whole, with the GPUs that they held.

    By default your own since midnight, as sacct does; -s and -j change the default times as they do there.
    """
    from zoneinfo import ZoneInfo

    from slurm_gpucost.cli.asking import ask
    from slurm_gpucost.cli.options import words
    from slurm_gpucost.cli.output import print_rows
    from slurm_gpucost.cli.run import emit_json
    from slurm_gpucost.documents import jobs as document
    from slurm_gpucost.documents.table import choose

    shown = format or document.DEFAULT
    choose(document.columns(ZoneInfo("UTC")), shown, "--format")  # before anything is asked
    chosen = words(clusters) or []
    users, everyone = _users(words(user), allusers)
    told = ask(
        ctx, config, ledger, collector, "jobs",
        users=users,
        all_users=everyone,
        accounts=words(accounts),
        job_ids=words(jobs),
        start=starttime,
        end=endtime,
        states=words(state),
        partitions=words(partition),
        clusters=chosen,
        all_clusters=allclusters or "all" in chosen,
    )  # fmt: skip
    if json:
        emit_json(told.rows)
    else:
        columns = choose(document.columns(ZoneInfo(told.head["timezone"])), shown, "--format")
        print_rows(columns, told.rows, noheader=noheader, parsable=parsable, parsable2=parsable2)


def _users(given: list[str] | None, everyone: bool) -> tuple[list[str] | None, bool]:
    """Names for names and numbers, and whether all users are meant; neither: one's own, and for root all."""
    import os
    import pwd

    from slurm_gpucost.domain.errors import UsageError

    if everyone or given == ["-1"]:
        return None, True
    if given is None:
        return None, os.getuid() == 0
    found: list[str] = []
    for name in given:
        try:
            found.append(pwd.getpwuid(int(name)).pw_name if name.isdigit() else name)
        except (KeyError, OverflowError):
            raise UsageError(f"-u {name}: no user has this number here; give the name") from None
    return found, False
