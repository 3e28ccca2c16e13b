"""``gpucost energy``."""

from __future__ import annotations

import typer

from slurm_gpucost.cli.options import Collector, Config, Json, Ledger, Month


def energy(
    ctx: typer.Context,
    month: Month = None,
    config: Config = None,
    ledger: Ledger = None,
    collector: Collector = None,
    json: Json = False,
) -> None:
    """The electricity of each pool's month: measured, imputed and assumed, against the bill where the config has it."""
    from slurm_gpucost.cli.asking import ask
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.documents import energy as document

    rows = ask(ctx, config, ledger, collector, "energy", month=month).rows
    if json:
        emit_json(rows)
    else:
        emit(document.page(rows))
