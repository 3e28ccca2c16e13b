"""Several writers, and writers that die."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slurm_gpucost.domain.errors import LedgerBusy
from slurm_gpucost.ledger import ingest
from slurm_gpucost.ledger.lock import WriterLock
from slurm_gpucost.ledger.store import open_ledger, open_readonly
from tests.unit.builders import accounting

BATCH = 50
WRITER = """
import sys, time
from pathlib import Path
from slurm_gpucost.ledger import ingest
from slurm_gpucost.ledger.store import open_ledger
from tests.unit.builders import accounting
first, batches, pause = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
ledger = open_ledger(Path(sys.argv[1]))
for batch in range(batches):
    with ledger.transaction() as db:
        for i in range(50):
            ingest.add_accounting(db, [accounting(0, 10, job_id=first + batch * 50 + i)])
            time.sleep(pause)
    print(batch, flush=True)
"""


def writer(path: Path, first: int, batches: int, pause: float = 0.0) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", WRITER, str(path), str(first), str(batches), str(pause)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def count(path: Path, table: str = "accounting_row") -> int:
    with open_ledger(path) as ledger:
        found: int = ledger.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        assert ledger.connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    return found


@pytest.mark.parametrize("after", [0, 2])
def test_a_kill_in_the_middle_of_a_batch_leaves_whole_batches(tmp_path: Path, after: int) -> None:
    path = tmp_path / "ledger.db"
    open_ledger(path).close()
    process = writer(path, 1, 100, pause=0.002)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(after)]
    while not (path.with_name("ledger.db-wal")).exists():
        time.sleep(0.01)
    time.sleep(0.05)  # a batch takes 0.1 s: this is in its middle
    process.send_signal(signal.SIGKILL)
    process.wait()
    said += process.stdout.read().splitlines()
    process.stdout.close()
    rows = count(path)
    assert rows % BATCH == 0
    assert rows // BATCH in (len(said), len(said) + 1)  # killed between commit and saying so
    assert count(path, "dirty_job") == rows
    with open_ledger(path) as ledger, ledger.transaction() as db:  # the dead writer's lock is gone
        assert ingest.add_accounting(db, [accounting(0, 10, job_id=999_999)]) == 1


def test_two_writers_at_once_both_succeed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    both = [writer(path, first, 20) for first in (1, 100_001)]
    for process in both:
        process.communicate()
    assert [process.returncode for process in both] == [0, 0]
    assert count(path) == 2 * 20 * BATCH


def test_who_waits_too_long_is_told_who_is_busy(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger, ledger.transaction():
        started = time.monotonic()
        with pytest.raises(LedgerBusy, match=rf"\(pid {os.getpid()}, since 20") as caught, WriterLock(path, 0.2):
            pass
        assert 0.15 < time.monotonic() - started < 5
        assert Path(sys.argv[0]).name in str(caught.value)
    with WriterLock(path, 0.2):  # and afterwards it is free
        pass


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger, ledger.transaction() as db:
        ingest.add_accounting(db, [accounting()])
        reader = open_readonly(path)
        assert reader.execute("SELECT count(*) FROM accounting_row").fetchone()[0] == 0
        reader.close()


def test_an_error_in_a_batch_keeps_nothing_of_it(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        with pytest.raises(RuntimeError), ledger.transaction() as db:
            ingest.add_accounting(db, [accounting()])
            raise RuntimeError
        assert ledger.connection.execute("SELECT count(*) FROM accounting_row").fetchone()[0] == 0
    text = (tmp_path / "ledger.db-writer").read_text()
    assert re.match(r".* \(pid \d+, since ", text)
