"""What the daemon's work does when the ledger fails it, or brings more to project than it can in a round."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_gpucost.domain.evidence import HookEvent
from slurm_gpucost.ledger import ingest, projector
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.services import accounting, collect, engine, taking
from slurm_gpucost.services.engine import Engine
from slurm_gpucost.settings import Settings
from tests.unit.builders import config, script

NOW = 1_790_000_000_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    silent = script(tmp_path / "silent", "exit 1")
    return replace(config(tmp_path), sacct=silent, scontrol=silent, sacctmgr=silent, squeue=silent, slurmd=silent)


def event(job: int) -> HookEvent:
    return HookEvent(
        "c", job, bytes([job]), "prolog", "n1", NOW, "b", "1", 1, None, "", "", "", None, None, "0", None, None
    )


def test_a_ledger_that_cannot_be_read_is_said_once_and_the_rest_goes_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with open_ledger(settings.ledger) as ledger, caplog.at_level(logging.INFO):
        work = Engine(settings, ledger, lambda: NOW, None)
        monkeypatch.setattr(accounting, "asked_until", fails)
        monkeypatch.setattr(engine, "pending", fails)
        work.step()
        settings.spool.mkdir(exist_ok=True)
        (settings.spool / "prolog.7").write_bytes(b"1\0HOOK=prolog\0NODE=\0SLURM_JOB_ID=7\0END\0")
        work.step()
        work.step()
        assert ledger.connection.execute("SELECT job_id FROM hook_event").fetchall() == [(7,)]
    assert caplog.text.count("projection: ") == 1
    assert "questions: " in caplog.text


def test_a_round_projects_one_batch_so_that_the_next_event_need_not_wait(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector, "BATCH_JOBS", 2)
    with open_ledger(settings.ledger) as ledger:
        with ledger.transaction() as db:
            ingest.add_hooks(db, [event(job) for job in range(1, 6)])
        work = Engine(settings, ledger, lambda: NOW, None)
        left = []
        for _ in range(4):
            work.step()
            left.append(projector.pending(ledger.connection))
        assert left == [3, 1, 0, 0]
        with ledger.transaction() as db:
            ingest.add_hooks(db, [event(job) for job in range(6, 11)])
        assert collect.project(ledger, settings) == 5, "whoever has nothing else to do projects all"


def test_slots_that_could_not_be_written_are_asked_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_ledger(settings.ledger) as ledger:
        work = Engine(settings, ledger, lambda: NOW, None)
        work.capture.slots.nodes.add("n1")

        def full(*_: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(taking, "take_inventory", full)
        with pytest.raises(sqlite3.OperationalError):
            work.capture.slots.take("n1", [])
        assert "n1" not in work.capture.slots.nodes
