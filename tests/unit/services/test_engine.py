"""The daemon's work step by step, with witnesses that are scripts."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_gpucost.domain.evidence import NodeReport
from slurm_gpucost.ledger import ingest, reports
from slurm_gpucost.ledger.store import Ledger, open_ledger
from slurm_gpucost.services.engine import Engine
from slurm_gpucost.settings import Settings
from tests.unit.builders import config, fake_sacct, recording, script, tables

START = 1_790_000_005
"""The Start of the fake sacct's row."""
NOW = (START + 100) * 1000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """No witness but the spool answers."""
    silent = script(tmp_path / "silent", "echo not today >&2; exit 1")
    return replace(config(tmp_path), sacct=silent, scontrol=silent, sacctmgr=silent, squeue=silent, slurmd=silent)


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    before = set(threading.enumerate())
    with open_ledger(settings.ledger) as opened:
        yield opened
        for thread in set(threading.enumerate()) - before:
            thread.join(10)


def make(settings: Settings, ledger: Ledger) -> Engine:
    return Engine(settings, ledger, lambda: NOW, None)


def event(settings: Settings, hook: str, at: int, job: int = 7, gpus: str = "0,1") -> Path:
    """An event file as a hook leaves it."""
    fields = {
        "HOOK": hook, "NODE": "n1", "BOOT_ID": "b", "UPTIME": f"{at}.0", "PID": "9", "SLURM_JOB_ID": str(job),
        "SLURM_JOB_USER": "ann", "SLURM_JOB_ACCOUNT": "lab", "SLURM_JOB_PARTITION": "main",
        "SLURM_CLUSTER_NAME": "c", "SLURM_JOB_GPUS": gpus, "CUDA_VISIBLE_DEVICES": gpus,
    }  # fmt: skip
    settings.spool.mkdir(mode=0o700, exist_ok=True)
    path = settings.spool / f"{hook}.{job}.{at}"
    content = "".join(f"{word}\0" for word in ["1", *(f"{k}={v}" for k, v in fields.items()), "END"])
    path.write_bytes(content.encode())
    os.utime(path, (at, at))
    return path


def count(ledger: Ledger, table: str, where: str = "1") -> int:
    found: int = ledger.connection.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0]
    return found


def until(work: Engine, done: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not come in time"
        work.step()
        time.sleep(0.01)


def test_an_event_is_in_the_ledger_after_one_step_and_its_file_gone(settings: Settings, ledger: Ledger) -> None:
    path = event(settings, "prolog", START)
    make(settings, ledger).step()
    assert not path.exists()
    (attempt,), leases = tables(ledger)
    assert (attempt.witness, attempt.billable, attempt.start_ms) == ("hooks", 0, START * 1000)
    assert [(x.node, x.gres_index) for x in leases] == [("n1", 0), ("n1", 1)]


def test_a_file_is_discarded_only_after_the_commit(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path, work = event(settings, "prolog", START), make(settings, ledger)

    def full(*_: object) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as broken, caplog.at_level(logging.WARNING):
        broken.setattr(ingest, "add_hooks", full)
        for _ in range(3):
            work.step()
    assert path.exists()
    assert count(ledger, "hook_event") == 0
    told = [record.message for record in caplog.records if "disk is full" in record.message]
    assert len(told) == 1, "trouble is said once"
    work.step()
    assert not path.exists()
    assert count(ledger, "hook_event") == 1


def test_a_broken_event_is_set_aside_and_the_others_go_in(settings: Settings, ledger: Ledger) -> None:
    event(settings, "prolog", START)
    (settings.spool / "prolog.broken").write_bytes(b"1\0HOOK=prolog\0")
    make(settings, ledger).step()
    assert list(settings.spool.iterdir()) == []
    assert (count(ledger, "hook_event"), count(ledger, "set_aside", "witness = 'hook'")) == (1, 1)


def test_accounting_makes_the_attempt_billable(settings: Settings, ledger: Ledger, tmp_path: Path) -> None:
    event(settings, "prolog", START)
    event(settings, "epilog", START + 10)
    work = make(replace(settings, sacct=fake_sacct(tmp_path / "sacct")), ledger)
    until(work, lambda: count(ledger, "attempt", "billable = 1") == 1)
    until(work, lambda: count(ledger, "source_poll", "witness = 'sacct' AND current = 1") == 1)  # the second slice
    (attempt,), leases = tables(ledger)
    assert (attempt.elapsed_ms, attempt.state) == (10_000, "COMPLETED")
    assert [(x.node, x.gres_index, x.device_evidence) for x in leases] == [("n1", 0, "prolog"), ("n1", 1, "prolog")]
    assert count(ledger, "source_poll", "witness = 'sacct' AND ok = 1 AND current = 1 AND rows = 1") == 1


def test_the_next_question_overlaps_the_last_and_no_more(settings: Settings, ledger: Ledger, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    told = 'for w in "$@"; do case $w in --starttime=*) echo "${w#*=}" >> ' + f"'{asked}';; esac; done"
    settings = replace(settings, sacct=fake_sacct(tmp_path / "sacct", told))
    current = "witness = 'sacct' AND current = 1"
    until(make(settings, ledger), lambda: count(ledger, "source_poll", current) == 1)
    first = asked.read_text().split()
    until(make(settings, ledger), lambda: count(ledger, "source_poll", current) == 2)
    assert first[0] == "2026-09-20T14:15:05"  # a day back, where nothing was asked before
    overlap = NOW // 1000 - settings.accounting_overlap_seconds
    assert asked.read_text().split()[len(first) :] == [time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(overlap))]


def test_a_sacct_that_hangs_does_not_stop_the_intake(settings: Settings, ledger: Ledger, tmp_path: Path) -> None:
    hangs = script(tmp_path / "sacct", f"echo $$ > '{tmp_path}/pid'; exec sleep 60")
    work = make(replace(settings, sacct=hangs, accounting_timeout_seconds=30), ledger)
    pid = tmp_path / "pid"
    until(work, lambda: pid.exists() and pid.read_text().endswith("\n"))
    started = time.monotonic()
    for job in range(1, 4):
        path = event(settings, "prolog", START, job)
        work.step()
        assert not path.exists()
    assert time.monotonic() - started < 1.5
    assert count(ledger, "hook_event") == 3
    assert count(ledger, "source_poll", "witness = 'sacct'") == 0
    os.kill(int(pid.read_text()), signal.SIGKILL)
    until(work, lambda: count(ledger, "source_poll", "witness = 'sacct' AND ok = 0") == 1)


def test_a_witness_that_fails_is_told_and_kept(
    settings: Settings, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        until(make(settings, ledger), lambda: count(ledger, "source_poll", "ok = 0") == 5)
    witnesses = ledger.connection.execute("SELECT DISTINCT witness FROM source_poll ORDER BY witness").fetchall()
    assert [name for (name,) in witnesses] == ["accounts", "rights", "sacct", "sacctmgr", "scontrol"]
    details = [row[0] for row in ledger.connection.execute("SELECT detail FROM source_poll ORDER BY witness")]
    assert all("exit 1" in detail and "not today" in detail for detail in details)
    assert any("not today" in record.message for record in caplog.records)


def test_the_controllers_jobs_come_in(settings: Settings, ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text(recording("24.11", "scontrol-running.txt"))
    settings = replace(
        settings,
        scontrol=script(tmp_path / "scontrol", f"cat '{tmp_path}/jobs'"),
        squeue=script(
            tmp_path / "squeue",
            "for i in 1.1 2.1 3.2 4.2 5.3 6.3 7.3 8.2 9.3; do echo ${i%.*} 200${i#*.}; done",
        ),
    )
    until(make(settings, ledger), lambda: count(ledger, "attempt") >= 7)
    attempts, leases = tables(ledger)
    assert {(a.job_id, a.witness, a.billable) for a in attempts} == {(i, "scontrol", 0) for i in range(1, 8)}
    assert {(x.job_id, x.node, x.gres_index) for x in leases if x.gres_name == "gpu"} == {
        (1, "n2", 0), (2, "n2", 1), (3, "n2", 2), (4, "n1", 0), (4, "n2", 3), (7, "n1", 2),
    }  # fmt: skip


def test_close_takes_in_what_is_there(settings: Settings, ledger: Ledger) -> None:
    work = make(settings, ledger)
    path = event(settings, "epilog", START)
    work.close()
    assert not path.exists()
    assert count(ledger, "hook_event") == 1


@pytest.mark.parametrize(("has", "taken"), [("gpu:a100:2", 2), ("gpu:1g.5gb:1", 0)])
def test_slots_that_slurmd_counts_otherwise_than_the_controller_are_not_taken(
    settings: Settings, ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture, has: str, taken: int
) -> None:
    # Slurm 22.05 prints a MIG instance of two device files as two records.
    line = "Gres Name=gpu Type=x Count=1 Index=%d ID=7696487 File=/dev/fakegpu%d (null)"
    listed = script(tmp_path / "slurmd", f"echo '{line % (0, 0)}'; echo '{line % (1, 1)}'")
    with ledger.transaction() as db:
        reports.add_nodes(db, [NodeReport("c", "n1", NOW, has)])
    conf = tmp_path / "slurm.conf"
    conf.touch()
    work = make(replace(settings, slurmd=listed, slurm_conf=conf), ledger)
    event(settings, "prolog", START)
    with caplog.at_level(logging.WARNING):
        until(work, lambda: count(ledger, "slot_report") == 2 or "not taken" in caplog.text)
    assert count(ledger, "slot_report") == taken
    assert ("slurmd lists 2 GPUs, the controller 1: not taken" in caplog.text) == (taken == 0)
