"""``gpucostd run``: the loop and its signals. Imports no more than a node needs."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from slurm_gpucost import __version__
from slurm_gpucost.domain.errors import GpucostError
from slurm_gpucost.ledger.projector import bring_up_to_date
from slurm_gpucost.ledger.store import Ledger, open_ledger
from slurm_gpucost.services.engine import Engine
from slurm_gpucost.services.recorded import record
from slurm_gpucost.services.sampler import Sampler
from slurm_gpucost.settings import Settings, find, load
from slurm_gpucost.sources.identity import identity
from slurm_gpucost.sources.nvml import NvmlGpus

STEP_SECONDS = 0.95
"""Events are durable within a second; each waking costs a node, whether there is work or not."""
CACHE_KIB = 4096
"""SQLite's page cache here: a guest on a node does not keep the 64 MiB that speed a backfill up."""
log = logging.getLogger("gpucostd")


def now_ms() -> int:
    """Wall time, ms UTC."""
    return time.time_ns() // 1_000_000


def run(settings: Settings, ledger_path: Path, stop: threading.Event) -> None:
    """Work until ``stop`` is set, then take in what is there and return."""
    with open_ledger(ledger_path) as ledger:
        ledger.connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        bring_up_to_date(ledger, settings.shards, batches=1)
        _note_costs(settings, ledger)
        sampler = None
        if settings.nvml_enabled:
            sampler = Sampler(
                NvmlGpus(),
                settings.nvml_interval_seconds,
                now_ms,
                hour_offsets_ms(settings),
                idle_percent=settings.idle_threshold_percent,
            )
            sampler.start()
        engine = Engine(settings, ledger, now_ms, sampler)
        log.info("gpucostd %s: ledger %s, spool %s", __version__, ledger_path, settings.spool)
        while not stop.is_set():
            engine.step()
            stop.wait(STEP_SECONDS)
        engine.close()
    log.info("ended")


def collect(settings: Settings, ledger_path: Path, stop: threading.Event) -> None:
    """Be the collector until ``stop`` is set. Raises GpucostError where its extra is not installed."""
    try:
        from slurm_gpucost.collector import main as collector
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise GpucostError(
            f"the collector needs the Python package {package}: pip install 'slurm-gpucost[collector]'"
        ) from None
    collector.run(settings, ledger_path, stop)


def _note_costs(settings: Settings, ledger: Ledger) -> None:
    """What nobody noted with `gpucost config record`. A full disk must not keep the daemon from its events."""
    try:
        with ledger.transaction() as db:
            changed = record(db, settings, identity(), "found when gpucostd started", now_ms())
    except GpucostError as error:
        log.warning("the config's costs could not be noted: %s", error)
    else:
        if changed:
            log.info("the config's costs are others than were noted last: `gpucost config history` shows them")


def hour_offsets_ms(settings: Settings) -> tuple[int, ...]:
    """Where in a UTC hour the clock hours of the configured zones begin, in winter and summer."""
    offsets = set()
    for zone in {settings.timezone, *(pool.timezone for pool in settings.pools)}:
        for month in (1, 7):
            ahead = datetime(2026, month, 1, tzinfo=zone).utcoffset() or timedelta()
            offsets.add(-int(ahead.total_seconds()) % 3600 * 1000)
    return tuple(sorted(offsets))


def main(arguments: Sequence[str] | None = None) -> None:
    """The ``gpucostd`` command. Exit codes: 0 ended by a signal, 1 failure, 2 usage or config."""
    parser = argparse.ArgumentParser(prog="gpucostd", description="Records who held which GPU, and what it did.")
    parser.add_argument("--version", action="version", version=f"gpucostd {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("run", help="all in one: events, accounting, controller and driver into the ledger")
    command.add_argument("--config", metavar="FILE", help="default: GPUCOST_CONFIG, else /etc/gpucost/gpucost.toml")
    command.add_argument("--ledger", metavar="FILE", help="default: GPUCOST_LEDGER, else the config's [ledger] path")
    serve = commands.add_parser("collector", help="the ledger's host: batches of nodes, accounting, people's questions")
    serve.add_argument("--config", metavar="FILE", help="default: GPUCOST_CONFIG, else /etc/gpucost/gpucost.toml")
    serve.add_argument("--ledger", metavar="FILE", help="default: GPUCOST_LEDGER, else the config's [ledger] path")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = load(find(options.config))
        ledger = Path(options.ledger or os.environ.get("GPUCOST_LEDGER") or settings.ledger)
        if options.command == "collector":
            collect(settings, ledger, stop)
        else:
            run(settings, ledger, stop)
    except GpucostError as error:
        print(f"gpucostd: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    # Threads that still wait for a driver or a command must not hold up the end.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
