"""What a person should look at is said, and nothing else."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slurm_gpucost.domain.evidence import DeviceReport, Poll, SlotReport
from slurm_gpucost.ledger import asked, ingest, projector, reports
from slurm_gpucost.ledger.store import Ledger, open_ledger
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.services.status import status
from slurm_gpucost.settings import Settings
from tests.unit.builders import T0, accounting, config, hook

NOW = T0 + 3_600_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return config(tmp_path)


def take(settings: Settings, *rows: Any, polls: list[Poll] | None = None) -> None:
    with open_ledger(settings.ledger) as ledger:
        with ledger.transaction() as db:
            ingest.add_accounting(db, [r for r in rows if hasattr(r, "alloc_tres")])
            ingest.add_hooks(db, [r for r in rows if hasattr(r, "hook")])
            reports.add_slots(db, [r for r in rows if isinstance(r, SlotReport)])
            reports.add_devices(db, [r for r in rows if isinstance(r, DeviceReport)])
            for poll in polls or []:
                asked.add_poll(db, poll)
        projector.bring_up_to_date(ledger, settings.shards)


def ask(settings: Settings) -> dict[str, Any]:
    with open_queries(settings) as queries:
        return status(settings, queries, NOW)


def good(witness: str, at: int, current: int = 1) -> Poll:
    return Poll(witness, "c", T0 + at * 1000, None, None, 1, 1, 1, current, "")


def bad(witness: str, at: int, why: str) -> Poll:
    return Poll(witness, "c", T0 + at * 1000, None, None, 0, 0, 0, 0, why)


def test_all_is_well(settings: Settings) -> None:
    hooks = hook("prolog", 90, "0,1"), hook("epilog", 10_400, "0,1")
    take(settings, accounting(0, 10), *hooks, polls=[good("sacct", 60), good("scontrol", 70)])
    said = ask(settings)
    assert said["findings"] == []
    counts = said["counts"]
    assert (counts["attempts"], counts["accounting_rows"], counts["hook_events"]) == (1, 1, 2)
    assert {w["witness"]: w["counts_running_up_to"] for w in said["witnesses"]} == {
        "sacct": T0 // 1000 + 60,
        "scontrol": None,
    }


def test_an_empty_ledger_has_nothing_to_find(settings: Settings) -> None:
    take(settings)
    assert ask(settings)["findings"] == []


def test_an_unknown_kind_of_gpu_is_named_with_the_config(settings: Settings) -> None:
    take(settings, accounting(0, 10, tres="gres/gpu:mi300=1,gres/gpu=1"))
    (finding,) = ask(settings)["findings"]
    assert "gres/gpu:mi300" in finding and str(settings.path) in finding and "gres_types" in finding


def test_gpus_without_a_type_among_several_skus_are_no_matter_of_gres_types(settings: Settings) -> None:
    one = settings.pools[0].skus[0]
    pool = replace(settings.pools[0], skus=(one, replace(one, name="h100", gres_types=("h100",))))
    several = replace(settings, pools=(pool,))
    take(several, accounting(0, 10, tres="gres/gpu=1"))
    (finding,) = ask(several)["findings"]
    assert "gres/gpu:TYPE" in finding and "AccountingStorageTRES" in finding
    assert "gres_types" not in finding, "nothing that could be written there helps"


def test_an_unknown_kind_on_a_node_is_named_before_any_job_used_it(settings: Settings) -> None:
    report = DeviceReport("GPU-x", b"x", T0, "n1", "Strange 9000", "", 0, 0, "", None, None, "")
    take(settings, SlotReport("c", "n1", "gpu", 0, "s9000", "GPU-x", T0), report)
    (finding,) = ask(settings)["findings"]
    assert "gres/gpu:s9000" in finding and "Strange 9000" in finding


def test_attempts_that_accounting_does_not_know(settings: Settings) -> None:
    take(settings, hook("prolog", 90))
    assert any("hooks or controller alone" in finding for finding in ask(settings)["findings"])


def test_what_was_set_aside(settings: Settings) -> None:
    with open_ledger(settings.ledger) as ledger, ledger.transaction() as db:
        ingest.set_aside(db, "hook", "x", None, "cut short", b"1\x00", NOW)
    assert ["set aside" in finding for finding in ask(settings)["findings"]] == [True]


def test_stale_temporaries_of_killed_hooks(settings: Settings) -> None:
    take(settings)
    settings.spool.mkdir()
    (settings.spool / ".tmp.prolog.1").touch()
    assert ask(settings)["findings"] == []  # it may be being written
    os.utime(settings.spool / ".tmp.prolog.1", (1, 1))
    (finding,) = ask(settings)["findings"]
    assert "1 stale temporary" in finding and str(settings.spool) in finding


def test_events_that_accounting_implies_and_the_spool_lacked(settings: Settings) -> None:
    take(settings, accounting(0, 10), accounting(0, 10, job_id=8), hook("prolog", 90, "0,1"))
    said = ask(settings)
    assert any("1 prolog and 2 epilog events are missing for 2 attempts" in finding for finding in said["findings"])
    assert (said["hooks"]["attempts"], said["hooks"]["missing_prologs"], said["hooks"]["missing_epilogs"]) == (2, 1, 2)


def test_a_site_without_hooks_is_not_told_that_they_are_missing(settings: Settings) -> None:
    take(settings, accounting(0, 10), accounting(0, 10, job_id=8))
    assert ask(settings)["findings"] == []


@pytest.mark.parametrize(
    ("polls", "found"),
    [
        ([bad("sacct", 10, "slurmdbd is away")], ["sacct: slurmdbd is away"]),
        ([good("sacct", 5), bad("sacct", 10, "slurmdbd is away")], ["sacct: slurmdbd is away"]),
        ([bad("sacct", 10, "slurmdbd is away"), good("sacct", 20)], []),
        ([bad("sacct", 10, "old"), bad("sacct", 20, "new"), good("scontrol", 30)], ["sacct: new"]),
    ],
)
def test_a_witness_that_failed_last_is_told_until_it_answers(
    settings: Settings, polls: list[Poll], found: list[str]
) -> None:
    take(settings, polls=polls)
    assert ask(settings)["findings"] == found


def test_a_projection_with_other_settings(settings: Settings) -> None:
    take(settings, accounting(0, 10))
    with open_ledger(settings.ledger) as ledger:
        older(ledger)
    assert any("gpucost rebuild" in finding for finding in ask(settings)["findings"])


def older(ledger: Ledger) -> None:
    with ledger.transaction() as db:
        db.execute("UPDATE meta SET value = '[\"0\", []]' WHERE key = 'projection'")
