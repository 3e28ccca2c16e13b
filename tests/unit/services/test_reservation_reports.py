"""What slurmdbd says of reservations, as evidence: what changes, what is gone, and when it is asked at all."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slurm_gpucost.domain.evidence import ReservationReport
from slurm_gpucost.ledger.store import Ledger, open_ledger
from slurm_gpucost.services import backfill, reservation_evidence
from slurm_gpucost.services.engine import Engine
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.services.status import status
from slurm_gpucost.settings import Settings
from tests.unit.builders import T0, fake_sacct, script
from tests.unit.services.test_reserved_bill import booked

DAY = 86_400_000


def take(ledger: Ledger, settings: Settings, at: int, *said: ReservationReport, current: bool = True) -> int:
    """One look, ``at`` seconds after T0, which reaches a day back; how much of it is new."""
    now = T0 + at * 1000
    told = [one._replace(observed_at_ms=now) for one in said]
    window = (now - DAY, now + 10_000)
    return reservation_evidence.take_reservations(ledger, settings, told, window, now, current=current).new


def counted(settings: Settings) -> list[tuple[int, int, int, int]]:
    """(id, start, until when it counts, listed), seconds after T0."""
    with open_queries(settings) as queries:
        rows = queries.ask("reservations", start_ms=0, end_ms=T0 + 10 * DAY)
    return [(r["id"], (r["start_ms"] - T0) // 1000, (r["stop_ms"] - T0) // 1000, r["listed"]) for r in rows]


def test_what_is_said_again_is_no_new_row_and_the_latest_word_counts(settings: Settings, ledger: Ledger) -> None:
    assert take(ledger, settings, 100, booked(0, 1000)) == 1
    assert counted(settings) == [(1, 0, 100, 1)], "an end to come is a plan"
    assert take(ledger, settings, 200, booked(0, 1000)) == 0
    assert counted(settings) == [(1, 0, 200, 1)]
    assert take(ledger, settings, 300, booked(0, 250), booked(250, 1000, nodes="n2")) == 2
    assert counted(settings) == [(1, 0, 250, 1), (1, 250, 300, 1)]
    assert take(ledger, settings, 400, booked(0, 250), booked(250, 320, nodes="n2")) == 1
    assert counted(settings) == [(1, 0, 250, 1), (1, 250, 320, 1)]


def test_what_lasted_and_is_gone_ended_at_the_last_look_and_what_ended_stays(
    settings: Settings, ledger: Ledger
) -> None:
    ended, begins = booked(0, 50, id=1), booked(105, 900, id=3)
    take(ledger, settings, 100, ended, booked(60, 500, id=2), begins)
    take(ledger, settings, 104, ended, booked(60, 500, id=2), begins)
    assert take(ledger, settings, 150) == 2, "slurmdbd purged the first, and lost the others"
    assert counted(settings) == [(1, 0, 50, 1), (2, 60, 104, 0), (3, 105, 105, 0)]
    assert take(ledger, settings, 160) == 0
    assert take(ledger, settings, 170, booked(60, 500, id=2)) == 1
    assert counted(settings)[1] == (2, 60, 170, 1), "it is there again"


def test_a_look_at_the_past_alone_says_of_nothing_that_it_is_gone(settings: Settings, ledger: Ledger) -> None:
    take(ledger, settings, 100, booked(0, 500))
    assert take(ledger, settings, 200, current=False) == 0
    assert counted(settings) == [(1, 0, 100, 1)]


def test_an_account_that_was_known_stays_when_its_association_is_purged(settings: Settings, ledger: Ledger) -> None:
    take(ledger, settings, 100, booked(0, 500))
    assert take(ledger, settings, 200, booked(0, 500, accounts='[""]')) == 0
    assert take(ledger, settings, 300, booked(0, 500, accounts='[""]', associations="9")) == 1, "another's"


def asks(tmp_path: Path, settings: Settings, bills: bool, scontrol: str = "exit 1") -> Settings:
    """A site whose sacctmgr knows one reservation and notes what it is asked."""
    now = int(time.time())
    sacctmgr = script(
        tmp_path / "sacctmgr",
        f"""echo "$*" >>{tmp_path}/asked
case $* in
*Flags,NodeNames,Assoc*) echo '5|{now - 100}|{now + 900}|SPEC_NODES|n1|4|cpu=8';;
*format=ID,Start,Name) echo '5|{now - 100}|course';;
*format=ID,Account) echo '4|physics';;
esac""",
    )
    silent = script(tmp_path / "silent", "exit 1")
    commands: dict[str, Any] = {
        "sacctmgr": sacctmgr,
        "squeue": silent,
        "slurmd": silent,
        "sacct": fake_sacct(tmp_path / "sacct"),
    }
    billing = replace(settings.billing, bill_reservations=bills)
    return replace(settings, billing=billing, scontrol=script(tmp_path / "scontrol", scontrol), **commands)


NODES = "echo 'NodeName=n1 Arch=x CPUAlloc=0 CPUTot=8 CPULoad=0 Gres=gpu:a100:4 x'"


def rows(ledger: Ledger, sql: str) -> list[Any]:
    return ledger.connection.execute(sql).fetchall()


@pytest.mark.parametrize("bills", [True, False])
def test_the_daemon_asks_only_where_they_are_billed(tmp_path: Path, settings: Settings, bills: bool) -> None:
    made = asks(tmp_path, settings, bills, NODES)
    with open_ledger(made.ledger) as ledger:
        engine = Engine(made, ledger, lambda: int(time.time() * 1000), None)
        polled = "SELECT 1 FROM source_poll WHERE witness = 'sacctmgr' AND ok = 1"
        deadline = time.monotonic() + 20
        wanted = [polled, "SELECT 1 FROM node_cpus"] if bills else [polled]
        while time.monotonic() < deadline and not all(rows(ledger, sql) for sql in wanted):
            engine.step()
            time.sleep(0.02)
        said = rows(ledger, "SELECT id, name, accounts, nodes, tres FROM reservation_report")
        assert said == ([(5, "course", '["physics"]', "n1", "cpu=8")] if bills else [])
        assert rows(ledger, "SELECT node, cpus FROM node_cpus") == ([("n1", 8)] if bills else [])
    asked = (tmp_path / "asked").read_text()
    assert ("Assoc" in asked) == bills
    assert "NodeNames,Name" in asked, "maintenance is asked for all the same"


@pytest.mark.parametrize("bills", [True, False])
def test_a_backfill_asks_for_its_time(tmp_path: Path, settings: Settings, ledger: Ledger, bills: bool) -> None:
    made = asks(tmp_path, settings, bills)
    now = int(time.time() * 1000)
    result = backfill.from_sacct(made, ledger, now - DAY, now, lambda *_: None)
    assert len(rows(ledger, "SELECT 1 FROM reservation_report")) == bills
    assert len(result.failed) == bills, "scontrol says nothing; the reservation is kept all the same"
    if bills:
        assert "scontrol" in result.failed[0]
        with open_queries(made) as queries:
            found = status(made, queries, now + 5000)["findings"]
        assert any(text.startswith("reservations: ") for text in found)


def test_status_names_what_nobody_pays_for(tmp_path: Path, settings: Settings, ledger: Ledger) -> None:
    blocking = replace(settings.pools[0].skus[0].blocking, nodes=("n1",), gpus_per_node=4)
    sku = replace(settings.pools[0].skus[0], blocking=blocking)
    billing = replace(settings.billing, bill_reservations=True)
    made = replace(settings, billing=billing, pools=(replace(settings.pools[0], skus=(sku,)),))
    take(ledger, made, 100, booked(0, 500, accounts="[]"), booked(0, 500, id=2, name="lab", tres="cpu=16,gres/gpu=1"))
    for used, wanted in ((made, 1), (replace(made, billing=replace(billing, bill_reservations=False)), 0)):
        with open_queries(used) as queries:
            found = [t for t in status(used, queries, T0 + 200_000)["findings"] if t.startswith("reservation")]
        assert len(found) == wanted
        assert all(text.startswith("reservation course of c is not billed: Slurm names no account; ") for text in found)
