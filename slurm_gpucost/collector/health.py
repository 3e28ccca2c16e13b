"""``/healthz``: whether it lives; ``/readyz``: whether it does its work. Both say in words what is not so."""

from __future__ import annotations

import time

from slurm_gpucost.collector.reader import Reader
from slurm_gpucost.collector.writer import Writer
from slurm_gpucost.domain.errors import LedgerError

STUCK_SECONDS = 180.0
"""A round of the thread that writes may be long: another process may hold the ledger, a projection be large."""
BEHIND_SECONDS = 30.0


def alive(writer: Writer) -> str:
    """'' : all turns; else what does not. That it is asked at all shows the loop of connections."""
    if not writer.alive:
        return "the thread that writes has ended"
    if time.monotonic() - writer.turned > STUCK_SECONDS:
        return f"the thread that writes has not turned for {time.monotonic() - writer.turned:.0f} s"
    return ""


async def ready(writer: Writer, reader: Reader) -> str:
    """'' : batches and questions are answered; else why not."""
    if said := alive(writer) or writer.failing:
        return said
    if writer.lag_seconds > BEHIND_SECONDS:
        return f"batches have waited for {writer.lag_seconds:.0f} s"
    try:
        await reader.look(lambda db: db.execute("SELECT 1 FROM meta LIMIT 1").fetchone())
    except LedgerError as error:
        return str(error)
    return ""
