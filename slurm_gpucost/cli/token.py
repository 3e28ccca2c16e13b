"""``gpucost token``: issue, list, revoke."""

from __future__ import annotations

from typing import Annotated

import typer

from slurm_gpucost.cli.options import Config, Json, Ledger, Why

User = Annotated[str | None, typer.Option("-u", "--user", metavar="USER", help="Whose; else your own.")]


def issue(
    ctx: typer.Context,
    user: User = None,
    days: Annotated[int, typer.Option(help="It is good for so many days.", show_default=False)] = 90,
    why: Why = "",
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """Make a token by which a user can ask the collector over TLS, where there is no MUNGE. It is shown once."""
    from slurm_gpucost.cli.options import now_ms, site
    from slurm_gpucost.cli.run import emit, emit_json, note
    from slurm_gpucost.ledger.store import open_ledger
    from slurm_gpucost.services import tokens
    from slurm_gpucost.sources.identity import identity, uid_of

    found, who = site(ctx, config, ledger), identity()
    with open_ledger(found.ledger) as opened:
        made = tokens.issue(opened, user or who.login, days, who, why, now_ms())
    if uid_of(made["user"]) is None:
        note(f"{made['user']}: this host knows no such user; is the name as Slurm has it?")
    if json:
        emit_json(made)
    else:
        emit(f"{made['token']}\n")
        note(f"for {made['user']}, {days} days, id {made['id']}: keep it in ~/.config/gpucost/token, mode 0600")


def list_(
    ctx: typer.Context,
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """Show the tokens that were issued: whose, by whom, until when. The tokens themselves are kept nowhere."""
    from slurm_gpucost.cli.options import now_ms, site
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.documents import tokens as pages
    from slurm_gpucost.services import tokens
    from slurm_gpucost.services.queries import open_queries

    found = site(ctx, config, ledger)
    with open_queries(found.settings, found.ledger) as queries:
        rows = tokens.listed(queries.connection, now_ms())
    if json:
        emit_json(rows)
    else:
        emit(pages.page(rows, found.settings.timezone))


def revoke(
    ctx: typer.Context,
    number: Annotated[str | None, typer.Argument(metavar="[ID]", help="The token's id, as list shows it.")] = None,
    user: Annotated[str | None, typer.Option("-u", "--user", metavar="USER", help="All of this user's.")] = None,
    why: Why = "",
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """Make a token, or all of a user's, no good from now on."""
    from slurm_gpucost.cli.options import now_ms, site
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.domain.errors import UsageError
    from slurm_gpucost.ledger.store import open_ledger
    from slurm_gpucost.services import tokens
    from slurm_gpucost.sources.identity import identity

    if (number is None) == (user is None):
        raise UsageError("name either the ID of a token or, with --user, whose tokens are to be revoked")
    found = site(ctx, config, ledger)
    with open_ledger(found.ledger) as opened:
        rows = tokens.revoke(opened, number, user, identity(), why, now_ms())
    if json:
        emit_json(rows)
    else:
        emit("".join(f"{row['id']}: {row['user']}'s token is revoked\n" for row in rows))
