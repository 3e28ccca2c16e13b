"""Files that are no ledger of this version: a clear error, and not a byte of them changes."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from slurm_gpucost.domain.errors import LedgerError
from slurm_gpucost.ledger import store
from slurm_gpucost.ledger.migrations import APPLICATION_ID
from slurm_gpucost.ledger.store import file_system_of, open_ledger, open_readonly, refuse_network
from tests.cluster.rootfs import mountable

NFS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:40 / /home rw,nosuid shared:20 - nfs4 filer:/home rw,vers=4.2
41 40 8:2 / /home/local\\040disk rw shared:21 - xfs /dev/sdb1 rw
42 22 0:41 / /lustre rw - lustre mgs:/fs rw
"""


def state(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def refused(path: Path, *words: str) -> None:
    before = state(path.parent)
    for opener in (open_ledger, open_readonly):
        with pytest.raises(LedgerError) as caught:
            opener(path)
        assert str(path) in str(caught.value)
        assert all(word in str(caught.value) for word in words)
        # SQLite's own -shm and -wal may come beside it; what was there stays as it was.
        after = state(path.parent)
        assert before.items() <= after.items()
        assert after.keys() - before.keys() <= {f"{path.name}-shm", f"{path.name}-wal"}


def test_a_newer_schema(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    open_ledger(path).close()
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('gpucost', '9999_x', '')")
    db.close()
    (tmp_path / "ledger.db-writer").unlink()
    refused(path, "9999_x", "newer gpucost", "not touched")


def test_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("what I meant to say\n" * 200)
    refused(tmp_path / "notes.txt", "no gpucost ledger", "--ledger")


def test_another_applications_database(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE photo (id INTEGER)")
    db.close()
    refused(path, "no gpucost ledger", "--ledger")


def test_another_applications_empty_database(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA application_id = 42")
    db.close()
    refused(path, "no gpucost ledger")


def test_a_directory_that_is_missing_and_one_in_the_files_place(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="directory does not exist"):
        open_ledger(tmp_path / "no" / "ledger.db")
    with pytest.raises(LedgerError, match="there is no ledger"):
        open_readonly(tmp_path / "no" / "ledger.db")
    (tmp_path / "ledger.db").mkdir()
    for opener in (open_ledger, open_readonly):
        with pytest.raises(LedgerError, match="is no file"):
            opener(tmp_path / "ledger.db")


_WRITE = """
import sys
from pathlib import Path
from slurm_gpucost.domain.errors import LedgerError
from slurm_gpucost.ledger.store import open_ledger
try:
    with open_ledger(Path(sys.argv[1])).transaction() as db:
        db.execute("INSERT INTO meta VALUES ('x', 'y')")
except LedgerError as error:
    sys.exit(str(error))
"""


def test_a_read_only_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    open_ledger(path).close()
    before = path.read_bytes()
    write = [sys.executable, "-c", _WRITE, str(path)]
    if os.geteuid() == 0:  # root may write whatever the mode, but not on a read-only file system
        mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
        write = [*mountable(), "unshare", "--mount", "sh", "-c", mount, str(tmp_path), *write]
    path.chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        done = subprocess.run(write, capture_output=True, text=True, timeout=60)
    finally:
        tmp_path.chmod(0o700)
    assert done.returncode == 1
    assert "ledger.db" in done.stderr and "Traceback" not in done.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/ann/x.db", "nfs4"),
        ("/home/local disk/x.db", "xfs"),
        ("/homes/x.db", "ext4"),
        ("/lustre/x.db", "lustre"),
        ("/var/lib/x.db", "ext4"),
    ],
)
def test_the_file_system_is_the_innermost_mounts(path: str, kind: str) -> None:
    assert file_system_of(Path(path), NFS) == kind


def test_a_network_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LedgerError, match=r"network file system \(nfs4\).*local disk"):
        refuse_network(Path("/home/ann/x.db"), NFS)
    refuse_network(Path("/home/local disk/x.db"), NFS)
    path = tmp_path / "ledger.db"
    open_ledger(path).close()
    monkeypatch.setattr(store, "file_system_of", lambda path, mountinfo=None: "nfs")
    refused(path, "network file system (nfs)", "--ledger")
    with pytest.raises(LedgerError, match="network file system"):
        open_ledger(tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()


def test_a_ledger_is_its_owners_alone_and_shows_what_it_is(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with open_ledger(tmp_path / "ledger.db") as ledger:
            assert ledger.connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            assert ledger.connection.execute("PRAGMA synchronous").fetchone()[0] == 2
            with ledger.transaction() as db:
                db.execute("INSERT INTO meta VALUES ('a', 'b')")
            modes = {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir()}
    finally:
        os.umask(old)
    assert set(modes.values()) == {0o600}, modes
    assert (tmp_path / "ledger.db").read_bytes()[68:72] == APPLICATION_ID.to_bytes(4, "big")
