"""The schema's steps: through sqlite-utils, and by the sqlite3 shell alone."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from importlib import resources
from pathlib import Path

import pytest

from slurm_gpucost.domain.errors import LedgerError
from slurm_gpucost.domain.evidence import (
    AccountFact,
    AccountingRow,
    AccountReport,
    AssociationReport,
    ControllerRow,
    CoordinatorReport,
    DeviceReport,
    HookEvent,
    NodeEvent,
    NodeReport,
    PrivacyReport,
    SlotReport,
    UserReport,
)
from slurm_gpucost.domain.inventory import Capacity
from slurm_gpucost.domain.records import Attempt, Lease
from slurm_gpucost.domain.timeline import DeviceTime
from slurm_gpucost.ledger import migrations
from slurm_gpucost.ledger.rights import UserToken
from slurm_gpucost.ledger.store import open_ledger, open_readonly


def schema(db: sqlite3.Connection) -> list[tuple[str, str]]:
    rows = db.execute("SELECT name, sql FROM sqlite_master WHERE name NOT GLOB '*sqlite_*' ORDER BY name")
    return [(name, sql) for name, sql in rows if sql]


def test_steps_are_applied_once_and_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    for _ in range(2):
        with open_ledger(path) as ledger:
            assert migrations.applied(ledger.connection) == migrations.names()
    assert migrations.names() == sorted(migrations.names())


def test_the_sqlite3_shell_alone_makes_the_same_schema(tmp_path: Path) -> None:
    shell = shutil.which("sqlite3")
    if shell is None:
        pytest.skip("SKIPPED FOR WANT OF sqlite3: install Debian's package sqlite3 to test the schema files with it")
    for name in migrations.names():
        text = (resources.files(migrations) / f"{name}.sql").read_text(encoding="utf-8")
        subprocess.run([shell, "-bail", tmp_path / "shell.db"], input=text, text=True, check=True)
    with open_ledger(tmp_path / "ours.db") as ours:
        made = sqlite3.connect(tmp_path / "shell.db")
        assert schema(made) == schema(ours.connection)
        made.close()


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("accounting_row", AccountingRow),
        ("hook_event", HookEvent),
        ("controller_row", ControllerRow),
        ("slot_report", SlotReport),
        ("device_report", DeviceReport),
        ("node_report", NodeReport),
        ("node_event", NodeEvent),
        ("account_report", AccountReport),
        ("account_fact", AccountFact),
        ("user_report", UserReport),
        ("coordinator_report", CoordinatorReport),
        ("association_report", AssociationReport),
        ("privacy_report", PrivacyReport),
        ("user_token", UserToken),
        ("capacity", Capacity),
        ("device_time", DeviceTime),
        ("attempt", Attempt),
        ("lease", Lease),
    ],
)
def test_columns_are_the_fields_in_their_order(tmp_path: Path, table: str, kind: type[AccountingRow]) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        columns = [row[1] for row in ledger.connection.execute(f"PRAGMA table_info({table})")]
    fields = [name.rstrip("_") for name in kind._fields]
    assert columns[: len(fields)] == fields
    assert len(columns) == len(fields) or table == "lease", "the view has what helps to ask, after the fields"


def test_a_step_that_was_cut_off_is_made_good(tmp_path: Path) -> None:
    # A kill after the file was made and before its first step: an empty file of ours.
    (tmp_path / "ledger.db").touch()
    with open_ledger(tmp_path / "ledger.db") as ledger:
        assert migrations.applied(ledger.connection) == migrations.names()


def test_a_ledger_whose_maker_was_killed_is_made_again(tmp_path: Path) -> None:
    """Before WAL mode there is a rollback journal, which nobody can roll back who only reads."""
    with sqlite3.connect(tmp_path / "made.db", isolation_level=None) as db:
        db.execute("PRAGMA cache_spill = 1")
        db.execute("PRAGMA cache_size = 1")
        db.execute("BEGIN")
        db.execute("CREATE TABLE half (x)")
        db.executemany("INSERT INTO half VALUES (?)", [("y" * 4000,)] * 50)
        shutil.copy(tmp_path / "made.db", tmp_path / "ledger.db")
        shutil.copy(tmp_path / "made.db-journal", tmp_path / "ledger.db-journal")
    db.close()
    with pytest.raises(LedgerError, match="did not come to an end; start gpucostd"):
        open_readonly(tmp_path / "ledger.db")
    with open_ledger(tmp_path / "ledger.db") as ledger:
        assert migrations.applied(ledger.connection) == migrations.names()
