"""A copy is the ledger of one moment, whoever writes meanwhile; what is damaged, there already or none is refused."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from slurm_gpucost.domain.errors import LedgerError
from slurm_gpucost.ledger import ingest, reports
from slurm_gpucost.ledger.backup import copy
from slurm_gpucost.ledger.projector import project_dirty
from slurm_gpucost.ledger.store import open_ledger, open_readonly
from tests.unit.builders import accounting
from tests.unit.uplinked import device, slot


def fill(path: Path, first: int, jobs: int) -> None:
    with open_ledger(path) as ledger:
        with ledger.transaction() as db:
            ingest.add_accounting(db, [accounting(n, n + 10, job_id=n) for n in range(first, first + jobs)])
        project_dirty(ledger, {})


def dump(path: Path) -> list[str]:
    with closing(open_readonly(path)) as db:
        db.row_factory = None
        return list(db.iterdump())


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_copy_is_the_same_and_goes_on(tmp_path: Path) -> None:
    old, saved, back = (tmp_path / name for name in ("ledger.db", "copy.db", "back.db"))
    fill(old, 1, 50)
    with closing(sqlite3.connect(old)) as reader:  # keeps the write-ahead log where it is
        reader.execute("SELECT count(*) FROM attempt").fetchone()
        size = copy(old, saved)
    assert (saved.stat().st_size, saved.stat().st_mode & 0o777) == (size, 0o600)
    assert dump(saved) == dump(old)
    assert {"copy.db-wal", "copy.db-shm"} & left(tmp_path) == set(), "one file"
    copy(saved, back)
    fill(back, 51, 5)
    with closing(open_readonly(back)) as db:
        assert db.execute("SELECT count(*) FROM attempt").fetchone()[0] == 55


def test_who_writes_meanwhile_is_not_held_up_and_not_half_copied(tmp_path: Path) -> None:
    path, stop, failed = tmp_path / "ledger.db", threading.Event(), []
    fill(path, 1, 2000)

    def write() -> None:
        try:
            with open_ledger(path) as ledger:
                for n in range(10_000, 30_000, 2):
                    if stop.is_set():
                        return
                    with ledger.transaction() as db:  # two rows at a time
                        ingest.add_accounting(db, [accounting(m, m + 1, job_id=m) for m in (n, n + 1)])
        except Exception as error:
            failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for n in range(5):
            copy(path, tmp_path / f"copy{n}.db")
    finally:
        stop.set()
        writer.join()
    assert not failed
    counts = []
    for n in range(5):
        with closing(sqlite3.connect(tmp_path / f"copy{n}.db")) as db:
            counts.append(db.execute("SELECT count(*) FROM accounting_row").fetchone()[0])
    assert counts == sorted(counts) and all(count % 2 == 0 for count in counts), "of one moment each"
    assert counts[-1] > 2000


@pytest.mark.parametrize("name", ["copy.db", "copy.db-wal", "copy.db-shm", "copy.db-journal"])
def test_what_is_there_stays(tmp_path: Path, name: str) -> None:
    fill(tmp_path / "ledger.db", 1, 3)
    (tmp_path / name).write_text("mine")
    before = left(tmp_path)
    with pytest.raises(LedgerError, match="is there already and stays as it is"):
        copy(tmp_path / "ledger.db", tmp_path / "copy.db")
    assert (tmp_path / name).read_text() == "mine"
    assert left(tmp_path) == before


def test_reports_of_slots_and_devices_are_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger, ledger.transaction() as db:
        reports.add_slots(db, [slot(0), slot(1)])
        reports.add_devices(db, [device()])
    copy(path, tmp_path / "copy.db")
    assert dump(tmp_path / "copy.db") == dump(path)


def test_a_null_where_none_can_be_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger, ledger.transaction() as db:
        reports.add_slots(db, [slot(0), slot(1)])
    _retype(path, "gres_type TEXT NOT NULL", "gres_type TEXT")
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE slot_report SET gres_type = NULL WHERE gres_index = 1")
        db.commit()
    _retype(path, "gres_type TEXT", "gres_type TEXT NOT NULL")
    with pytest.raises(LedgerError, match=r"damaged \(NULL value in slot_report.gres_type\)"):
        copy(path, tmp_path / "copy.db")


def _retype(path: Path, before: str, after: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE name = 'slot_report'", (before, after))
        db.commit()


def test_a_damaged_ledger_gives_no_copy(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    fill(path, 1, 3000)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(bytes(range(256)) * 64)
    before = left(tmp_path)
    with pytest.raises(LedgerError, match=r"damaged|cannot be copied"):
        copy(path, tmp_path / "copy.db")
    assert left(tmp_path) == before


def test_what_is_no_ledger_or_a_newer_one_is_no_backup(tmp_path: Path) -> None:
    text, other, newer = (tmp_path / name for name in ("text", "other.db", "newer.db"))
    text.write_text("hello, this is no database at all, whatever its length")
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE t (x)")
    fill(newer, 1, 1)
    with closing(sqlite3.connect(newer)) as db:
        db.execute("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
                   "SELECT migration_set, '9999_future', applied_at FROM _sqlite_migrations LIMIT 1")  # fmt: skip
        db.commit()
    before = left(tmp_path)
    for path, told in (
        (text, "is no gpucost ledger"), (other, "no gpucost ledger"), (newer, "written by a newer gpucost"),
        (tmp_path / "gone.db", "there is no ledger"),
    ):  # fmt: skip
        with pytest.raises(LedgerError, match=told):
            copy(path, tmp_path / "ledger.db")
    with pytest.raises(LedgerError, match="its directory does not exist"):
        copy(newer, tmp_path / "nowhere" / "copy.db")
    assert left(tmp_path) - before <= {"newer.db-wal", "newer.db-shm"}
