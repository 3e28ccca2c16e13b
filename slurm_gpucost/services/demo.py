"""``gpucost demo``: a recording of a real cluster's run, played through the daemon's code, and what comes of it."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TextIO
from zoneinfo import ZoneInfo

from slurm_gpucost.costing.periods import month_at
from slurm_gpucost.documents import derivation, invoice, report, table
from slurm_gpucost.domain.errors import UsageError
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.services import recording
from slurm_gpucost.services.bill import bill
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.services.rates import explain
from slurm_gpucost.services.report import account_utilization_by_user
from slurm_gpucost.services.utilization import utilization
from slurm_gpucost.settings import load

_PACKAGE = "slurm_gpucost.demo"


def run(directory: Path | None, out: TextIO) -> None:
    """Play it into ``directory`` (a new temporary one if None), and print what an administrator would look at."""
    place = directory or Path(tempfile.mkdtemp(prefix="gpucost-demo-"))
    place.mkdir(parents=True, exist_ok=True)
    config, ledger_path = place.absolute() / "gpucost.toml", place.absolute() / "ledger.db"
    if ledger_path.exists():
        raise UsageError(f"--directory {place}: has a ledger already; name an empty directory")
    text = (resources.files(_PACKAGE) / "gpucost.toml").read_text(encoding="utf-8")
    config.write_text(text.replace("@DIRECTORY@", str(config.parent)), encoding="utf-8")
    settings = load(config)
    with (resources.files(_PACKAGE) / "recording.jsonl.gz").open("rb") as file, open_ledger(ledger_path) as ledger:
        about = recording.play(recording.read(file), ledger, settings)
    start_ms, end_ms = about["at_ms"], about["end_ms"]
    month = month_at(start_ms, settings.timezone)
    zone = settings.timezone
    with open_queries(settings) as queries:
        rows = account_utilization_by_user(settings, queries, start_ms, end_ms)
        invoices = bill(settings, queries, month)
        attempts = queries.ask("counts")[0]["attempts"]
        whole = utilization(settings, queries, start_ms, end_ms)
    columns = table.choose(report.columns("Seconds", lambda _: ""), report.DEFAULT, "format=")
    every = report.utilization_columns("Seconds")
    out.write(
        f"{about['text']}\nPlayed into {ledger_path}: {attempts} attempts of jobs.\n\n"
        f"WHO HELD HOW MUCH\n{report.heading(start_ms // 1000, end_ms // 1000, 'Seconds', settings.currency, zone)}"
        f"{table.table(columns, rows)}\n"
        f"{report.utilization_heading(start_ms // 1000, end_ms // 1000, 'Seconds', settings.currency, zone)}"
        f"{table.table(table.choose(every, report.UTILIZATION_DEFAULT, 'format='), whole)}\n"
        f"WHAT AN HOUR COSTS, AND WHY\n{derivation.pages(explain(settings, month))}\n"
        f"WHO PAYS WHAT\n{invoice.pages(invoices)}\n"
        "What to type next:\n"
        f"  export GPUCOST_CONFIG={config}\n"
        f"  gpucost jobs -a -S {_local(start_ms, settings.timezone)} -E {_local(end_ms + 1000, settings.timezone)}\n"
        f"  gpucost invoice --month {month} --json\n"
        "  gpucost status\n"
        "On your own cluster, last month's invoices without any hook installed:\n"
        "  gpucost init --help\n"
        "  gpucost backfill --help\n"
    )


def _local(ms: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(ms // 1000, UTC).astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S")
