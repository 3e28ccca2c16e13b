"""Accounting that was not taken in is asked for again, whatever went wrong and whoever asked in between."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.domain.evidence import AccountingRow
from slurm_gpucost.ledger import ingest
from slurm_gpucost.ledger.store import Ledger, open_ledger
from slurm_gpucost.services import collect
from slurm_gpucost.services.accounting import Accounting
from slurm_gpucost.services.engine import Engine
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources.accounting_text import FIELDS
from slurm_gpucost.sources.sacct import Slice
from tests.unit.builders import config, fake_sacct, script
from tests.unit.services.test_engine import NOW, count, until

DAY = 86_400_000


def test_a_reply_that_is_cut_short_is_no_good_poll_and_is_kept(tmp_path: Path) -> None:
    settings = config(tmp_path)
    with open_ledger(settings.ledger) as ledger:
        with pytest.raises(SourceError, match="whole records"):
            reply = Slice(0, 1000, "SEP", "JobIDRawSEPx\n7SEP")
            collect.take_accounting(ledger, settings, reply, 1000, current=True, asked_until_ms=1000)
        assert count(ledger, "source_poll", "ok = 1") == 0
        assert count(ledger, "set_aside", "witness = 'sacct'") == 1
        assert ingest.asked_until(ledger.connection, settings.cluster) is None


def test_a_slice_that_could_not_be_written_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = script(tmp_path / "silent", "exit 1")
    sacct = fake_sacct(tmp_path / "sacct")
    settings = replace(config(tmp_path), sacct=sacct, scontrol=silent, sacctmgr=silent, squeue=silent, slurmd=silent)
    real, calls = ingest.add_accounting, []

    def first_fails(db: sqlite3.Connection, rows: Iterable[AccountingRow]) -> int:
        calls.append(1)
        if len(calls) == 1:
            raise sqlite3.OperationalError("database or disk is full")
        return real(db, rows)

    monkeypatch.setattr(ingest, "add_accounting", first_fails)
    with open_ledger(settings.ledger) as ledger:
        work = Engine(settings, ledger, lambda: NOW, None)
        until(work, lambda: len(calls) >= 2)  # the first look back has two slices
        for _ in range(5):
            work.step()
        assert count(ledger, "source_poll", "ok = 1") == 1
        assert ingest.asked_until(ledger.connection, settings.cluster) is None, "the first slice is still to be had"
        again = Engine(settings, ledger, lambda: NOW + 1, None)
        until(again, lambda: ingest.asked_until(ledger.connection, settings.cluster) == NOW + 1)


def test_a_backfill_of_the_last_hour_does_not_hide_the_days_before_it(tmp_path: Path) -> None:
    settings = config(tmp_path)
    with open_ledger(settings.ledger) as ledger:
        with ledger.transaction() as db:
            ingest.set_asked_until(db, settings.cluster, NOW - 3 * DAY)
        backfilled = Slice(NOW - 3_600_000, NOW, "SEP", "")
        collect.take_accounting(ledger, settings, backfilled, NOW, current=True)
        start, end = Accounting(settings, ledger).window(NOW)
    assert start <= NOW - 3 * DAY - settings.accounting_overlap_seconds * 1000
    assert end > NOW


def _row(end: str, state: str) -> list[str]:
    row = dict.fromkeys(FIELDS, "") | {
        "JobIDRaw": "9", "JobID": "9", "Cluster": "c", "Submit": "1789000000", "Start": "1789000000", "End": end,
        "ElapsedRaw": "3600", "State": state, "User": "ann", "Account": "lab", "AllocTRES": "gres/gpu:a100=1",
        "NNodes": "1",
    }  # fmt: skip
    return list(row.values())


def _reply(start: int, end: int, *rows: list[str]) -> Slice:
    return Slice(start, end, "SEP", "".join("SEP".join(row) + "\n" for row in (FIELDS, *rows)))


def _saved_as_running(ledger: Ledger, settings: Settings) -> int:
    """A job that ran when a file was saved, long ago; when that was, ms UTC."""
    saved = 1_789_003_600_000
    collect.take_accounting(ledger, settings, _reply(saved, saved, _row("Unknown", "RUNNING")), saved, current=False)
    collect.project(ledger, settings)
    return saved


def test_what_a_saved_file_has_as_running_and_ended_long_before_the_daemon_is_asked_for_once(tmp_path: Path) -> None:
    settings = config(tmp_path)
    with open_ledger(settings.ledger) as ledger:
        saved = _saved_as_running(ledger, settings)
        work = Accounting(settings, ledger)

        def asked_from() -> int:
            return work.window(NOW)[0]

        assert asked_from() > saved
        work.take(_reply(NOW - DAY, NOW), NOW, True, [])
        assert asked_from() == saved, "the attempt is not running now: when did it end?"
        work.take(_reply(saved, saved + DAY, _row("1789007200", "COMPLETED")), NOW, False, [])
        work.take(_reply(NOW - DAY, NOW), NOW, True, [])
        collect.project(ledger, settings)
        assert count(ledger, "attempt", "end_ms = 1789007200000") == 1
        assert asked_from() > saved, "it was found, and is not asked for any more"
        work.take(_reply(NOW - DAY, NOW), NOW, True, [])
        assert asked_from() > saved


def test_a_lost_attempt_that_sacct_knows_no_more_is_looked_for_once(tmp_path: Path) -> None:
    settings = config(tmp_path)
    with open_ledger(settings.ledger) as ledger:
        saved = _saved_as_running(ledger, settings)
        work = Accounting(settings, ledger)
        work.take(_reply(NOW - DAY, NOW), NOW, True, [])
        assert work.window(NOW)[0] == saved
        work.take(_reply(NOW - DAY, NOW), NOW, True, [])
        assert work.window(NOW)[0] > saved


def test_the_first_question_reaches_back_to_the_backfill_before_it(tmp_path: Path) -> None:
    settings = config(tmp_path)
    with open_ledger(settings.ledger) as ledger:
        backfilled = NOW - 3 * DAY
        collect.take_accounting(ledger, settings, _reply(backfilled - DAY, backfilled), backfilled, current=True)
        start, _ = Accounting(settings, ledger).window(NOW)
    assert start == backfilled - settings.accounting_overlap_seconds * 1000


def test_what_was_asked_until_never_goes_back(tmp_path: Path) -> None:
    settings = config(tmp_path)
    with open_ledger(settings.ledger) as ledger:
        for until_ms in (5, 9, 7):
            with ledger.transaction() as db:
                ingest.set_asked_until(db, "c", until_ms)
        assert ingest.asked_until(ledger.connection, "c") == 9
        assert ingest.asked_until(ledger.connection, "other") is None


_CLOSE_AT_ONCE = """
import sys, tempfile
from dataclasses import replace
from pathlib import Path
from slurm_gpucost.ledger.store import Ledger, open_ledger
from slurm_gpucost.services.engine import Engine
from tests.unit.builders import config, script
for n in range(60):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        silent = script(folder / "silent", "exit 1")
        settings = replace(config(folder), sacct=silent, scontrol=silent, sacctmgr=silent, squeue=silent, slurmd=silent)
        ledger = open_ledger(settings.ledger)
        Engine(settings, ledger, lambda: 1_790_000_000_000, None).step()
        ledger.close()
"""


def test_no_thread_touches_the_ledger_while_it_is_closed() -> None:
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", _CLOSE_AT_ONCE], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "ProgrammingError" not in done.stderr
