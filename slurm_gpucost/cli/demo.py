"""``gpucost demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    directory: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep config and ledger here; else in a temporary directory.")
    ] = None,
) -> None:
    """Replay a recording of a real cluster into a ledger, and print report, rates and invoices. Needs no network."""
    import sys

    from slurm_gpucost.services import demo as service

    service.run(directory, sys.stdout)
