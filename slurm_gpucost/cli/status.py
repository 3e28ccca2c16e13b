"""``gpucost status``."""

from __future__ import annotations

import typer

from slurm_gpucost.cli.options import Config, Json, Ledger


def status(ctx: typer.Context, config: Config = None, ledger: Ledger = None, json: Json = False) -> None:
    """Show what the ledger holds, when each witness was last heard, and what needs a look."""
    from slurm_gpucost.cli.options import site
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.documents import status as document
    from slurm_gpucost.services import status as service
    from slurm_gpucost.services.queries import open_queries

    found = site(ctx, config, ledger)
    with open_queries(found.settings, found.ledger) as queries:
        answer = service.status(found.settings, queries)
    if json:
        emit_json(answer)
    else:
        emit(document.page(answer, found.settings.timezone))
