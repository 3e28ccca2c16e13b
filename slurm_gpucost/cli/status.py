"""``gpucost status``."""

from __future__ import annotations

import typer

from slurm_gpucost.cli.options import Collector, Config, Json, Ledger


def status(
    ctx: typer.Context, config: Config = None, ledger: Ledger = None, collector: Collector = None, json: Json = False
) -> None:
    """Show what the ledger holds, when each witness was last heard, and what needs a look."""
    from zoneinfo import ZoneInfo

    from slurm_gpucost.cli.asking import ask
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.documents import status as document

    told = ask(ctx, config, ledger, collector, "status")
    if json:
        emit_json(told.rows[0])
    else:
        emit(document.page(told.rows[0], ZoneInfo(told.head["timezone"])))
