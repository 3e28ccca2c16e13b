"""``gpucostd collector``: puts the parts together, and takes them apart again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from slurm_gpucost import __version__
from slurm_gpucost.collector import certificate, sockets
from slurm_gpucost.collector.app import made
from slurm_gpucost.collector.batches import Batches
from slurm_gpucost.collector.engine import Engine
from slurm_gpucost.collector.figures import Figures
from slurm_gpucost.collector.limits import REQUEST_SECONDS
from slurm_gpucost.collector.numbers import Numbers
from slurm_gpucost.collector.queries import Queries
from slurm_gpucost.collector.reader import Reader
from slurm_gpucost.collector.server import Loop, serve
from slurm_gpucost.collector.wiring import LedgerPeople
from slurm_gpucost.collector.workers import Workers
from slurm_gpucost.collector.writer import Writer
from slurm_gpucost.domain.errors import GpucostError
from slurm_gpucost.ledger.projector import begin
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.services.recorded import at_start
from slurm_gpucost.settings import Settings

log = logging.getLogger("gpucostd")


def run(settings: Settings, ledger_path: Path, stop: threading.Event, clock: Callable[[], int]) -> None:
    """Serve until ``stop`` is set; ``clock`` gives ms UTC.

    Raises GpucostError where it cannot begin, or the thread that writes has ended.
    """
    own = settings.collector
    with contextlib.ExitStack() as stack:
        sockets.many_files()
        shown = certificate.of(own.tls_cert, own.tls_key)
        unix = sockets.unix(own.socket)
        stack.callback(unix.remove)
        tcp = sockets.tcp(own.listen)
        for one in tcp:
            stack.callback(one.close)
        ledger = stack.enter_context(open_ledger(ledger_path))
        begin(ledger, settings.shards)
        at_start(ledger, settings, "gpucostd collector", clock())
        numbers, reader = Numbers(), Reader(ledger_path)
        engine = Engine(settings, ledger, clock)
        writer = Writer(ledger, clock, own.silent_seconds, numbers, engine.step)
        engine.busy = lambda: writer.waiting > 0
        workers = Workers(settings, ledger_path, own.query_processes)
        people = LedgerPeople(settings, reader, writer, clock)
        batches = Batches(reader, writer, numbers)
        queries = Queries(people, workers, numbers, clock, own.query_seconds, own.query_processes)
        figures = Figures(
            settings, reader, writer, numbers, clock, lambda: (queries.turns.waiting, queries.answers.size)
        )
        closing: tuple[Callable[[], None], ...] = (
            reader.close,
            people.close,
            batches.close,
            queries.close,
            workers.close,
            writer.stop,
        )
        for close in closing:
            stack.callback(close)
        workers.start()
        writer.start()
        app = made(batches, queries, figures, writer, reader)
        log.info("gpucostd %s: ledger %s, listens on %s and %s", __version__, ledger_path, own.listen, own.socket)
        listening = [(tcp, shown), ([unix.listening], None)]

        def ended() -> bool:
            return stop.is_set() or not writer.alive

        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(serve(app, listening, ended, REQUEST_SECONDS + 2 * own.query_seconds))
        if not writer.alive:
            raise GpucostError("the thread that writes has ended; the log says why")
    log.info("ended")
