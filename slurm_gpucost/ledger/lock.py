"""The writers' lock: an flock beside the ledger, with the holder's name in it, taken once a batch.

SQLite's own lock cannot say who holds it; this one can.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from pathlib import Path
from threading import RLock

from slurm_gpucost.domain.errors import LedgerBusy
from slurm_gpucost.ledger.own_files import has_one_name, open_lock, status_of

WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.002
_LINE = 120


class WriterLock:
    """Re-entrant within a process. Raises LedgerBusy, naming the holder, after ``wait_seconds``."""

    def __init__(self, ledger: Path, wait_seconds: float = WAIT_SECONDS) -> None:
        self.path = ledger.with_name(ledger.name + "-writer")
        self._ledger = ledger
        self._wait = wait_seconds
        self._threads = RLock()
        self._depth = 0
        self._fd = -1
        command = " ".join([Path(sys.argv[0]).name or "python", *sys.argv[1:3]])[:_LINE]
        self._name = f"{command} (pid {os.getpid()}"

    def __enter__(self) -> WriterLock:
        self._threads.acquire()
        if self._depth == 0:
            try:
                self._acquire()
            except BaseException:
                self._threads.release()
                raise
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            os.close(self._fd)
        self._threads.release()

    def _acquire(self) -> None:
        owner = status_of(self._ledger)
        self._fd = open_lock(self.path, () if owner is None else (owner.st_uid,))
        is_ours = has_one_name(self._fd)  # to lock another's hurts nobody, to write it may
        if is_ours and owner is not None:
            self._give_to(owner)
        deadline = time.monotonic() + self._wait
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    holder = os.pread(self._fd, 4096, 0).decode("utf-8", "replace").strip()
                    os.close(self._fd)
                    raise LedgerBusy(
                        f"the ledger has been busy for {self._wait:.0f} s: {holder or 'another process'} is writing; "
                        "run this again when it is done"
                    ) from None
                time.sleep(_POLL_SECONDS)
        if not is_ours:
            return
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        # Padded, not truncated: a change of length is a transaction of the file system's journal.
        line = f"{self._name}, since {since})".encode().ljust(2 * _LINE) + b"\n"
        with contextlib.suppress(OSError):  # a full disk must not keep anyone from the lock; only the name is lost
            os.pwrite(self._fd, line, 0)

    def _give_to(self, owner: os.stat_result) -> None:
        """The lock that root makes must be one that the ledger's owner can take; SQLite sees to that for its files."""
        if os.geteuid() == 0:
            with contextlib.suppress(OSError):
                os.fchown(self._fd, owner.st_uid, owner.st_gid)
