"""Runs in the collector's place, in its unit's sandbox: tries what the collector must and must not be able to do."""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import socket
import sqlite3
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

RUN, STATE = Path("/run/gpucost"), Path("/var/lib/gpucost")


def listens() -> str:
    """Its socket, for everyone on the host."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(RUN / "collector.sock"))
    (RUN / "collector.sock").chmod(0o666)
    server.listen()
    return oct((RUN / "collector.sock").stat().st_mode & 0o777)


def writes() -> str:
    """A ledger of its own, with SQLite's files beside it."""
    ledger = sqlite3.connect(STATE / "probe.db")
    mode: str = ledger.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    ledger.execute("CREATE TABLE t (x)")
    return mode


def asks() -> int:
    """Worker processes, started afresh."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(os.getuid).result()


def calls() -> bool:
    """A C library, as it calls MUNGE's."""
    return bool(ctypes.CDLL(None).getpid() == os.getpid())


TRIALS: dict[str, Callable[[], Any]] = {
    "listens": listens,
    "writes": writes,
    "asks": asks,
    "calls": calls,
    "reads the spool": lambda: list((RUN / "spool").iterdir()),
    "moves the spool": lambda: (RUN / "spool").rename(RUN / "mine"),
    "removes the journal": lambda: (STATE / "journal.db").unlink(),
    "reads the token": lambda: Path("/etc/gpucost/node.token").read_text(),
    "writes the hooks": lambda: Path("/etc/gpucost/hooks/gpucost-prolog").write_text(""),
    "looks at copies": lambda: list(Path("/var/backups/gpucost").iterdir()),
    "writes elsewhere": lambda: Path("/opt/probe").write_text(""),
    "takes root": lambda: os.setuid(0),
}


def main() -> None:
    """Note what came of each trial."""
    seen = {}
    for name, trial in TRIALS.items():
        try:
            seen[name] = trial()
        except OSError as error:
            seen[name] = error.__class__.__name__
    (STATE / "probe.json").write_text(json.dumps(seen, default=str))


if __name__ == "__main__":
    main()
