"""Opening the ledger: one SQLite file, WAL, never on a network file system, never a file that is something else."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from slurm_gpucost.domain.errors import LedgerError
from slurm_gpucost.ledger import migrations
from slurm_gpucost.ledger.lock import WriterLock
from slurm_gpucost.ledger.own_files import make, refuse_foreign_link

_NETWORK_FILE_SYSTEMS = frozenset(
    "nfs nfs4 cifs smb3 smbfs lustre gpfs beegfs beegfs_nodev ceph glusterfs afs pvfs2 orangefs panfs 9p "
    "ncpfs fuse.sshfs fuse.glusterfs fuse.ceph fuse.s3fs fuse.rclone".split()
)
_CACHE_KIB = 65536
_MEND = "make room or mend the disk, then start again"
"""SQLite says "disk I/O error", too, where a full disk has no room for the files that it keeps beside the ledger."""


class Words(NamedTuple):
    """What a file is called in what is said to the user, and where another one can be named."""

    what: str
    other: str
    option: str


LEDGER = Words("ledger", "name another file (--ledger)", "[ledger] path in the config, or --ledger")
JOURNAL = Words("journal", "name another file ([node] journal in the config)", "[node] journal in the config")


def file_system_of(path: Path, mountinfo: str | None = None) -> str:
    """The type of the file system that holds ``path`` (proc(5), mountinfo); '' where it cannot be known."""
    if mountinfo is None:
        try:
            mountinfo = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
    real, best, kind = os.path.realpath(path), "", ""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) < 5 or not right:
            continue
        mount = fields[4].replace("\\040", " ")
        inside = mount == "/" or real == mount or real.startswith(mount + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, right.split()[0]
    return kind


def refuse_network(path: Path, mountinfo: str | None = None, words: Words = LEDGER) -> None:
    """Raise LedgerError where ``path`` lies on a network file system: SQLite's locks do not hold there."""
    kind = file_system_of(path, mountinfo)
    if kind in _NETWORK_FILE_SYSTEMS:
        raise LedgerError(
            f"{path}: is on a network file system ({kind}), where SQLite's locks cannot be relied on; "
            f"name a file on a local disk ({words.option})"
        )


def _check(connection: sqlite3.Connection, path: Path, words: Words) -> bool:
    """True where the file needs migrations. Raises LedgerError where it is not a ledger of ours, or a newer one."""
    try:
        empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        application_id = connection.execute("PRAGMA application_id").fetchone()[0]
        if empty and application_id in (0, migrations.APPLICATION_ID):
            return True
        if application_id != migrations.APPLICATION_ID:
            raise LedgerError(f"{path}: is an SQLite file but no gpucost {words.what}; {words.other}")
        known, seen = migrations.names(), migrations.applied(connection)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            raise
        raise LedgerError(f"{path}: is no gpucost {words.what} ({error}); {words.other}") from error
    unknown = [name for name in seen if name not in known]
    if unknown:
        raise LedgerError(
            f"{path}: was written by a newer gpucost (it has {', '.join(unknown)}); "
            "update gpucost here, the file was not touched"
        )
    return len(seen) < len(known)


def _connect(path: Path, mode: str, words: Words = LEDGER) -> sqlite3.Connection:
    quoted = str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    try:
        connection = sqlite3.connect(
            f"file:{quoted}?mode={mode}", uri=True, isolation_level=None, timeout=30, check_same_thread=False
        )
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.OperationalError as error:
        hint = _MEND if "disk" in str(error) else f"see {words.option}"
        if "readonly" in str(error) and mode == "ro":
            hint = "whoever was making it did not come to an end; start gpucostd, or `gpucost rebuild`"
        raise LedgerError(f"{path}: cannot be opened ({error}); {hint}") from error
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"{path}: is no gpucost {words.what} ({error}); {words.other}") from error
    return connection


class Ledger:
    """The ledger opened for writing. Every change happens inside :meth:`transaction`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection
        self.lock = WriterLock(path)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One durable batch: under the writers' lock, committed with fsync, rolled back whole on any error."""
        with self.lock:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException as error:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError):
                    raise LedgerError(
                        f"{self.path}: could not be written ({error}); nothing of this batch was kept. "
                        "Make room or mend the disk and run it again: what is already in is not taken twice"
                    ) from error
                raise

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_ledger(path: Path) -> Ledger:
    """Open for writing, made (mode 0600) where missing, brought to the newest schema. Raises LedgerError."""
    ledger = Ledger(path, open_writable(path, LEDGER, migrations.apply))
    ledger.connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    return ledger


def open_writable(
    path: Path, words: Words, apply: Callable[[sqlite3.Connection], None], *first: str
) -> sqlite3.Connection:
    """A file of our schema for writing, made (mode 0600) where missing; ``apply`` makes what it lacks.

    ``first``: pragmas that SQLite only heeds before there is anything in a file.
    """
    if not path.parent.is_dir():
        raise LedgerError(f"{path}: its directory does not exist; make it, or {words.other}")
    refuse_network(path, words=words)
    refuse_foreign_link(path)
    if path.exists() and not path.with_name(path.name + "-journal").exists():
        # Look without touching first: what is refused stays as it was, to the byte. Where whoever made it was killed
        # before it was in WAL mode, a journal must be rolled back first, and only a writer can do that.
        open_readonly(path, check_only=True, words=words).close()
    elif not path.exists():
        make(path)
    connection = _connect(path, "rw", words)
    try:
        with WriterLock(path):
            if _check(connection, path, words):
                for pragma in first:
                    connection.execute(pragma)
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(f"PRAGMA application_id = {migrations.APPLICATION_ID}")
                apply(connection)
    except sqlite3.OperationalError as error:
        raise LedgerError(f"{path}: cannot be prepared ({error}); {_MEND}") from error
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def open_readonly(path: Path, *, check_only: bool = False, words: Words = LEDGER) -> sqlite3.Connection:
    """Open for questions. Raises LedgerError where there is no ledger, or one that this version cannot read."""
    if not path.exists():
        raise LedgerError(f"{path}: there is no ledger; `gpucost backfill` or `gpucostd run` makes it")
    if not path.is_file():
        raise LedgerError(f"{path}: is no file; {words.other}")
    refuse_network(path, words=words)
    connection = _connect(path, "ro", words)
    if _check(connection, path, words) and not check_only:
        connection.close()
        raise LedgerError(f"{path}: has an older schema; `gpucost rebuild` brings it up to date")
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    return connection
