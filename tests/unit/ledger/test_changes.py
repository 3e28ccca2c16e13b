"""The log of changes: what was written down can be neither edited nor taken out unseen."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_gpucost.ledger import changes
from slurm_gpucost.ledger.cards import Rate
from slurm_gpucost.ledger.changes import Change
from slurm_gpucost.ledger.store import Ledger, open_ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path / "ledger.db") as opened:
        with opened.transaction() as db:
            for n in range(1, 4):
                assert changes.add(db, Change(n, "ann", 0, "h", "/dev/pts/1", "rates", f'{{"n": {n}}}', "")) == n
        yield opened


def test_the_log_is_whole(ledger: Ledger) -> None:
    assert changes.first_broken(ledger.connection) is None
    assert len(changes.last_hash(ledger.connection)) == 32


@pytest.mark.parametrize("statement", ["UPDATE change_log SET login = 'eve'", "DELETE FROM change_log WHERE seq = 3"])
def test_it_cannot_be_edited(ledger: Ledger, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        ledger.connection.execute(statement)


@pytest.mark.parametrize(
    ("forgery", "found"),
    [
        ("UPDATE change_log SET login = 'eve' WHERE seq = 2", 2),
        ("UPDATE change_log SET at_ms = 9 WHERE seq = 3", 3),
        ("DELETE FROM change_log WHERE seq = 2", 2),
        ("DELETE FROM change_log WHERE seq = 1", 1),
        ("UPDATE change_log SET hash = (SELECT hash FROM change_log WHERE seq = 1) WHERE seq = 3", 3),
    ],
)
def test_whoever_goes_round_the_triggers_is_found(ledger: Ledger, forgery: str, found: int) -> None:
    db = ledger.connection
    db.execute("DROP TRIGGER change_log_is_not_edited")
    db.execute("DROP TRIGGER change_log_is_not_cut")
    db.execute(forgery)
    assert changes.first_broken(db) == found


def test_cut_off_at_the_end_the_hash_is_another(ledger: Ledger) -> None:
    noted = changes.last_hash(ledger.connection)
    ledger.connection.execute("DROP TRIGGER change_log_is_not_cut")
    ledger.connection.execute("DELETE FROM change_log WHERE seq = 3")
    assert changes.last_hash(ledger.connection) != noted


@pytest.mark.parametrize(
    ("table", "columns"),
    [("change_log", ("seq", *Change._fields, "hash")), ("rate", (*Rate._fields, "seq"))],
)
def test_columns_stand_in_the_order_of_fields(ledger: Ledger, table: str, columns: tuple[str, ...]) -> None:
    assert tuple(row[1] for row in ledger.connection.execute(f"PRAGMA table_info({table})")) == columns
