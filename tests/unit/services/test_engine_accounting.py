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
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.services import collect
from slurm_gpucost.services.engine import Engine
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
    settings = replace(config(tmp_path), sacct=sacct, scontrol=silent, squeue=silent, slurmd=silent)
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


def test_a_backfill_of_the_last_hour_does_not_hide_the_days_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(tmp_path)
    asked: list[tuple[int, int]] = []
    with open_ledger(settings.ledger) as ledger:
        with ledger.transaction() as db:
            ingest.set_asked_until(db, settings.cluster, NOW - 3 * DAY)
        backfilled = Slice(NOW - 3_600_000, NOW, "SEP", "")
        collect.take_accounting(ledger, settings, backfilled, NOW, current=True)
        work = Engine(settings, ledger, lambda: NOW, None)
        monkeypatch.setattr(work, "_ask_accounting", lambda now, start, end: asked.append((start, end)))
        work._question_to_accounting(NOW)()
    (span,) = asked
    assert span[0] <= NOW - 3 * DAY - settings.accounting_overlap_seconds * 1000
    assert span[1] > NOW


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
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.services.engine import Engine
from tests.unit.builders import config, script
for n in range(60):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        silent = script(folder / "silent", "exit 1")
        settings = replace(config(folder), sacct=silent, scontrol=silent, squeue=silent, slurmd=silent)
        ledger = open_ledger(settings.ledger)
        Engine(settings, ledger, lambda: 1_790_000_000_000, None).step()
        ledger.close()
"""


def test_no_thread_touches_the_ledger_while_it_is_closed() -> None:
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", _CLOSE_AT_ONCE], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "ProgrammingError" not in done.stderr
