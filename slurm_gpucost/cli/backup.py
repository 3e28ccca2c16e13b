"""``gpucost backup`` and ``gpucost restore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slurm_gpucost.cli.options import Config, Json, Ledger


def backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The copy; it must not be there yet.")],
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """Copy the ledger to a file, whole and as of one moment, while gpucostd writes; the copy is checked."""
    from slurm_gpucost.cli.options import site
    from slurm_gpucost.ledger.backup import copy

    source = site(ctx, config, ledger).ledger
    _say(source, file, copy(source, file), json)


def restore(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A copy that `gpucost backup` made.")],
    config: Config = None,
    ledger: Ledger = None,
    json: Json = False,
) -> None:
    """Put a copy where the ledger is to be; a ledger that is there stays: stop gpucostd and move it away first."""
    from slurm_gpucost.cli.options import site
    from slurm_gpucost.ledger.backup import copy

    target = site(ctx, config, ledger).ledger
    _say(file, target, copy(file, target), json)


def _say(source: Path, target: Path, size: int, json: bool) -> None:
    from slurm_gpucost.cli.run import emit, emit_json

    if json:
        emit_json({"from": str(source), "to": str(target), "bytes": size})
    else:
        emit(f"{target}: a whole copy of {source}, {size:,} bytes\n")
