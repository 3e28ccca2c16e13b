"""The collector's user lays links where root is about to write: into his own ledger's lock, a ledger, a journal."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from slurm_gpucost.domain.errors import LedgerError
from slurm_gpucost.ledger.journal import open_journal
from slurm_gpucost.ledger.store import open_ledger

SERVICE = 12345
TEXT = "root:$6$secret:20000:0:99999:7:::\n"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can be made to write what is root's")
Lay = Callable[[Path, Path], None]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "shadow"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """One of the service's user, in a directory where he can lay files."""
    folder = tmp_path / "gpucost"
    folder.mkdir(mode=0o1770)
    path = folder / "ledger.db"
    open_ledger(path).close()
    for file in folder.iterdir():
        file.unlink() if file != path else os.chown(file, SERVICE, SERVICE)
    return path


def symbolic(place: Path, target: Path) -> None:
    place.symlink_to(target)
    os.lchown(place, SERVICE, SERVICE)


def pipe(place: Path, _: Path) -> None:
    os.mkfifo(place)
    os.chown(place, SERVICE, SERVICE)


def untouched(victim: Path) -> bool:
    status = victim.stat()
    return victim.read_text() == TEXT and (status.st_uid, status.st_gid, status.st_mode & 0o777) == (0, 0, 0o640)


@pytest.mark.parametrize("lay", [symbolic, pipe])
def test_the_lock_is_no_way_into_another_file(ledger: Path, victim: Path, lay: Lay) -> None:
    lay(ledger.with_name("ledger.db-writer"), victim)
    with pytest.raises(LedgerError, match="-writer: "):
        open_ledger(ledger)
    assert untouched(victim)


def test_another_file_under_the_lock_s_name_is_locked_and_not_written(ledger: Path, victim: Path) -> None:
    """As where the kernel's fs.protected_hardlinks is off."""
    os.link(victim, ledger.with_name("ledger.db-writer"))
    open_ledger(ledger).close()
    assert untouched(victim)


@pytest.mark.parametrize("beside", ["ledger.db-wal", "ledger.db-shm"])
def test_what_sqlite_keeps_beside_it_neither(ledger: Path, victim: Path, beside: str) -> None:
    symbolic(ledger.with_name(beside), victim)
    with pytest.raises(LedgerError), open_ledger(ledger) as opened, opened.transaction() as db:
        db.execute("INSERT INTO meta VALUES ('a', 'b')")
    assert untouched(victim)


@pytest.mark.parametrize("opens", [open_ledger, lambda path: open_journal(path, lambda: 0)])
def test_nothing_is_made_where_another_user_s_link_leads(tmp_path: Path, opens: Callable[[Path], object]) -> None:
    symbolic(tmp_path / "file.db", tmp_path / "nologin")
    with pytest.raises(LedgerError, match="symbolic link of user 12345"):
        opens(tmp_path / "file.db")
    assert not (tmp_path / "nologin").exists()


def test_an_administrator_s_link_is_followed(tmp_path: Path) -> None:
    """Also where the file is not there yet, for the ledger may lie on another disk."""
    (tmp_path / "ledger.db").symlink_to(tmp_path / "elsewhere.db")
    open_ledger(tmp_path / "ledger.db").close()
    open_ledger(tmp_path / "ledger.db").close()
    assert (tmp_path / "elsewhere.db").stat().st_size > 0


def test_a_journal_that_another_user_made_is_not_taken_for_ours(tmp_path: Path) -> None:
    """What it tells would be his word, not the node's."""
    path = tmp_path / "journal.db"
    open_journal(path, lambda: 0).close()
    os.chown(path, SERVICE, SERVICE)
    with pytest.raises(LedgerError, match="belongs to user 12345"):
        open_journal(path, lambda: 0)


def test_a_copy_of_the_directory_by_hard_links_stops_nobody(ledger: Path, tmp_path: Path) -> None:
    """As `cp -al` and some backups make it; the lock may be a link to another file, too, and is not written then."""
    open_ledger(ledger).close()
    for file in list(ledger.parent.iterdir()):
        os.link(file, tmp_path / file.name)
    with open_ledger(ledger) as opened, opened.transaction() as db:
        db.execute("INSERT INTO meta VALUES ('a', 'b')")
