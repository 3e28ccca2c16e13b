"""A node's journal: numbers for all that comes, made with sqlite3 alone, bounded, and never another's."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils

from slurm_gpucost.domain.errors import LedgerError
from slurm_gpucost.domain.evidence import DeviceReport, HookEvent, SlotReport
from slurm_gpucost.domain.occupancy import DeviceProcess, MigInstance
from slurm_gpucost.domain.windows import Window
from slurm_gpucost.domain.wire import TABLES, Rows
from slurm_gpucost.ledger import ingest, journal_room, measured, migrations, reports
from slurm_gpucost.ledger.journal import Journal, acknowledged, last, machine, oldest, open_journal, read_journal
from slurm_gpucost.ledger.journal_batch import batch_rows
from slurm_gpucost.ledger.store import open_ledger
from tests.unit.builders import T0, hook

ROOT = Path(__file__).parents[3]
DAY = 86_400_000


class Clock:
    now = T0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path, clock: Clock) -> Iterator[Journal]:
    with open_journal(tmp_path / "journal.db", clock, "here") as opened:
        yield opened


def window(number: int, device: str = "GPU-a") -> Window:
    values: dict[str, Any] = dict.fromkeys(Window._fields, 0)
    values |= {"device": device, "start_ms": T0 + number * 1000, "end_ms": T0 + number * 1000 + 1000}
    values |= {"energy_source": "counter", "energy_epoch": "e"}
    return Window(**values)


def device(at: int = 0, model: str = "A100") -> DeviceReport:
    return DeviceReport("GPU-a", model.encode(), T0 + at, "n1", model, "", 0, 0, "0:0", 1, None, "560")


def process(seen: int) -> DeviceProcess:
    return DeviceProcess("GPU-a", "b", 7, 1, 2001, "ann", "python", T0, T0 + seen, 1)


def add_windows(journal: Journal, numbers: range) -> None:
    with journal.transaction() as db:
        measured.add_windows(db, map(window, numbers))


def add_events(journal: Journal, numbers: range) -> list[HookEvent]:
    events = [hook("prolog", n, job_id=n) for n in numbers]
    with journal.transaction() as db:
        ingest.add_hooks(db, events)
    return events


def all_rows(journal: Journal, first: int = 1) -> Rows:
    upto, rows = batch_rows(journal.connection, first, 10**6, 10**9)
    assert upto == last(journal.connection)
    return rows


def records(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT id, migration_set, name FROM _sqlite_migrations ORDER BY id").fetchall()


def schema(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name").fetchall()


def first_steps(path: Path, count: int, *, plainly: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file as a version with fewer steps would have made it."""
    names = migrations.names()[:count]
    with monkeypatch.context() as older, closing(sqlite3.connect(path, isolation_level=None)) as db:
        older.setattr(migrations, "names", lambda: names)
        db.execute(f"PRAGMA application_id = {migrations.APPLICATION_ID}")
        (migrations.apply_plainly if plainly else migrations.apply)(db)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_either_way_of_migrating_goes_on_where_the_other_stopped(
    tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, plainly in (("plain", True), ("utils", False)):
        first_steps(tmp_path / name, count, plainly=plainly, monkeypatch=monkeypatch)
    with closing(sqlite3.connect(tmp_path / "plain", isolation_level=None)) as db:
        migrations.apply(db)
        assert sqlite_utils.Database(db).table("_sqlite_migrations").pks == ["id"]
    with closing(sqlite3.connect(tmp_path / "utils", isolation_level=None)) as db:
        migrations.apply_plainly(db)
        migrations.apply_plainly(db)
    open_ledger(tmp_path / "ledger").close()
    assert schema(tmp_path / "plain") == schema(tmp_path / "utils") == schema(tmp_path / "ledger")
    assert records(tmp_path / "plain") == records(tmp_path / "utils") == records(tmp_path / "ledger")


def test_a_step_that_fails_leaves_nothing_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(tmp_path / "j", isolation_level=None)) as db:
        steps = {"1": ["CREATE TABLE a (x)"], "2": ["CREATE TABLE b (x)", "CREATE TABLE a (x)"]}
        monkeypatch.setattr(migrations, "names", lambda: list(steps))
        monkeypatch.setattr(migrations, "statements", lambda name: iter(steps[name]))
        with pytest.raises(sqlite3.OperationalError):
            migrations.apply_plainly(db)
        assert migrations.applied(db) == ["1"]
        assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'b'").fetchone() == (0,)


def test_it_is_made_without_sqlite_utils_and_for_its_owner_alone(tmp_path: Path) -> None:
    code = "import sys; sys.modules['sqlite_utils'] = None\nfrom pathlib import Path\n"
    code += "from slurm_gpucost.ledger.journal import open_journal\nopen_journal(Path(sys.argv[1]), lambda: 1).close()"
    path = tmp_path / "journal.db"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, cwd=ROOT)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"SQLite format 3" in path.read_bytes()[:16]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA application_id").fetchone() == (migrations.APPLICATION_ID,)


def test_every_table_of_the_wire_is_numbered_and_comes_back_as_it_was(journal: Journal) -> None:
    (event,) = add_events(journal, range(1))
    slot = SlotReport("c", "n1", "gpu", 0, "a100", "GPU-a", T0)
    layout = MigInstance("GPU-a", T0, "MIG-x", "1g", 1, 0, 1, 1, 7, 10)
    with journal.transaction() as db:
        measured.add_windows(db, [window(1)])
        measured.add_layouts(db, [layout])
        measured.add_processes(db, [process(5)])
        reports.add_devices(db, [device()])
        reports.add_slots(db, [slot])
        ingest.set_aside(db, "hook", "f", None, "cut", b"\x00\xff", T0)
    rows = all_rows(journal)
    assert rows.keys() == TABLES.keys()
    assert rows["hook_event"] == [event]
    assert rows["usage_window"] == [window(1)]
    assert rows["slot_report"] == [slot]
    assert rows["mig_report"] == [layout]
    assert rows["device_report"] == [device()]
    assert rows["device_process"] == [process(5)]
    assert [row.content for row in rows["set_aside"]] == [b"\x00\xff"]
    assert last(journal.connection) == 7


def test_what_changes_is_numbered_again_and_what_does_not_is_not(journal: Journal) -> None:
    for seen in (1, 9, 9, 4):
        with journal.transaction() as db:
            measured.add_processes(db, [process(seen)])
    assert last(journal.connection) == 2, "a longer stay is news; the same one, or a shorter, is none"
    assert all_rows(journal)["device_process"] == [process(9)], "each row once, as it stands"
    late, early = hook("prolog", 9, job_id=1), hook("prolog", 9, job_id=1)._replace(at_ms=T0 + 3)
    for event in (late, early, late):
        with journal.transaction() as db:
            ingest.add_hooks(db, [event])
    assert last(journal.connection) == 4
    assert all_rows(journal, 3) == {"hook_event": [early]}


def test_batches_are_cut_by_rows_and_by_bytes_and_meet(journal: Journal) -> None:
    add_events(journal, range(100))
    for most_rows, most_bytes in ((7, 10**9), (1, 10**9), (1000, 2000), (1000, 1)):
        first, jobs = 1, []
        while first <= 100:
            upto, rows = batch_rows(journal.connection, first, most_rows, most_bytes)
            assert upto >= first
            jobs += [row.job_id for row in rows["hook_event"]]
            first = upto + 1
        assert jobs == list(range(100))


def test_an_entry_whose_row_is_gone_is_passed(journal: Journal) -> None:
    add_windows(journal, range(3))
    journal.connection.execute("DELETE FROM usage_window WHERE start_ms = ?", (T0 + 1000,))
    assert [row.start_ms - T0 for row in all_rows(journal)["usage_window"]] == [0, 2000]
    journal.connection.execute("DELETE FROM journal_entry WHERE seq = 3")
    assert batch_rows(journal.connection, 3, 10, 10**6) == (3, {})


def test_a_copy_on_another_machine_and_one_that_went_back_send_all_again(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "journal.db"
    with open_journal(path, clock, "here") as journal:
        add_windows(journal, range(5))
        journal.acknowledge(5)
        first = journal.id
    with open_journal(path, clock, "here") as journal:
        assert (journal.id, acknowledged(journal.connection)) == (first, 5)
    with open_journal(path, clock, "there") as journal:
        second = journal.id
        assert second != first
        assert acknowledged(journal.connection) == 0
        assert len(all_rows(journal)["usage_window"]) == 5
        journal_room.prune(journal, clock.now + 1)
        add_windows(journal, range(5, 8))
        journal.connection.execute("DELETE FROM journal_entry WHERE seq <= 2")
        journal.renew()
        assert journal.id not in (first, second)
        assert (oldest(journal.connection), last(journal.connection)) == (1, 6), "it does not claim to lack any"
        add_windows(journal, range(8, 9))
        assert last(journal.connection) == 7


def test_a_machine_is_known_by_all_its_ids(tmp_path: Path) -> None:
    files = (tmp_path / "machine-id", tmp_path / "uuid")
    named = machine(files)
    for file in files:
        file.write_text("a\n")
    both = machine(files)
    files[1].write_text("b\n")
    assert len({named, both, machine(files)}) == 3, "a cloned disk keeps the first, and is another machine"
    assert named == machine((tmp_path / "none",) * 2)


def test_a_ledger_is_no_journal_and_stays_as_it_is(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger, ledger.transaction() as db:
        ingest.add_hooks(db, [hook("prolog", 1)])
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"is a ledger, .*\[node\] journal"):
        open_journal(path, clock, "here")
    assert path.read_bytes() == before
    (tmp_path / "text").write_text("no\n" * 999)
    with pytest.raises(LedgerError, match=r"no gpucost journal .*\[node\] journal"):
        open_journal(tmp_path / "text", clock, "here")


def test_only_what_is_acknowledged_and_old_goes(journal: Journal, clock: Clock) -> None:
    add_windows(journal, range(10))
    with journal.transaction() as db:
        measured.add_processes(db, [process(1)])
    clock.now += 15 * DAY
    add_windows(journal, range(10, 20))
    with journal.transaction() as db:
        measured.add_processes(db, [process(2)])
    assert journal_room.prune(journal, clock.now - 14 * DAY) == 0, "nothing of it was acknowledged"
    journal.acknowledge(4)
    assert journal_room.prune(journal, clock.now - 14 * DAY) == 4
    journal.acknowledge(22)
    assert journal_room.prune(journal, clock.now - 14 * DAY) == 7
    assert (oldest(journal.connection), last(journal.connection)) == (12, 22)
    rows = all_rows(journal)
    assert [row.start_ms for row in rows["usage_window"]] == [window(n).start_ms for n in range(10, 20)]
    assert rows["device_process"] == [process(2)], "a newer entry is about it"
    add_events(journal, range(1))
    assert journal.connection.execute("SELECT count(*) FROM dirty_job").fetchone() == (1,)
    journal_room.prune(journal, 0)
    assert journal.connection.execute("SELECT count(*) FROM dirty_job").fetchone() == (0,)


def test_a_report_that_stands_is_never_let_go_of(journal: Journal, clock: Clock) -> None:
    """A collector that begins anew must learn whose the windows are."""
    slot = SlotReport("c", "n1", "gpu", 0, "a100", "GPU-a", T0)
    with journal.transaction() as db:
        reports.add_devices(db, [device(), device(5, "A100 80GB")])
        reports.add_slots(db, [slot])
        measured.add_layouts(db, [MigInstance("GPU-a", T0, "", "", None, None, 0, 0, 7, 0)])
    for _ in range(3):
        clock.now += 15 * DAY
        journal.acknowledge(last(journal.connection))
        assert journal_room.prune(journal, clock.now - 14 * DAY) > 0
        rows = all_rows(journal, oldest(journal.connection))
        assert rows["device_report"] == [device(5, "A100 80GB")]
        assert rows["slot_report"] == [slot]
        assert len(rows["mig_report"]) == 1
        assert oldest(journal.connection) > 1, "what is gone is not said to be here"


def test_at_the_bound_windows_go_and_hook_events_never(journal: Journal) -> None:
    events = add_events(journal, range(2000))
    bound = 2 * 1024 * 1024
    dropped = 0
    for round_ in range(30):
        add_windows(journal, range(round_ * 1000, round_ * 1000 + 1000))
        dropped += journal_room.shrink(journal, bound)
    while journal_room.used_bytes(journal.connection) > bound:
        dropped += journal_room.shrink(journal, bound)
    rows = all_rows(journal)
    assert rows["hook_event"] == events
    assert dropped == journal_room.dropped_windows(journal.connection) == 30_000 - len(rows["usage_window"]) > 10_000
    newest = [row.start_ms for row in rows["usage_window"]]
    assert newest == [window(n).start_ms for n in range(dropped, 30_000)], "the oldest went first"
    journal.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert journal.path.stat().st_size <= bound + 1024 * 1024, "the file is no larger than what is in use"


def test_at_the_bound_what_is_acknowledged_goes_before_what_is_not(journal: Journal) -> None:
    add_events(journal, range(3000))
    journal.acknowledge(3000)
    add_windows(journal, range(3000))
    bound = journal_room.used_bytes(journal.connection) - 4096
    assert journal_room.shrink(journal, bound) == 0
    rows = all_rows(journal)
    assert len(rows["usage_window"]) == 3000
    assert 0 < len(rows["hook_event"]) < 3000


def test_whoever_reads_sees_only_what_is_committed(journal: Journal) -> None:
    with closing(read_journal(journal.path)) as reader:
        with journal.transaction() as db:
            measured.add_windows(db, [window(1)])
            assert last(reader) == 0
        assert last(reader) == 1
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM usage_window")
