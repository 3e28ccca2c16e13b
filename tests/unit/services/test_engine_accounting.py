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
from slurm_gpucost.ledger import asked, ingest
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
        assert asked.asked_until(ledger.connection, settings.cluster) is None


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
        assert asked.asked_until(ledger.connection, settings.cluster) is None, "the first slice is still to be had"
        again = Engine(settings, ledger, lambda: NOW + 1, None)
        until(again, lambda: asked.asked_until(ledger.connection, settings.cluster) == NOW + 1)


def test_a_backfill_of_the_last_hour_does_not_hide_the_days_before_it(tmp_path: Path) -> None:
    settings = config(tmp_path)
    with open_ledger(settings.ledger) as ledger:
        with ledger.transaction() as db:
            asked.set_asked_until(db, settings.cluster, NOW - 3 * DAY)
        backfilled = Slice(NOW - 3_600_000, NOW, "SEP", "")
        collect.take_accounting(ledger, settings, backfilled, NOW, current=True)
        start, end = Accounting(settings, ledger).window(NOW)
    assert start <= NOW - 3 * DAY - settings.accounting_overlap_seconds * 1000
    assert end > NOW


def _row(end: str, state: str) -> dict[str, str]:
    return dict.fromkeys(FIELDS, "") | {
        "JobIDRaw": "9", "JobID": "9", "Cluster": "c", "Submit": "1789000000", "Start": "1789000000", "End": end,
        "ElapsedRaw": "3600", "State": state, "User": "ann", "Account": "lab", "AllocTRES": "gres/gpu:a100=1",
        "NNodes": "1",
    }  # fmt: skip


def _reply(start: int, end: int, *rows: list[str]) -> Slice:
    return Slice(start, end, "SEP", "".join("SEP".join(row) + "\n" for row in (FIELDS, *rows)))


def _saved_as_running(ledger: Ledger, settings: Settings) -> int:
    """A job that ran when a file was saved, long ago; when that was, ms UTC."""
    saved = 1_789_003_600_000
    collect.take_accounting(
        ledger, settings, _reply(saved, saved, list(_row("Unknown", "RUNNING").values())), saved, current=False
    )
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
        work.take(_reply(saved, saved + DAY, list(_row("1789007200", "COMPLETED").values())), NOW, False, [])
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


def test_what_the_accounting_lost_while_it_ran_ends_when_it_was_last_named(tmp_path: Path) -> None:
    settings = config(tmp_path)
    with open_ledger(settings.ledger) as ledger:
        work = Accounting(settings, ledger)
        began = NOW - 600_000
        running = _row("Unknown", "RUNNING") | {"Start": str(began // 1000), "Submit": str(began // 1000)}

        def poll(at: int, *rows: dict[str, str]) -> None:
            start, end = work.window(at)
            work.take(_reply(start, end, *(list(row.values()) for row in rows)), at, True, [])
            collect.project(ledger, settings)

        def found() -> tuple[int | None, int, int]:
            found: tuple[int | None, int, int] = ledger.connection.execute(
                "SELECT end_ms, vanished, billable FROM attempt"
            ).fetchone()
            return found

        poll(NOW, running)
        poll(NOW + 60_000, running)
        assert found() == (None, 0, 1)
        poll(NOW + 120_000)
        assert found() == (NOW + 60_000, 1, 1), "it was asked for from when it ran, and is not there"
        poll(NOW + 180_000)
        assert found() == (NOW + 60_000, 1, 1)
        poll(NOW + 240_000, running)
        assert found() == (None, 0, 1), "slurmdbd knows it again"
        ended = running | {"End": str(NOW // 1000 + 90), "ElapsedRaw": "690", "State": "COMPLETED"}
        poll(NOW + 300_000, ended)
        assert found() == (NOW + 90_000, 0, 1)
        poll(NOW + 360_000)
        assert found() == (NOW + 90_000, 0, 1), "what is purged after its end is no correction"


def test_once_a_day_the_whole_look_back_is_asked_for_again(tmp_path: Path) -> None:
    settings = config(tmp_path)
    hour = 3_600_000
    with open_ledger(settings.ledger) as ledger:
        work = Accounting(settings, ledger)

        def asked(at: int) -> int:
            start, end = work.window(at)
            work.take(_reply(start, end), at, True, [])
            return (at - start) // hour

        assert [asked(NOW + n * hour) for n in range(5)] == [24, 2, 2, 2, 2]
        day = [asked(NOW + n * hour) for n in range(5, 26)]
        assert day[:-2] == [2] * 19
        assert day[-2:] == [24 + 24, 2], "from when on it ever asked; what lies before is a backfill's"
        for n in range(2, 40):
            asked(NOW + n * DAY)
        assert asked(NOW + 40 * DAY) == 35 * 24


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
                asked.set_asked_until(db, "c", until_ms)
        assert asked.asked_until(ledger.connection, "c") == 9
        assert asked.asked_until(ledger.connection, "other") is None


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
