"""Every lifecycle of a job on a real Slurm: the ledger against the accounting, to the second, and what the jobs saw."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from itertools import pairwise

import pytest

from tests.cluster.compare import (
    LONG_ENOUGH,
    assert_devices_are_those_seen,
    assert_no_device_is_let_twice,
    assert_partition,
    assert_quantities,
    assert_times_and_owners,
    by_key,
    held_devices,
    rows_by_key,
    suspended,
    witnesses,
)
from tests.cluster.lifecycle import Lifecycle
from tests.cluster.scenario import CONTROLLER, MAIN, gpus, started

pytestmark = pytest.mark.cluster

CHAINS = {
    "single": ["COMPLETED"],
    "three gpus": ["COMPLETED"],
    "unequal": ["COMPLETED"],
    "steps": ["COMPLETED"],
    "failed": ["FAILED"],
    "killed itself": ["FAILED"],
    "instant 0": ["COMPLETED"],
    "overlapping partition": ["COMPLETED"],
    "shard 2": ["COMPLETED"],
    "salloc without srun": ["COMPLETED"],
    "timeout": ["TIMEOUT"],
    "deadline": ["DEADLINE"],
    # OUT_OF_MEMORY comes from cgroups alone; without, OverMemoryKill makes it FAILED.
    "out of memory in batch": ["FAILED"],
    "out of memory in step": ["FAILED"],
    "ignores SIGTERM": ["CANCELLED"],
    "requeued twice": ["REQUEUED", "REQUEUED", "COMPLETED"],
    "requeued at once": ["REQUEUED", "COMPLETED"],
    "suspended twice": ["COMPLETED"],
    "cancelled while suspended": ["CANCELLED"],
    "requeued while suspended": ["REQUEUED", "CANCELLED"],
    "shrunk": ["RESIZING", "COMPLETED"],
    "held": ["COMPLETED"],
    "held while running": ["COMPLETED"],
    "back to back 3": ["COMPLETED"],
    "back to back 4": ["COMPLETED"],
    "back to back 5": ["COMPLETED"],
    "back to back 6": ["COMPLETED"],
    "back to back 7": ["COMPLETED"],
    "exclusive": ["COMPLETED"],
    "in a reservation": ["COMPLETED"],
    "gang alice": ["COMPLETED"],
    "gang bob": ["COMPLETED"],
    "preempted in requeuing": ["PREEMPTED", "CANCELLED"],
    "preempted in cancelling": ["PREEMPTED"],
    "urgent": ["COMPLETED"],
    "preempted as weak": ["PREEMPTED", "CANCELLED"],
    "preempted as weakest": ["PREEMPTED"],
    "strong": ["COMPLETED"],
}


def test_the_stories_went_as_told(lifecycle: Lifecycle) -> None:
    """Else the other tests compare less than they say."""
    states: dict[str, list[str]] = defaultdict(list)
    for row in sorted(lifecycle.rows, key=lambda r: int(r["Submit"])):
        states[row["JobIDRaw"]].append(row["State"].split()[0])
    assert {name: states[str(lifecycle.ids[name])] for name in CHAINS} == CHAINS


def test_every_attempt_is_there_once_with_its_times_and_owner(lifecycle: Lifecycle) -> None:
    assert_times_and_owners(lifecycle)


def test_what_never_ran_by_accounting_holds_nothing(lifecycle: Lifecycle) -> None:
    never = {(row["JobIDRaw"], row["Submit"]) for row in lifecycle.rows if not started(row)}
    assert str(lifecycle.ids["deadline"]) in {job for job, _ in never}
    listed = {k: a for k, a in by_key(lifecycle.jobs()).items() if k in never}
    assert {k for k, a in listed.items() if a["leases"] or Fraction(a["gpu_seconds"])} == set()


def test_nothing_is_held_for_a_decision(lifecycle: Lifecycle) -> None:
    """Each hook and each row of the controller found the attempt that the accounting has."""
    for config in (MAIN, CONTROLLER):
        assert [(a["job_id"], a["held"]) for a in lifecycle.jobs(config) if a["held"]] == []


def test_devices_are_those_that_the_jobs_saw(lifecycle: Lifecycle) -> None:
    assert_devices_are_those_seen(lifecycle)


def test_hooks_name_devices_even_where_the_job_told_nothing(lifecycle: Lifecycle) -> None:
    """Jobs under a second, and an allocation in which nothing was started."""
    ledger = by_key(lifecycle.jobs())
    for name, count in [(f"instant {n}", 1) for n in range(4)] + [("salloc without srun", 2)]:
        (attempt,) = (a for (job, _), a in ledger.items() if job == str(lifecycle.ids[name]))
        assert {(le["share"], le["device_evidence"]) for le in attempt["leases"]} == {("1", "prolog")}, name
        assert len({(le["node"], le["index"]) for le in attempt["leases"]}) == count, name


def test_quantities_are_those_of_the_accounting(lifecycle: Lifecycle) -> None:
    assert_quantities(lifecycle)


def test_no_device_is_let_twice_at_a_time(lifecycle: Lifecycle) -> None:
    assert_no_device_is_let_twice(lifecycle)


def test_every_device_is_accounted_for_once_at_every_moment(lifecycle: Lifecycle) -> None:
    assert_partition(lifecycle)


def test_no_one_hides_a_job_by_putting_it_on_hold(lifecycle: Lifecycle) -> None:
    job = lifecycle.ids["held while running"]
    assert str(job) not in {row["JobIDRaw"] for row in lifecycle.cluster.sacct()}, "then sacct has changed: simplify"
    (attempt,) = (a for a in lifecycle.jobs() if a["job_id"] == str(job))
    assert (attempt["billable"], Fraction(attempt["gpu_seconds"]) >= 5) == (True, True)


def test_two_jobs_followed_on_one_device_within_a_second(lifecycle: Lifecycle) -> None:
    rows = {row["JobIDRaw"]: row for row in lifecycle.rows}
    chain = [rows[str(lifecycle.ids[f"back to back {n}"])] for n in range(8)]
    gaps = [int(after["Start"]) - int(before["End"]) for before, after in pairwise(chain)]
    assert 0 in gaps, gaps


def test_suspended_time_is_not_billed(lifecycle: Lifecycle) -> None:
    ledger = by_key(lifecycle.jobs())
    paused = {k: row for k, row in rows_by_key(lifecycle.rows).items() if suspended(row)}
    names = {name for name, job in lifecycle.ids.items() if str(job) in {job for job, _ in paused}}
    assert names >= {"suspended twice", "gang alice", "gang bob"}
    for k, row in paused.items():
        whole = int(row["End"]) - int(row["Start"])
        assert Fraction(ledger[k]["gpu_seconds"]) == (whole - suspended(row)) * gpus(row)


def test_a_share_of_a_device_is_its_shards(lifecycle: Lifecycle) -> None:
    shares = {job: [le["share"] for le in a["leases"]] for (job, _), a in by_key(lifecycle.jobs()).items()}
    assert [shares[str(lifecycle.ids[f"shard {n}"])] for n in range(3)] == [["1/4"], ["1/2"], ["3/4"]]


def test_mixed_nodes_are_billed_by_the_type_that_was_given(lifecycle: Lifecycle) -> None:
    """Nothing but AllocTRES tells which type an untyped request got; on n3 index 0 is the a100."""
    ledger = by_key(lifecycle.jobs())
    leases = [le for k, a in ledger.items() for le in a["leases"] if le["node"] == "n3"]
    assert {(le["index"], le["gres"], le["sku"]) for le in leases} == {
        (0, "gpu:a100", "a100"),
        (1, "gpu:v100", "v100"),
        (2, "gpu:v100", "v100"),
    }


def test_mig_profiles_are_priced_apart(lifecycle: Lifecycle) -> None:
    """Typed as gres.conf has them; 22.05.8 gives the second profile of a node to nobody and books nothing for it."""
    leases = [le for a in lifecycle.jobs() for le in a["leases"] if le["node"] == "n4"]
    expected = {(0, "gpu:1g.5gb", "1g.5gb"), (1, "gpu:1g.5gb", "1g.5gb"), (2, "gpu:3g.20gb", "3g.20gb")}
    if lifecycle.cluster.suite == "bookworm":
        expected = {lease for lease in expected if lease[0] != 2}
    assert {(le["index"], le["gres"], le["sku"]) for le in leases} == expected


def test_the_controller_alone_names_devices(lifecycle: Lifecycle) -> None:
    ledger, rows = by_key(lifecycle.jobs(CONTROLLER)), rows_by_key(lifecycle.rows)
    witnessed = {k: held for k, held in witnesses(lifecycle).items() if int(rows[k]["ElapsedRaw"]) >= LONG_ENOUGH}
    assert len(witnessed) >= 4
    assert {k: held_devices(ledger[k]) for k in witnessed} == witnessed


def test_nodes_and_daemons_are_well(lifecycle: Lifecycle) -> None:
    states = lifecycle.cluster.run(["sinfo", "-h", "-N", "-o", "%N %T"]).stdout.split("\n")
    assert sorted({*filter(None, states)}) == [f"n{n} idle" for n in range(1, 9)]
    assert lifecycle.daemons_left == []
    for log in ("gpucostd-gpucost", "gpucostd-controller"):
        assert "Traceback" not in lifecycle.cluster.read(f"/var/log/{log}.log")
