"""A job or node that the projection fails at costs nobody else anything, and is told of; the faults are made here."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slurm_gpucost.domain import projection
from slurm_gpucost.domain.access import FILE_OWNER
from slurm_gpucost.domain.errors import LedgerError
from slurm_gpucost.domain.evidence import NodeReport
from slurm_gpucost.ledger import ingest, projector, reports, timelines
from slurm_gpucost.ledger.store import Ledger, open_ledger
from slurm_gpucost.services import named
from slurm_gpucost.sources.spool import SpoolFile
from tests.unit.builders import T0, accounting, config, tables
from tests.unit.services.test_status import ask
from tests.unit.uplinked import contents

ONE = "gres/gpu:a100=1,gres/gpu=1"
JOBS = 300
ILL = (7, 150)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path / "ledger.db") as opened:
        with opened.transaction() as db:
            reports.add_nodes(db, [NodeReport("c", name, T0 - 1_000_000, "gpu:a100:4") for name in ("n1", "n2")])
        yield opened


def take(ledger: Ledger, end: int | None) -> None:
    with ledger.transaction() as db:
        ingest.add_accounting(db, [accounting(n, end, n, ONE, job_id=n) for n in range(JOBS)])


def failing(monkeypatch: pytest.MonkeyPatch, make: Callable[[], Exception]) -> None:
    real = projection.project

    def project(evidence: Any, known: Any) -> Any:
        if evidence.job_id in ILL:
            raise make()
        return real(evidence, known)

    monkeypatch.setattr(projector, "project", project)


def leases_of(ledger: Ledger, *jobs: int) -> list[Any]:
    marks = ",".join(map(str, jobs))
    return ledger.connection.execute(f"SELECT * FROM lease WHERE job_id IN ({marks}) ORDER BY job_id").fetchall()


@pytest.mark.parametrize("again", [projector.bring_up_to_date, projector.rebuild])
def test_all_other_jobs_go_on_and_a_mended_version_makes_up_for_it(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, again: Any
) -> None:
    take(ledger, None)
    projector.bring_up_to_date(ledger, {})
    running = leases_of(ledger, *ILL)
    assert len(running) == 2
    with monkeypatch.context() as broken:
        failing(broken, lambda: KeyError("what nobody thought of"))
        take(ledger, 4_000)
        with caplog.at_level(logging.ERROR, "gpucostd"):
            again(ledger, {})
        assert [record.args[0] for record in caplog.records if isinstance(record.args, tuple)] == list(ILL)
    ended = ledger.connection.execute("SELECT count(*) FROM attempt WHERE end_ms IS NOT NULL").fetchone()[0]
    assert ended == JOBS - len(ILL)
    if again is projector.bring_up_to_date:
        assert leases_of(ledger, *ILL) == running, "what stood there before stands"
    assert projector.pending(ledger.connection) == 0
    settings = config(tmp_path)
    (told,) = [line for line in ask(settings)["findings"] if "projection" in line]
    assert told.startswith("job 150 of c, and 1 more") and "KeyError" in told and "test_unprojected.py:" in told

    projector.try_again(ledger)
    projector.bring_up_to_date(ledger, {})
    assert not [line for line in ask(settings)["findings"] if "projection" in line]
    made_up = tables(ledger)
    assert len(made_up[1]) == JOBS
    projector.rebuild(ledger, {})
    assert made_up == tables(ledger)


def test_who_makes_invoices_is_told(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(tmp_path)
    with monkeypatch.context() as broken:
        failing(broken, lambda: KeyError("what nobody thought of"))
        take(ledger, 4_000)
        projector.bring_up_to_date(ledger, {})
    with named.answer(settings, ledger.path, "invoices", {"month": "2026-09"}, FILE_OWNER, T0 * 2) as answer:
        assert [note[:40] for note in answer.head["notes"]] == ["may lack something: job 150 of c, and 1 "]


def test_new_evidence_of_it_is_tried(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        failing(broken, lambda: OverflowError("too large"))
        take(ledger, None)
        projector.bring_up_to_date(ledger, {})
    take(ledger, 4_000)
    projector.bring_up_to_date(ledger, {})
    assert ledger.connection.execute("SELECT count(*) FROM unprojected_job").fetchone() == (0,)
    assert len(leases_of(ledger, *ILL)) == 2


def test_a_node_whose_time_fails(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = timelines.project_node

    def project_node(db: sqlite3.Connection, cluster: str, node: str, from_ms: int) -> None:
        real(db, cluster, node, from_ms)
        if node == "n1":
            raise ValueError("no such time")

    with monkeypatch.context() as broken:
        broken.setattr(timelines, "project_node", project_node)
        projector.bring_up_to_date(ledger, {})
    assert ledger.connection.execute("SELECT DISTINCT node FROM capacity").fetchall() == [("n2",)]
    assert projector.pending(ledger.connection) == 0
    (told,) = [line for line in ask(config(tmp_path))["findings"] if "projection" in line]
    assert "the time of node n1 of c" in told
    projector.try_again(ledger)
    projector.bring_up_to_date(ledger, {})
    assert ledger.connection.execute("SELECT DISTINCT node FROM capacity ORDER BY 1").fetchall() == [("n1",), ("n2",)]


def test_a_node_s_lost_mark_is_made_good_by_a_later_one(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails from a moment on, and succeeds from a later one: what lies between is not left out."""
    with monkeypatch.context() as broken:
        broken.setattr(timelines, "project_node", fails)
        take(ledger, 4_000)
        projector.bring_up_to_date(ledger, {})
    with ledger.transaction() as db:
        timelines.mark(db, [("c", name, T0 + 3_900_000) for name in ("n1", "n2")])
    projector.bring_up_to_date(ledger, {})
    made = contents(ledger.connection, ("device_time", "capacity"))
    assert ledger.connection.execute("SELECT count(*) FROM unprojected_node").fetchone() == (0,)
    projector.rebuild(ledger, {})
    assert contents(ledger.connection, ("device_time", "capacity")) == made


def fails(*_: Any) -> None:
    raise ValueError("no such time")


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY])
def test_a_disk_that_fails_is_no_fault_of_a_job(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def of_the_disk() -> Exception:
        error = sqlite3.OperationalError("as SQLite says it")
        error.sqlite_errorcode = code
        return error

    with monkeypatch.context() as broken:
        failing(broken, of_the_disk)
        take(ledger, 4_000)
        with pytest.raises(LedgerError):
            projector.bring_up_to_date(ledger, {})
    assert ledger.connection.execute("SELECT count(*) FROM unprojected_job").fetchone() == (0,)
    projector.bring_up_to_date(ledger, {})
    assert len(leases_of(ledger, *ILL)) == 2


def test_a_file_name_of_any_bytes_is_set_aside(ledger: Ledger, tmp_path: Path) -> None:
    from slurm_gpucost.services.taking import take_events

    file = SpoolFile(tmp_path / "-rf \udcff\n", b"nonsense", T0)
    assert take_events(ledger, config(tmp_path), [file], T0) == []
    assert ledger.connection.execute("SELECT source FROM set_aside").fetchall() == [("-rf \\xff\n",)]
