"""The writers' lock beside a ledger that belongs to another user."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slurm_gpucost.ledger.store import open_ledger

SERVICE = 12345


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can write another user's ledger")
def test_root_leaves_nothing_that_the_ledgers_owner_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    open_ledger(path).close()
    for file in tmp_path.iterdir():
        file.unlink() if file != path else os.chown(file, SERVICE, SERVICE)
    with open_ledger(path) as ledger, ledger.transaction() as db:
        db.execute("INSERT INTO meta VALUES ('a', 'b')")
        owners = {file.name: file.stat().st_uid for file in tmp_path.iterdir()}
    assert "ledger.db-writer" in owners and "ledger.db-wal" in owners
    assert set(owners.values()) == {SERVICE}
