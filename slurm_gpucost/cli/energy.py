"""``gpucost energy``."""

from __future__ import annotations

import typer

from slurm_gpucost.cli.options import Config, Json, Ledger, Month


def energy(
    ctx: typer.Context,
    month: Month = None,
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """The electricity of each pool's month: measured, imputed and assumed, against the bill where the config has it."""
    from slurm_gpucost.cli.options import month_or_now, now_ms, site
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.documents import energy as document
    from slurm_gpucost.services import meter as service
    from slurm_gpucost.services.queries import open_queries

    found = site(ctx, config, ledger)
    with open_queries(found.settings, found.ledger) as queries:
        rows = service.electricity(found.settings, queries, month_or_now(month, found.settings), now_ms())
    if json:
        emit_json(rows)
    else:
        emit(document.page(rows))
