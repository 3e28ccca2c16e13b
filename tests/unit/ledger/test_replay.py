"""The same evidence in any order, in any batches, as often as may be: the same tables."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_gpucost.domain.evidence import AccountingRow, ControllerRow, HookEvent, SlotReport
from slurm_gpucost.domain.records import Attempt, Lease
from slurm_gpucost.ledger import ingest, projector, reports
from slurm_gpucost.ledger.store import Ledger, open_ledger
from tests.unit.builders import T0, accounting, controller, gpus, hook, shards, tables

SHARDS = {"": 4}
Said = AccountingRow | ControllerRow | HookEvent | SlotReport
ONE = "gres/gpu:a100=1,gres/gpu=1"
EVIDENCE: list[Said] = [
    accounting(0, None, 0, ONE, observed_at_ms=T0 + 5_000),
    accounting(0, 10, 0, ONE, state="REQUEUED"),
    accounting(130, 140, 10, ONE),
    hook("prolog", 30, "0"),
    hook("epilog", 10_300, "0"),
    hook("prolog", 130_400, "3", restart_count=1),
    controller(4, [gpus("n1", 0)], 0, 0),
    accounting(0, 60, 0, "gres/shard=3", job_id=8, user="bob"),
    controller(20, [shards("n1", i2=3)], 0, 0, job_id=8),
    hook("prolog", 7_000, "1", job_id=9),  # hooks alone
    accounting(50, None, 40, job_id=8, cluster="d", observed_at_ms=T0 + 70_000),
    # The same said at another time: the earliest counts.
    accounting(50, None, 40, job_id=8, cluster="d", observed_at_ms=T0 + 60_000),
    accounting(130, 140, 10, ONE, observed_at_ms=T0 + 141_000),
    hook("prolog", 30, "0")._replace(at_ms=T0 + 900),
    controller(2, [gpus("n1", 0)], 0, 0),
    SlotReport("c", "n1", "gpu", 0, "a100", "GPU-old", T0 - 1000),
    SlotReport("c", "n1", "gpu", 0, "a100", "GPU-new", T0 + 999_000),
    SlotReport("c", "n1", "gpu", 3, "a100", "GPU-three", T0 + 60_000),
]


def take(ledger: Ledger, said: list[Said]) -> int:
    with ledger.transaction() as db:
        return (
            ingest.add_accounting(db, [s for s in said if isinstance(s, AccountingRow)])
            + ingest.add_hooks(db, [s for s in said if isinstance(s, HookEvent)])
            + ingest.add_controller(db, [s for s in said if isinstance(s, ControllerRow)])
            + reports.add_slots(db, [s for s in said if isinstance(s, SlotReport)])
        )


def replay(batches: list[list[Said]], *, project_each: bool) -> tuple[list[Attempt], list[Lease]]:
    with tempfile.TemporaryDirectory() as folder, open_ledger(Path(folder) / "ledger.db") as ledger:
        for batch in batches:
            take(ledger, batch)
            if project_each:
                projector.bring_up_to_date(ledger, SHARDS)
        projector.bring_up_to_date(ledger, SHARDS)
        assert projector.pending(ledger.connection) == 0
        made = tables(ledger)
        projector.rebuild(ledger, SHARDS)
        assert tables(ledger) == made, "a rebuild made other tables"
    return made


@settings(max_examples=25, deadline=None)
@given(st.permutations(EVIDENCE), st.lists(st.sampled_from(EVIDENCE), max_size=6), st.integers(1, 14), st.booleans())
def test_any_order_and_repetition_end_in_the_same_tables(
    order: list[Said], repeated: list[Said], size: int, project_each: bool
) -> None:
    said = order + repeated
    batches = [said[i : i + size] for i in range(0, len(said), size)]
    assert replay(batches, project_each=project_each) == WHOLE


WHOLE = replay([EVIDENCE], project_each=False)


def test_what_it_ends_in() -> None:
    attempts, leases = WHOLE
    assert [(a.cluster, a.job_id, a.witness, a.state) for a in attempts] == [
        ("c", 7, "sacct", "REQUEUED"),
        ("c", 7, "sacct", "COMPLETED"),
        ("c", 8, "sacct", "COMPLETED"),
        ("c", 9, "hooks", "UNKNOWN"),
        ("d", 8, "sacct", "RUNNING"),
    ]
    assert [(x.job_id, x.device, x.gres_index, str(x.share)) for x in leases] == [
        (7, "GPU-old", 0, "1"),
        (7, "GPU-three", 3, "1"),
        (8, None, 2, "3/4"),
        (9, None, 1, "1"),
        (8, None, None, "1"),
    ]


def test_what_is_already_there_is_not_new(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        assert take(ledger, EVIDENCE) >= len(EVIDENCE) - 4
        projector.bring_up_to_date(ledger, SHARDS)
        assert take(ledger, EVIDENCE) == 0
        assert projector.pending(ledger.connection) == 0


def test_a_copy_of_an_event_file_keeps_the_earliest_time(tmp_path: Path) -> None:
    event = hook("prolog", 5_000)
    for order in ([event, event._replace(at_ms=T0 + 4_000)], [event._replace(at_ms=T0 + 4_000), event]):
        with open_ledger(tmp_path / f"{order[0].at_ms}.db") as ledger:
            take(ledger, list(order))
            assert ledger.connection.execute("SELECT at_ms FROM hook_event").fetchall() == [(T0 + 4_000,)]


def test_another_number_of_shards_projects_everything_anew(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        take(ledger, EVIDENCE)
        projector.bring_up_to_date(ledger, SHARDS)
        assert projector.bring_up_to_date(ledger, {"": 8}) == 4
        shares = [str(x.share) for x in tables(ledger)[1] if x.gres_name == "shard"]
    assert shares == ["3/8"]


def test_batches_of_jobs_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        take(ledger, EVIDENCE)
        monkeypatch.setattr(projector, "BATCH_JOBS", 1)
        assert projector.project_dirty(ledger, SHARDS) == 4
        assert tables(ledger) == WHOLE


def test_what_was_suspended_is_one_word_however_often_it_was_looked_at(tmp_path: Path) -> None:
    """sacct's Suspended grows with every look, ElapsedRaw stands still: the first look is kept, whole."""
    looks = []
    for at in (30, 25, 90):
        one = accounting(0, None, 0, ONE, state="SUSPENDED", suspended=at - 20, observed_at_ms=T0 + at * 1000)
        looks.append(one._replace(digest=b"the same"))
    with open_ledger(tmp_path / "ledger.db") as ledger:
        take(ledger, list(looks))
        kept = ledger.connection.execute("SELECT observed_at_ms, suspended_ms FROM accounting_row").fetchall()
    assert kept == [(T0 + 25_000, 5_000)]
