"""``gpucost audit``."""

from __future__ import annotations

import typer

from slurm_gpucost.cli.options import Config, Json, Ledger, Month


def audit(
    ctx: typer.Context,
    month: Month = None,
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """Add the money up again from the evidence: what each pool cost, where that went, and what was charged.

    Compared exactly; where anything does not add up it is named, and the exit code is 1.
    """
    from slurm_gpucost.cli.options import month_or_now, now_ms, site
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.documents import audit as document
    from slurm_gpucost.services import audit as service
    from slurm_gpucost.services.queries import open_queries

    found = site(ctx, config, ledger)
    with open_queries(found.settings, found.ledger) as queries:
        answer = service.audit(found.settings, queries, month_or_now(month, found.settings), now_ms())
    if json:
        emit_json(answer)
    else:
        emit(document.page(answer))
    if answer["differences"]:
        raise typer.Exit(1)
