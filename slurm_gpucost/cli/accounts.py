"""``gpucost accounts``: list, import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slurm_gpucost.cli.options import Collector, Config, Json, Ledger

if TYPE_CHECKING:
    from slurm_gpucost.settings import Settings


def list_(
    ctx: typer.Context,
    account: Annotated[
        str | None, typer.Option("-A", "--account", metavar="ACCOUNT", help="Only this account.")
    ] = None,
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="What holds then.")] = "now",
    config: Config = None,
    ledger: Ledger = None,
    collector: Collector = None,
    json: Json = False,
) -> None:
    """Show what is known of each account for billing: its class, contact, tax; and where each fact comes from."""
    from slurm_gpucost.cli.asking import ask
    from slurm_gpucost.cli.run import emit, emit_json, note
    from slurm_gpucost.documents import accounts as document

    rows = ask(ctx, config, ledger, collector, "accounts", account=account, at=at).rows
    if json:
        emit_json(rows)
    elif rows:
        emit(document.page(rows))
    else:
        note("no account is known: none has used anything, and nothing names one")


def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The export, JSON or CSV.")],
    cluster: Annotated[
        str | None, typer.Option("--cluster", metavar="NAME", help="It tells of accounts of this cluster; else of all.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="It holds from then on; else from now on.")
    ] = None,
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """Take in what an allocation portal's export says of accounts: all of it, or with any fault nothing."""
    from slurm_gpucost.cli.options import now_ms, site
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.documents import accounts as document
    from slurm_gpucost.ledger.store import open_ledger
    from slurm_gpucost.services import account_import

    found = site(ctx, config, ledger)
    from_ms = None if since is None else _moment(since, found.settings, "--since")
    source = account_import.Source(file, cluster or "", from_ms)
    with open_ledger(found.ledger) as opened:
        result: dict[str, Any] = account_import.run(
            opened, source, found.settings.portal, found.settings.classes, now_ms()
        )
    if json:
        emit_json(result)
    else:
        emit(document.imported(result))


def _moment(text: str, settings: Settings, option: str) -> int:
    from slurm_gpucost.cli.options import now_ms
    from slurm_gpucost.domain.timegrammar import parse_time

    return parse_time(text, now_ms(), settings.timezone, option)
