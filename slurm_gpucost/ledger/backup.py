"""A whole copy of a ledger, of one moment, while others write; checked before it has its name."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from slurm_gpucost.domain.errors import LedgerError
from slurm_gpucost.ledger.store import open_readonly, refuse_network
from slurm_gpucost.ledger.whole import faults

_BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file and would take for a new one's, too."""


def copy(source: Path, target: Path) -> int:
    """Copy a ledger to a file that is not there yet (mode 0600), durably; its bytes. An older schema stays as it is.

    Raises LedgerError where the source is no whole ledger that this version knows, or the target cannot be made; then
    there is no target. Waits for nobody and keeps nobody waiting: it reads one moment of the write-ahead log.
    """
    refuse_network(target)
    for path in (target, *(target.with_name(target.name + end) for end in _BESIDE)):
        if path.exists():
            raise LedgerError(f"{path}: is there already and stays as it is; name another file, or move it away")
    if not target.parent.is_dir():
        raise LedgerError(f"{target}: its directory does not exist; make it, or name another file")
    with closing(open_readonly(source, check_only=True)) as old:
        handle, name = _temporary(target)
        made = Path(name)
        try:
            with closing(sqlite3.connect(made, isolation_level=None)) as new:
                old.backup(new)
                new.execute("PRAGMA journal_mode = DELETE")  # one file, until somebody opens it for writing
                _whole(new, source)
            os.fsync(handle)
            target.hardlink_to(made)
            _sync(target.parent)
            return target.stat().st_size
        except FileExistsError:
            raise LedgerError(f"{target}: is there already and stays as it is; name another file") from None
        except (sqlite3.DatabaseError, OSError) as error:
            raise LedgerError(f"{source}: cannot be copied to {target} ({error}); nothing was kept") from error
        finally:
            os.close(handle)
            for path in (made, *(made.with_name(made.name + end) for end in _BESIDE)):
                path.unlink(missing_ok=True)


def _temporary(target: Path) -> tuple[int, str]:
    try:
        return tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise LedgerError(f"{target}: cannot be made ({error.strerror})") from error


def _whole(db: sqlite3.Connection, source: Path) -> None:
    found = faults(db)
    if found:
        raise LedgerError(f"{source}: is damaged ({'; '.join(found[:3])}); nothing was kept. Is there an older backup?")


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
