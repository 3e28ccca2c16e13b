"""``gpucost audit``."""

from __future__ import annotations

import typer

from slurm_gpucost.cli.options import Collector, Config, Json, Ledger, Month


def audit(
    ctx: typer.Context,
    month: Month = None,
    config: Config = None,
    ledger: Ledger = None,
    collector: Collector = None,
    json: Json = False,
) -> None:
    """Add the money up again from the evidence: what each pool cost, where that went, and what was charged.

    Compared exactly; where anything does not add up it is named, and the exit code is 1.
    """
    from slurm_gpucost.cli.asking import ask
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.documents import audit as document

    (answer,) = ask(ctx, config, ledger, collector, "audit", month=month).rows
    if json:
        emit_json(answer)
    else:
        emit(document.page(answer))
    if answer["differences"]:
        raise typer.Exit(1)
