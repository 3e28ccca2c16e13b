"""``gpucost accounts``: list."""

from __future__ import annotations

from typing import Annotated

import typer

from slurm_gpucost.cli.options import Config, Json, Ledger


def list_(
    ctx: typer.Context,
    account: Annotated[
        str | None, typer.Option("-A", "--account", metavar="ACCOUNT", help="Only this account.")
    ] = None,
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """Show what is known of each account for billing, now: its class, contact, tax; and where each fact comes from."""
    from slurm_gpucost.cli.options import now_ms, site
    from slurm_gpucost.cli.run import emit, emit_json, note
    from slurm_gpucost.documents import accounts as document
    from slurm_gpucost.services import accounts
    from slurm_gpucost.services.queries import open_queries

    found = site(ctx, config, ledger)
    used = []
    if found.ledger.exists():
        with open_queries(found.settings, found.ledger) as queries:
            used = queries.ask("accounts")
    rows = accounts.listed(found.settings, used, now_ms(), account)
    if json:
        emit_json(rows)
    elif rows:
        emit(document.page(rows))
    else:
        note("no account is known: none has used anything, and the config names none under [[accounts]]")
