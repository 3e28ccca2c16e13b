"""``gpucost rates explain``."""

from __future__ import annotations

from typing import Annotated

import typer

from slurm_gpucost.cli.options import Config, Json, Ledger


def explain(
    ctx: typer.Context,
    month: Annotated[str | None, typer.Option(metavar="YYYY-MM", help="The month; else the present one.")] = None,
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """Show line by line how the price of each SKU's hour comes about, with the file and key of every number."""
    from datetime import UTC, datetime

    from slurm_gpucost.cli.options import now_ms, site
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.documents import derivation
    from slurm_gpucost.services import rates

    settings = site(ctx, config, ledger).settings
    today = datetime.fromtimestamp(now_ms() // 1000, UTC).astimezone(settings.timezone)
    rows = rates.explain(settings, month or today.strftime("%Y-%m"))
    if json:
        emit_json(rows)
    else:
        emit(derivation.pages(rows))
