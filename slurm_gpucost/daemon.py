"""``gpucostd``: its subcommands, their loops and signals. Each imports no more than it needs."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slurm_gpucost import __version__
from slurm_gpucost.domain.errors import GpucostError
from slurm_gpucost.settings.reader import find

if TYPE_CHECKING:
    from slurm_gpucost.settings.model import Settings
    from slurm_gpucost.settings.node import NodeSettings

STEP_SECONDS = 0.95
"""Events are durable within a second; each waking costs a node, whether there is work or not."""
IDLE_SECONDS = 4.75
"""A node looks that seldom where nothing comes: what its watch might miss waits no longer."""
CACHE_KIB = 4096
"""SQLite's page cache here: a guest on a node does not keep the 64 MiB that speed a backfill up."""
log = logging.getLogger("gpucostd")


def now_ms() -> int:
    """Wall time, ms UTC."""
    return time.time_ns() // 1_000_000


def run(settings: Settings, ledger_path: Path, stop: threading.Event) -> None:
    """All in one: work until ``stop`` is set, then take in what is there and return."""
    from slurm_gpucost.ledger.projector import begin
    from slurm_gpucost.ledger.store import open_ledger
    from slurm_gpucost.services.capture import make_sampler
    from slurm_gpucost.services.engine import Engine
    from slurm_gpucost.services.recorded import at_start

    with open_ledger(ledger_path) as ledger:
        ledger.connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        begin(ledger, settings.shards)
        at_start(ledger, settings, "gpucostd", now_ms())
        sampler = make_sampler(settings, now_ms, (settings.timezone, *(pool.timezone for pool in settings.pools)))
        engine = Engine(settings, ledger, now_ms, sampler)
        engine.capture.start()
        log.info("gpucostd %s: ledger %s, spool %s", __version__, ledger_path, settings.spool)
        while not stop.is_set():
            engine.step()
            stop.wait(STEP_SECONDS)
        engine.close()
    log.info("ended")


def node(settings: NodeSettings, stop: threading.Event) -> None:
    """A GPU node: work until ``stop`` is set, then take in what is there and return."""
    from slurm_gpucost.ledger.journal import open_journal
    from slurm_gpucost.services.capture import make_sampler
    from slurm_gpucost.services.node import NodeEngine
    from slurm_gpucost.sources.collector_http import CollectorHttp
    from slurm_gpucost.sources.watch import IN_CREATE, IN_DELETE, IN_MOVED_TO, Watch

    collector = CollectorHttp(settings.collector_url, settings.token_file, settings.ca_file)
    # Hooks rename their events into the spool; a wish to pause is uttered and taken back beside it.
    comes = {settings.spool: IN_MOVED_TO, settings.spool.parent: IN_CREATE | IN_MOVED_TO | IN_DELETE}
    with open_journal(settings.journal, now_ms) as journal, Watch(comes) as watch:
        sampler = make_sampler(settings, now_ms, settings.zones)
        engine = NodeEngine(settings, journal, now_ms, sampler, collector)
        engine.start()
        log.info("gpucostd %s: node %s, journal %s, spool %s, collector %s",
                 __version__, settings.name, settings.journal, settings.spool, settings.collector_url)  # fmt: skip
        while not stop.is_set():
            idle = engine.step()
            watch.wait(stop, STEP_SECONDS, IDLE_SECONDS if idle else STEP_SECONDS)
        engine.close()
    log.info("ended")


def collect(settings: Settings, ledger_path: Path, stop: threading.Event) -> None:
    """Be the collector until ``stop`` is set. Raises GpucostError where its extra is not installed."""
    try:
        from slurm_gpucost.collector import main as collector
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise GpucostError(
            f"the collector needs the Python package {package}: install the Debian package gpucost, "
            "or pip install 'slurm-gpucost[collector]'"
        ) from None
    collector.run(settings, ledger_path, stop, now_ms)


def main(arguments: Sequence[str] | None = None) -> None:
    """The ``gpucostd`` command. Exit codes: 0 ended by a signal, 1 failure, 2 usage or config."""
    parser = argparse.ArgumentParser(prog="gpucostd", description="Records who held which GPU, and what it did.")
    parser.add_argument("--version", action="version", version=f"gpucostd {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("run", help="all in one: events, accounting, controller and driver into the ledger")
    command.add_argument("--config", metavar="FILE", help="default: GPUCOST_CONFIG, else /etc/gpucost/gpucost.toml")
    command.add_argument("--ledger", metavar="FILE", help="default: GPUCOST_LEDGER, else the config's [ledger] path")
    command.set_defaults(work=_run)
    command = commands.add_parser("node", help="a GPU node: events and driver into its journal, and to the collector")
    command.add_argument("--config", metavar="FILE", help="default: GPUCOST_CONFIG, else /etc/gpucost/gpucost.toml")
    command.set_defaults(work=_node)
    command = commands.add_parser("collector", help="the ledger's host: takes batches of nodes, answers people")
    command.add_argument("--config", metavar="FILE", help="default: GPUCOST_CONFIG, else /etc/gpucost/gpucost.toml")
    command.add_argument("--ledger", metavar="FILE", help="default: GPUCOST_LEDGER, else the config's [ledger] path")
    command.set_defaults(work=_collector)
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        options.work(options, stop)
    except GpucostError as error:
        print(f"gpucostd: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    # Threads that still wait for a driver or a command must not hold up the end.
    sys.stderr.flush()
    os._exit(0)


def _run(options: argparse.Namespace, stop: threading.Event) -> None:
    from slurm_gpucost.settings.load import load

    settings = load(find(options.config))
    run(settings, _ledger(options, settings), stop)


def _collector(options: argparse.Namespace, stop: threading.Event) -> None:
    from slurm_gpucost.settings.load import load

    settings = load(find(options.config))
    collect(settings, _ledger(options, settings), stop)


def _ledger(options: argparse.Namespace, settings: Settings) -> Path:
    return Path(options.ledger or os.environ.get("GPUCOST_LEDGER") or settings.ledger)


def _node(options: argparse.Namespace, stop: threading.Event) -> None:
    from slurm_gpucost.settings.node_file import load_node

    node(load_node(find(options.config)), stop)


if __name__ == "__main__":
    main()
