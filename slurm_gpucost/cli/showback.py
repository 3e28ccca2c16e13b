"""``gpucost showback``."""

from __future__ import annotations

from typing import Annotated

import typer

from slurm_gpucost.cli.options import Collector, Config, Json, Ledger


def showback(
    ctx: typer.Context,
    month: Annotated[str, typer.Option(metavar="YYYY-MM", help="A month that is over, in each pool's time zone.")],
    config: Config = None,
    ledger: Ledger = None,
    collector: Collector = None,
    json: Json = False,
) -> None:
    """What a month really cost, divided among those who held the GPUs: for information, beside the invoices."""
    from slurm_gpucost.cli.asking import ask
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.documents import showback as document

    rows = ask(ctx, config, ledger, collector, "showback", month=month).rows
    if json:
        emit_json(rows)
    else:
        emit(document.page(rows))
