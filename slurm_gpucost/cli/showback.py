"""``gpucost showback``."""

from __future__ import annotations

from typing import Annotated

import typer

from slurm_gpucost.cli.options import Config, Json, Ledger


def showback(
    ctx: typer.Context,
    month: Annotated[str, typer.Option(metavar="YYYY-MM", help="A month that is over, in each pool's time zone.")],
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """What a month really cost, divided among those who held the GPUs: for information, beside the invoices."""
    from slurm_gpucost.cli.options import now_ms, site
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.documents import showback as document
    from slurm_gpucost.services import showback as service
    from slurm_gpucost.services.queries import open_queries

    found = site(ctx, config, ledger)
    with open_queries(found.settings, found.ledger) as queries:
        rows = service.showback(found.settings, queries, month, now_ms())
    if json:
        emit_json(rows)
    else:
        emit(document.page(rows))
