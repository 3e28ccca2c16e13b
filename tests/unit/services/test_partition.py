"""The partition check finds nothing in a whole ledger, and every row that is taken away, doubled or moved."""

from __future__ import annotations

from fractions import Fraction

import pytest

from slurm_gpucost.domain.evidence import NodeEvent, NodeReport
from slurm_gpucost.ledger import ingest, projector, reports
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services.partition import check
from tests.unit.builders import T0, accounting, controller, gpus, hook, shards

ONE = "gres/gpu:a100=1,gres/gpu=1"
DAY = 86_400_000
WINDOW = (T0 - DAY, T0 + DAY)


@pytest.fixture
def whole(ledger: Ledger) -> Ledger:
    """A node of two devices: named, suspended, shared, unplaced and running leases, a hook's lateness, an outage."""
    with ledger.transaction() as db:
        reports.add_nodes(db, [NodeReport("c", "n1", T0 - 50_000, "gpu:a100:2,shard:a100:8")])
        reports.add_node_events(
            db,
            [NodeEvent("c", "n1", "event", T0 + 500_000, T0 + 600_000, T0 + 600_000, "drained", "DRAIN", "", "root")],
        )
        ingest.add_accounting(
            db,
            [
                accounting(0, 100, tres=ONE, suspended=20),
                accounting(60, 90, job_id=8, tres="gres/shard=3"),
                accounting(0, 40, job_id=9, tres=ONE),  # nobody saw its device
                accounting(110, 120, job_id=10, tres="gres/gpu=3"),  # more than there are
                accounting(700, None, job_id=11, tres=ONE),
            ],
        )
        ingest.add_hooks(db, [hook("prolog", 500, "0"), hook("epilog", 103_000, "0")])
        ingest.add_controller(db, [controller(70, [shards("n1", i1=3)], 55, 60, job_id=8)])
        ingest.add_controller(db, [controller(710, [gpus("n1", 0)], 695, 700, job_id=11)])
    projector.bring_up_to_date(ledger, {})
    return ledger


def test_a_whole_ledger_has_no_differences(whole: Ledger) -> None:
    db = whole.connection
    states = {row[0] for row in db.execute("SELECT DISTINCT state FROM device_time")}
    assert states == {"leased", "idle", "completing", "unavailable", "oversubscribed"}, "the test sees them all"
    assert check(db, *WINDOW) == []
    assert check(db, T0 + 33, T0 + 705_001) == []


@pytest.mark.parametrize("table", ["lease_row", "device_time", "capacity"])
def test_each_row_that_is_deleted_is_missed(whole: Ledger, table: str) -> None:
    db = whole.connection
    key = {
        "lease_row": "job_id, n",
        "device_time": "gres_index, start_ms, state, class",
        "capacity": "gres_index, start_ms",
    }
    rows = db.execute(f"SELECT {key[table]} FROM {table}").fetchall()
    assert rows
    for row in rows:
        db.execute("BEGIN")
        where = " AND ".join(f"{name} = ?" for name in key[table].split(", "))
        assert db.execute(f"DELETE FROM {table} WHERE {where}", row).rowcount == 1
        assert check(db, *WINDOW), f"nobody missed {table} {row}"
        db.execute("ROLLBACK")
    assert check(db, *WINDOW) == []


@pytest.mark.parametrize("column", ["start_ms", "end_ms"])
@pytest.mark.parametrize("by", [-1, 1])
def test_a_millisecond_more_or_less_is_noticed(whole: Ledger, column: str, by: int) -> None:
    db = whole.connection
    for row in db.execute(f"SELECT gres_index, start_ms, state FROM device_time WHERE {column} < ?", (T0 + DAY,)):
        db.execute("BEGIN")
        db.execute(
            f"UPDATE device_time SET {column} = {column} + ? WHERE gres_index = ? AND start_ms = ? AND state = ?",
            (by, *row),
        )
        (difference, *_) = check(db, *WINDOW)
        assert max(difference["missing"], difference["excess"]).denominator in (1, 4)
        db.execute("ROLLBACK")


def test_a_difference_says_where_when_and_how_much(whole: Ledger) -> None:
    db = whole.connection
    db.execute("DELETE FROM lease_row WHERE job_id = 8")
    assert check(db, *WINDOW) == [
        {
            "cluster": "c", "node": "n1", "gres_index": 1, "missing": Fraction(30_000 * 3, 4), "excess": Fraction(0),
            "first_ms": T0 + 60_000, "until_ms": T0 + 90_000,
        }
    ]  # fmt: skip
    assert check(db, T0 + 80_000, T0 + 80_001)[0]["missing"] == Fraction(3, 4)
    assert check(db, T0 + 90_000, T0 + DAY) == []
    db.execute("DELETE FROM lease_row WHERE job_id = 9")
    (unplaced,) = check(db, T0, T0 + 50_000)
    assert unplaced["gres_index"] is None
    assert [unplaced["missing"], unplaced["excess"]] == [Fraction(0), Fraction(40_000)]


def test_faults_that_cancel_in_the_sum_are_two_faults(whole: Ledger) -> None:
    db = whole.connection
    db.execute("UPDATE lease_row SET start_ms = start_ms + 100000, end_ms = end_ms + 100000 WHERE job_id = 8")
    (difference,) = check(db, *WINDOW)
    assert difference["missing"] == difference["excess"] == Fraction(30_000 * 3, 4)
