"""``gpucost reconcile``."""

from __future__ import annotations

from typing import Annotated

import typer

from slurm_gpucost.cli.options import Collector, Config, Json, Ledger


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
    collector: Collector = None,
    json: Json = False,
) -> None:
    """Hold hooks, controller, accounting and driver against each other, and show where they differ.

    What a rule closes is shown with the rule, what a person must decide with what to do; then the exit code is 1.
    """
    from zoneinfo import ZoneInfo

    from slurm_gpucost.cli.asking import ask
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.documents import reconcile as document

    told = ask(ctx, config, ledger, collector, "reconcile", start=starttime, end=endtime)
    (answer,) = told.rows
    if json:
        emit_json(answer)
    else:
        emit(document.page(answer, ZoneInfo(told.head["timezone"])))
    if any(not category["closed_by"] for category in answer["categories"]):
        raise typer.Exit(1)
