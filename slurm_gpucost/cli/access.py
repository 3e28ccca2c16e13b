"""``gpucost access``: log."""

from __future__ import annotations

from typing import Annotated

import typer

from slurm_gpucost.cli.options import Collector, Config, Json, Ledger


def log(
    ctx: typer.Context,
    user: Annotated[
        str | None, typer.Option("-u", "--user", metavar="USER", help="What this user did, or what concerns him.")
    ] = None,
    config: Config = None,
    ledger: Ledger = None,
    collector: Collector = None,
    json: Json = False,
) -> None:
    """Show who issued and revoked tokens, looked at cost items, or acted for somebody."""
    from zoneinfo import ZoneInfo

    from slurm_gpucost.cli.asking import ask
    from slurm_gpucost.cli.run import emit, emit_json, note
    from slurm_gpucost.documents import acts as document

    told = ask(ctx, config, ledger, collector, "access_log", user=user)
    if json:
        emit_json(told.rows)
    elif told.rows:
        emit(document.page(told.rows, ZoneInfo(told.head["timezone"])))
    else:
        note("nothing of it is written down")
