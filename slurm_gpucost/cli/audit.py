"""``gpucost audit``."""

from __future__ import annotations

from typing import Annotated

import typer

from slurm_gpucost.cli.options import Config, Json, Ledger


def audit(
    ctx: typer.Context,
    month: Annotated[str | None, typer.Option(metavar="YYYY-MM", help="The month; else the present one.")] = None,
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """Add the money up again from the evidence: what each pool cost, where that went, and what was charged.

    Compared exactly; where anything does not add up it is named, and the exit code is 1.
    """
    from datetime import UTC, datetime

    from slurm_gpucost.cli.options import now_ms, site
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.documents import audit as document
    from slurm_gpucost.services import audit as service
    from slurm_gpucost.services.queries import open_queries

    found = site(ctx, config, ledger)
    now = now_ms()
    today = datetime.fromtimestamp(now // 1000, UTC).astimezone(found.settings.timezone)
    with open_queries(found.settings, found.ledger) as queries:
        answer = service.audit(found.settings, queries, month or today.strftime("%Y-%m"), now)
    if json:
        emit_json(answer)
    else:
        emit(document.page(answer))
    if answer["differences"]:
        raise typer.Exit(1)
