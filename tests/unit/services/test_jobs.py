"""What ``gpucost jobs --json`` promises."""

from __future__ import annotations

import json
from typing import Any

import pytest

from slurm_gpucost.domain.evidence import Poll
from slurm_gpucost.ledger import asked, ingest, projector
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services.jobs import Filter, jobs
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.settings import Settings
from tests.unit.builders import T0, accounting, controller, gpus, hook, shards

PROMISED = {"cluster", "job_id", "submit", "start", "end", "state", "user", "account", "gpu_seconds", "leases"}
OF_A_LEASE = {"node", "device", "index", "count", "share", "start", "end", "start_evidence", "end_evidence"}
ONE = "gres/gpu:a100=1,gres/gpu=1"


def take(ledger: Ledger, settings: Settings, *rows: Any, polled: int | None = None) -> None:
    with ledger.transaction() as db:
        ingest.add_accounting(db, [r for r in rows if hasattr(r, "alloc_tres")])
        ingest.add_hooks(db, [r for r in rows if hasattr(r, "hook")])
        ingest.add_controller(db, [r for r in rows if hasattr(r, "gres")])
        if polled is not None:
            asked.add_poll(db, Poll("sacct", "c", T0 + polled * 1000, None, None, 1, 1, 1, 1, ""))
    projector.bring_up_to_date(ledger, settings.shards)


def ask(settings: Settings, low: int = -1000, high: int = 100_000, **other: Any) -> list[dict[str, Any]]:
    with open_queries(settings) as queries:
        found = jobs(settings, queries, Filter(T0 + low * 1000, T0 + high * 1000, **other))
    assert json.loads(json.dumps(found)) == found
    return found


def test_the_keys_that_others_script_against(settings: Settings, ledger: Ledger) -> None:
    take(ledger, settings, accounting(0, 10, -5, tres=ONE), hook("prolog", 400, "3"), hook("epilog", 10_100, "3"))
    (job,) = ask(settings)
    assert job.keys() >= PROMISED
    (lease,) = job["leases"]
    assert lease.keys() >= OF_A_LEASE
    second = T0 // 1000
    assert {key: job[key] for key in PROMISED - {"leases"}} == {
        "cluster": "c", "job_id": "7", "submit": second - 5, "start": second, "end": second + 10,
        "state": "COMPLETED", "user": "ann", "account": "lab", "gpu_seconds": "10",
    }  # fmt: skip
    assert {key: lease[key] for key in OF_A_LEASE} == {
        "node": "n1", "device": None, "index": 3, "count": 1, "share": "1", "start": second, "end": second + 10,
        "start_evidence": "sacct", "end_evidence": "sacct",
    }  # fmt: skip


def test_from_accounting_alone_count_says_how_many(settings: Settings, ledger: Ledger) -> None:
    take(ledger, settings, accounting(0, 10, suspended=4))
    (job,) = ask(settings)
    ran, stopped = job["leases"]
    assert (ran["node"], ran["device"], ran["index"], ran["count"], ran["suspended"]) == ("n1", None, None, 2, None)
    assert (stopped["start"], stopped["end"], stopped["suspended"]) == (ran["end"], job["end"], "inferred")
    assert job["gpu_seconds"] == "12"  # (10 - 4) s of 2 GPUs


def test_shares_are_fractions(settings: Settings, ledger: Ledger) -> None:
    row = accounting(0, 10, tres="gres/shard=3")
    take(ledger, settings, row, controller(3, [shards("n1", i2=3)], -5, 0))
    (job,) = ask(settings)
    assert [(x["share"], x["index"], x["count"]) for x in job["leases"]] == [("3/4", 2, 1)]
    assert job["gpu_seconds"] == "7.5"


def test_a_running_attempt_counts_up_to_the_last_current_poll(settings: Settings, ledger: Ledger) -> None:
    row = accounting(0, None, tres=ONE, observed_at_ms=T0 + 20_000)
    take(ledger, settings, row, hook("prolog", 90))
    (job,) = ask(settings)
    assert (job["end"], job["gpu_seconds"], job["leases"][0]["end"], job["leases"][0]["end_evidence"]) == (
        None, "20", None, None,
    )  # fmt: skip
    take(ledger, settings, polled=50)
    assert ask(settings)[0]["gpu_seconds"] == "50"
    with ledger.transaction() as db:  # neither a failed look nor one at a past window moves it
        for ok, current in [(0, 1), (1, 0)]:
            asked.add_poll(db, Poll("sacct", "c", T0 + 900_000, None, None, 0, 0, ok, current, ""))
    assert ask(settings)[0]["gpu_seconds"] == "50"


def test_what_accounting_does_not_know_is_shown_as_held(settings: Settings, ledger: Ledger) -> None:
    take(ledger, settings, hook("prolog", 100, "0,1"), hook("epilog", 5_000, "0,1"))
    take(ledger, settings, controller(20, [gpus("n2", 1)], 10, 12, job_id=8))
    by_hooks, by_controller = ask(settings)
    assert not by_hooks["billable"] and "hooks alone" in by_hooks["held"]
    assert (by_hooks["submit"], [x["start_evidence"] for x in by_hooks["leases"]]) == (None, ["prolog"] * 2)
    assert not by_controller["billable"] and "scontrol alone" in by_controller["held"]


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [(-50, 0, []), (0, 1, [7]), (9, 10, [7]), (10, 20, []), (5, 5_000, [7, 8]), (999, 1_001, [8]), (1_000, 1_001, [8])],
)
def test_attempts_that_overlap_the_window_unclipped(
    settings: Settings, ledger: Ledger, low: int, high: int, shown: list[int]
) -> None:
    take(ledger, settings, accounting(0, 10), accounting(1_000, 1_000, job_id=8))
    found = ask(settings, low, high)
    assert [int(job["job_id"]) for job in found] == shown
    assert all(len(job["leases"]) == 1 for job in found)


def test_filters(settings: Settings, ledger: Ledger) -> None:
    take(
        ledger,
        settings,
        accounting(0, 10),
        accounting(0, 10, job_id=8, user="bob", account="ops", partition="gpu"),
        accounting(0, 10, job_id=15, user="bob", array_job_id=12, array_task_id=3, state="FAILED"),
        accounting(0, 10, job_id=16, cluster="d"),
    )

    def ids(**other: Any) -> list[str]:
        return [job["job_id"] for job in ask(settings, **other)]

    assert ids() == ["7", "8", "15", "16"]
    assert ids(users=["bob"]) == ["8", "15"]
    assert ids(users=["bob"], accounts=["lab"]) == ["15"]
    assert ids(job_ids=[12]) == ["15"]
    assert ids(job_ids=[7, 16]) == ["7", "16"]
    assert ids(states=["FAILED"]) == ["15"]
    assert ids(partitions=["gpu"]) == ["8"]
    assert ids(clusters=["d"]) == ["16"]
    assert ids(users=[]) == []


def test_a_file_without_names_takes_none_away(settings: Settings, ledger: Ledger) -> None:
    named = accounting(0, 10, job_name="train", wckey="w")
    later = accounting(0, 10, job_name="", wckey="", observed_at_ms=named.observed_at_ms + 1)
    take(ledger, settings, named, later)
    (found,) = ask(settings)
    assert (found["job_name"], found["wckey"]) == ("train", "w")
