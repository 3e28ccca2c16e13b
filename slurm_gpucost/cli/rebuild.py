"""``gpucost rebuild``."""

from __future__ import annotations

import typer

from slurm_gpucost.cli.options import Config, Json, Ledger


def rebuild(ctx: typer.Context, config: Config = None, ledger: Ledger = None, json: Json = False) -> None:
    """Make attempts and leases anew from the evidence. Identical, unless the rules or the config changed."""
    from slurm_gpucost.cli.options import site
    from slurm_gpucost.cli.progress import bar
    from slurm_gpucost.cli.run import emit, emit_json
    from slurm_gpucost.domain.errors import LedgerError
    from slurm_gpucost.ledger import projector
    from slurm_gpucost.ledger.queries import ask
    from slurm_gpucost.ledger.store import open_ledger

    found = site(ctx, config, ledger)
    if not found.ledger.exists():
        raise LedgerError(f"{found.ledger}: there is no ledger; `gpucost backfill` or `gpucostd run` makes it")
    with open_ledger(found.ledger) as opened, bar() as progress:
        done = projector.rebuild(opened, found.settings.shards, lambda count: progress("projecting", count, None))
        counts = ask(opened.connection, "counts")[0]
    answer = {"jobs": done, "attempts": counts["attempts"], "leases": counts["leases"]}
    if json:
        emit_json(answer)
    else:
        emit(f"{answer['jobs']} jobs: {answer['attempts']} attempts, {answer['leases']} leases\n")
