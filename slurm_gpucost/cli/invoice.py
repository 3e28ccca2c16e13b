"""``gpucost invoice``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slurm_gpucost.cli.options import Config, Json, Ledger

if TYPE_CHECKING:
    from slurm_gpucost.cli.options import Site
    from slurm_gpucost.services.queries import Queries


def invoice(
    ctx: typer.Context,
    month: Annotated[str, typer.Option(metavar="YYYY-MM", help="The month, in each pool's time zone.")],
    account: Annotated[
        str | None, typer.Option("-A", "--account", metavar="ACCOUNT", help="Only this account's.")
    ] = None,
    user: Annotated[
        str | None, typer.Option("-u", "--user", metavar="USER", help="This user's statements: own lines, own total.")
    ] = None,
    csv: Annotated[str | None, typer.Option(metavar="FILE", help="Write the lines as CSV; - prints them.")] = None,
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """Print the invoices of a month, one per cluster and account."""
    from slurm_gpucost.cli.files import write_whole
    from slurm_gpucost.cli.options import site
    from slurm_gpucost.cli.run import emit, emit_json, note
    from slurm_gpucost.documents import invoice as document
    from slurm_gpucost.documents.machine import csv_text
    from slurm_gpucost.domain.errors import UsageError
    from slurm_gpucost.services import bill, names, rates
    from slurm_gpucost.services.queries import open_queries

    if json and csv == "-":
        raise UsageError("--csv -: both --json and --csv would be printed; name a file, or leave one of them")
    found = site(ctx, config, ledger)
    rates.period_in(month, found.settings.timezone)
    with open_queries(found.settings, found.ledger) as queries:
        made = bill.bill(found.settings, queries, month, account, user)
        if not made:  # an account can owe for a share or a reservation alone
            names.check(queries, [account] if account else None, [user] if user else None)
        remarks = _remarks(found, queries, month, account, user)
    for remark in remarks:
        note(remark)
    if csv:
        text = csv_text(document.fields(made), document.lines(made))
        if csv == "-":
            emit(text)
            return
        write_whole(Path(csv), text)
    if json:
        emit_json(made)
    elif made and csv:
        lines = sum(len(one["lines"]) for one in made)
        emit(f"{csv}: {lines} lines of {len(made)} {'statements' if user else 'invoices'} of {month}\n")
    elif made:
        emit(document.pages(made))
    else:
        whose = " and ".join(filter(None, (account, user)))
        note(f"no GPU time to bill in {month}" + (f" for {whose}" if whose else ""))


def _remarks(found: Site, queries: Queries, month: str, account: str | None, user: str | None) -> list[str]:
    """What a reader of these invoices must know and they do not say."""
    from slurm_gpucost.cli.options import now_ms
    from slurm_gpucost.services import bill, rates, reserving

    period = rates.period_in(month, found.settings.timezone)
    remarks: list[str] = []
    if now_ms() < period.start_ms:
        remarks.append(f"{month} has not begun")
    elif now_ms() < period.end_ms:
        remarks.append(f"{month} is not over: these are provisional; running jobs count up to the last accounting poll")
    remarks += [
        f"not priced, on no invoice: {row['unit_hours']} hours of {row['units']} (gres/{row['gres']}) "
        f"on {row['cluster']}; {row['todo']}"
        for row in bill.unpriced(found.settings, queries, period.start_ms, period.end_ms, account, user)
    ]
    if account is None and user is None:
        remarks += [
            f"unbilled reservation {row['name'] or row['id']} of {row['cluster']}: {row['why']}"
            for row in reserving.unbilled(found.settings, queries, period.start_ms, period.end_ms)
        ]
    if count := bill.held_leases(queries, *period[:2], account, user):
        remarks.append(
            f"not billed: {count} leases that the accounting does not know; `gpucost jobs -a` shows them held"
        )
    return remarks
