"""``gpucost reconcile``."""

from __future__ import annotations

from typing import Annotated

import typer

from slurm_gpucost.cli.options import Config, Json, Ledger


def reconcile(
    ctx: typer.Context,
    starttime: Annotated[
        str | None, typer.Option("-S", "--starttime", metavar="TIME", help="From when on; 35 days ago, by default.")
    ] = None,
    endtime: Annotated[
        str | None, typer.Option("-E", "--endtime", metavar="TIME", help="Until when; now, by default.")
    ] = None,
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """Hold hooks, controller, accounting and driver against each other, and show where they differ.

    What a rule closes is shown with the rule, what a person must decide with what to do; then the exit code is 1.
    """
    from slurm_gpucost.cli.options import now_ms, site
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.documents import reconcile as document
    from slurm_gpucost.domain.errors import UsageError
    from slurm_gpucost.domain.timegrammar import parse_time
    from slurm_gpucost.services import reconcile as service
    from slurm_gpucost.services.queries import open_queries

    found = site(ctx, config, ledger)
    settings, now = found.settings, now_ms()
    start_ms = parse_time(starttime or "now-35days", now, settings.timezone, "-S")
    end_ms = parse_time(endtime or "now", now, settings.timezone, "-E")
    if start_ms >= end_ms:
        raise UsageError(f"-S {starttime or 'now-35days'} -E {endtime or 'now'}: the start is not before the end")
    with open_queries(settings, found.ledger) as queries:
        answer = service.reconcile(settings, queries, start_ms, end_ms, now)
    if json:
        emit_json(answer)
    else:
        emit(document.page(answer, settings.timezone))
    if service.open_decisions(answer):
        raise typer.Exit(1)
