"""Short looks into the ledger, read-only, in threads: never in the loop of connections."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from slurm_gpucost.domain.errors import LedgerError
from slurm_gpucost.ledger.store import open_readonly

Found = TypeVar("Found")
THREADS = 2


class Reader:
    """Each of its threads has a connection of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._threads = ThreadPoolExecutor(THREADS, "reader")
        self._own = threading.local()
        self._open: list[sqlite3.Connection] = []

    async def look(self, work: Callable[[sqlite3.Connection], Found]) -> Found:
        """What ``work`` finds. Raises LedgerError where the ledger cannot be read."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._look, work)

    def _look(self, work: Callable[[sqlite3.Connection], Found]) -> Found:
        try:
            if getattr(self._own, "db", None) is None:
                self._own.db = open_readonly(self.path)
                self._open.append(self._own.db)
            return work(self._own.db)
        except sqlite3.Error as error:
            self._forget()
            raise LedgerError(f"{self.path}: could not be read ({error}); try again") from error

    def close(self) -> None:
        """No more looks; whoever closes the ledger after this is the last, and leaves no WAL."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for db in self._open:
            db.close()

    def _forget(self) -> None:
        db, self._own.db = getattr(self._own, "db", None), None
        if db is not None:
            self._open.remove(db)
            db.close()
