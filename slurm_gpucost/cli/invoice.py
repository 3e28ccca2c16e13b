"""``gpucost invoice``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slurm_gpucost.cli.options import Collector, Config, Json, Ledger


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
    collector: Collector = None,
    json: Json = False,
) -> None:
    """Print the invoices of a month, one per cluster and account."""
    from slurm_gpucost.cli.asking import ask
    from slurm_gpucost.cli.files import write_whole
    from slurm_gpucost.cli.run import emit, emit_json, note
    from slurm_gpucost.documents import invoice as document
    from slurm_gpucost.documents.machine import csv_text
    from slurm_gpucost.domain.errors import UsageError

    if json and csv == "-":
        raise UsageError("--csv -: both --json and --csv would be printed; name a file, or leave one of them")
    made = ask(ctx, config, ledger, collector, "invoices", month=month, account=account, user=user).rows
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
