"""What a real Slurm does that looks like something else, one case each."""

from __future__ import annotations

import pytest

from slurm_gpucost.domain.evidence import SlotReport
from slurm_gpucost.domain.projection import project
from slurm_gpucost.domain.records import Topology, Vanished
from slurm_gpucost.domain.units import OPEN_END_MS
from tests.unit.builders import NOTHING, T0, accounting, controller, evidence, gpus, hook, named, shards

ONE = "cpu=1,gres/gpu:a100=1,gres/gpu=1"


def test_a_shard_job_looks_like_a_whole_gpu_to_hooks_and_is_not() -> None:
    said = evidence(accounting(0, 10, tres="cpu=1,gres/shard=1"), hook("prolog", 500, "0"), hook("epilog", 10_100, "0"))
    (lease,) = project(said, Topology([], {"": 4})).leases
    assert (lease.gres_name, lease.node, lease.gres_index, str(lease.share)) == ("shard", "n1", 0, "1/4")
    (unknown,) = project(said, NOTHING).leases
    assert unknown.share is None


def test_shards_on_two_devices_are_told_apart_by_the_controller() -> None:
    row = accounting(0, 10, tres="gres/shard=5")
    seen = controller(3, [shards("n1", i0=3, i1=2)], -5, 0)
    leases = project(evidence(row, hook("prolog", 20, "0,1"), seen), Topology([], {"": 4})).leases
    assert {(x.gres_index, str(x.share)) for x in leases} == {(0, "3/4"), (1, "1/2")}
    # Without the controller nobody knows how many of which: nothing is guessed, nothing is lost.
    (rest,) = project(evidence(row, hook("prolog", 20, "0,1")), Topology([], {"": 4})).leases
    assert (rest.node, rest.gres_index, rest.units, str(rest.share)) == ("n1", None, 5, "1/4")


def test_the_epilog_of_a_requeued_attempt_shows_the_next_restart_count() -> None:
    said = evidence(
        accounting(0, 10, 0, ONE, state="REQUEUED"),
        accounting(130, 140, 10, ONE),
        hook("prolog", 30, "0", restart_count=0),
        hook("epilog", 10_300, "0", restart_count=1),
        hook("prolog", 130_400, "3", restart_count=1),
        hook("epilog", 140_010, "3", restart_count=1),
    )
    first, second = sorted(project(said, NOTHING).leases)
    assert (first.start_ms - T0, first.end_ms - T0, first.gres_index) == (0, 10_000, 0)
    assert (second.start_ms - T0, second.end_ms - T0, second.gres_index) == (130_000, 140_000, 3)


def test_an_epilog_without_a_prolog_names_the_device() -> None:
    (lease,) = project(evidence(accounting(0, 10, tres=ONE), hook("epilog", 10_200, "2")), NOTHING).leases
    assert (lease.node, lease.gres_index, lease.device_evidence) == ("n1", 2, "epilog")


def test_an_epilog_without_gpu_variables_leaves_them_to_the_prolog() -> None:
    said = evidence(accounting(0, 10, tres=ONE), hook("epilog", 10_200, None), hook("prolog", 900, "1"))
    (lease,) = project(said, NOTHING).leases
    assert (lease.gres_index, lease.device_evidence) == (1, "prolog")


def test_late_epilogs_of_a_dead_node_stay_with_the_attempt_that_died() -> None:
    said = evidence(
        accounting(0, 100, 0, ONE, state="NODE_FAIL"),
        accounting(102, 112, 100, ONE, node_list="n2"),
        hook("prolog", 50, "0"),
        hook("prolog", 102_500, "1", node="n2", restart_count=1),
        hook("epilog", 110_000, "0", restart_count=1),
        hook("epilog", 112_500, "1", node="n2", restart_count=1),
    )
    assert [(x.node, x.gres_index) for x in sorted(project(said, NOTHING).leases)] == [("n1", 0), ("n2", 1)]


def test_a_prolog_that_waited_for_the_first_srun_belongs_to_the_attempt_that_ran() -> None:
    # Without PrologFlags=Alloc a second node's prolog runs late: here nearer to the next start than to its own.
    two = "gres/gpu:a100=2,gres/gpu=2,node=2"
    said = evidence(
        accounting(0, 70, 0, two, state="REQUEUED", node_list="n[1-2]"),
        accounting(75, 90, 70, two, node_list="n[1-2]"),
        hook("prolog", 50, "0"),
        hook("prolog", 60_000, "1", node="n2"),
        hook("prolog", 75_050, "2", restart_count=1),
        hook("prolog", 75_070, "3", node="n2", restart_count=1),
    )
    first, second = ([x for x in project(said, NOTHING).leases if x.submit_ms == T0 + ms] for ms in (0, 70_000))
    assert named(first) == [("n1", 0, 1), ("n2", 1, 1)]
    assert named(second) == [("n1", 2, 1), ("n2", 3, 1)]


def test_a_resized_job_on_22_05_does_not_count_its_first_part_twice() -> None:
    four = "gres/gpu:a100=4,gres/gpu=4,node=2"
    said = evidence(
        accounting(0, 60, 0, four, state="RESIZING"),
        accounting(0, 100, 60, "gres/gpu:a100=2,gres/gpu=2,node=1"),  # 22.05 leaves the first Start here
    )
    attempts, leases = project(said, NOTHING)
    assert [(a.start_ms, a.end_ms, a.elapsed_ms) for a in attempts] == [
        (T0, T0 + 60_000, 60_000),
        (T0 + 60_000, T0 + 100_000, 40_000),
    ]
    assert sum((x.end_ms - x.start_ms) * x.units for x in leases) == (60 * 4 + 40 * 2) * 1000


@pytest.mark.parametrize("told_start", [None, T0], ids=["22.05", "24.11"])
def test_each_row_of_a_shrunk_job_holds_its_nodes_devices(told_start: int | None) -> None:
    """Hooks and the controller go on with the first row's times: only its nodes tell what the next row holds."""
    two, one = "gres/gpu:a100=2,gres/gpu=2,node=2", "gres/gpu:a100=1,gres/gpu=1,node=1"
    rows = [
        accounting(0, 60, 0, two, state="RESIZING", node_list="n[1-2]"),
        accounting(60 if told_start else 0, 100, 60, one),
    ]
    # The epilog of the node that is given back names what the job has left on the other one.
    times = [("prolog", 80, "3", "n1"), ("prolog", 90, "2", "n2"), ("epilog", 60_900, "3", "n2")]
    hooks = [
        hook(h, at, g, node, job_start_ms=told_start) for h, at, g, node in [*times, ("epilog", 100_500, "3", "n1")]
    ]
    looks = [controller(20, [gpus("n1", 3), gpus("n2", 2)], 0, 0), controller(70, [gpus("n1", 3)], 0, 0)]
    for said in (evidence(*rows, *hooks), evidence(*rows, *looks), evidence(*rows, *hooks, *looks)):
        leases = project(said, NOTHING).leases
        first, second = ([x for x in leases if x.submit_ms == T0 + ms] for ms in (0, 60_000))
        assert named(first) == [("n1", 3, 1), ("n2", 2, 1)]
        assert named(second) == [("n1", 3, 1)]
    assert {(x.submit_ms - T0, x.node): x.prolog_ms for x in leases}[60_000, "n1"] is None
    ends = {(x.submit_ms - T0, x.node): x.epilog_ms for x in leases}
    assert ends == {(0, "n1"): None, (0, "n2"): T0 + 60_900, (60_000, "n1"): T0 + 100_500}


def test_hooks_of_a_run_that_22_05_books_without_a_start_are_not_the_next_runs() -> None:
    said = evidence(
        accounting(None, 2, 0, ONE, state="REQUEUED", node_list="n2"),
        accounting(8, 15, 2, ONE),
        *(hook("prolog", 400, "0", "n2"), hook("epilog", 2_100, "0", "n2")),
        *(hook("prolog", 8_100, "1", "n1", restart_count=1), hook("epilog", 15_100, "1", "n1", restart_count=1)),
    )
    attempts, (lease,) = project(said, NOTHING)
    assert [a.witness for a in attempts] == ["sacct", "sacct"]
    assert (lease.submit_ms, lease.node, lease.gres_index) == (T0 + 2_000, "n1", 1)


def test_hooks_of_24_11_tell_one_of_two_types_and_the_controller_the_other() -> None:
    row = accounting(0, 10, tres="gres/gpu:a100=1,gres/gpu:v100=2,gres/gpu=3")
    look = controller(5, [gpus("n1", 0), gpus("n1", 1, 2, kind="v100")], -5, 0)
    leases = project(evidence(row, hook("prolog", 70, "1,2"), hook("epilog", 10_100, "1,2"), look), NOTHING).leases
    assert sorted((x.gres_type, x.gres_index, x.device_evidence) for x in leases) == [
        ("a100", 0, "scontrol"),
        ("v100", 1, "prolog"),
        ("v100", 2, "prolog"),
    ]


def test_an_exclusive_job_holds_every_gpu_that_it_is_booked() -> None:
    said = evidence(accounting(0, 10, tres="gres/gpu:a100=4,gres/gpu=4"), hook("prolog", 40, "0-1,2,3"))
    assert named(project(said, NOTHING).leases) == [("n1", i, 1) for i in range(4)]


def test_what_hooks_alone_know_is_held_and_not_billed() -> None:
    (attempt,), leases = project(evidence(hook("prolog", 100, "0,1"), hook("epilog", 9_000, "0,1")), NOTHING)
    assert (attempt.witness, attempt.billable, attempt.state) == ("hooks", 0, "UNKNOWN")
    assert [(x.billable, x.start_ms - T0, x.end_ms - T0) for x in leases] == [(0, 100, 9_000)] * 2
    assert {(x.start_evidence, x.end_evidence) for x in leases} == {("prolog", "epilog")}


def test_two_runs_that_hooks_alone_know_are_two_attempts() -> None:
    times = [("prolog", 100), ("epilog", 9_000), ("prolog", 20_000)]
    attempts, leases = project(evidence(*(hook(kind, at) for kind, at in times)), NOTHING)
    assert [(a.start_ms, a.end_ms) for a in attempts] == [(T0 + 100, T0 + 9_000), (T0 + 20_000, None)]
    assert [x.end_ms for x in leases] == [T0 + 9_000, OPEN_END_MS]


def test_what_the_controller_alone_knows_is_held_and_not_billed() -> None:
    (attempt,), leases = project(evidence(controller(5, [gpus("n1", 0), gpus("n2", 3)], -5, 0)), NOTHING)
    assert (attempt.witness, attempt.billable) == ("scontrol", 0)
    assert named(leases) == [("n1", 0, 1), ("n2", 3, 1)]
    assert all(x.billable == 0 and x.device_evidence == "scontrol" for x in leases)


def test_a_job_that_never_ran_holds_nothing() -> None:
    (attempt,), leases = project(evidence(accounting(None, 10, 0, state="CANCELLED")), NOTHING)
    assert (attempt.start_ms, attempt.state, leases) == (None, "CANCELLED", [])


def test_a_job_under_a_second_is_there_with_its_device_and_costs_nothing() -> None:
    said = evidence(accounting(3, 3, tres=ONE), hook("prolog", 3_800, "1"), hook("epilog", 4_100, "1"))
    (attempt,), (lease,) = project(said, NOTHING)
    assert (attempt.elapsed_ms, lease.end_ms - lease.start_ms, lease.gres_index) == (0, 0, 1)


def test_a_running_job_is_open_until_accounting_ends_it() -> None:
    running = accounting(0, None, tres=ONE, observed_at_ms=T0 + 5000)
    (attempt,), (lease,) = project(evidence(running, hook("prolog", 80)), NOTHING)
    assert (attempt.end_ms, lease.end_ms, lease.end_evidence) == (None, OPEN_END_MS, None)
    ended = accounting(0, 20, tres=ONE, observed_at_ms=T0 + 1000)  # an older look, but a final state
    (after,) = project(evidence(ended, running), NOTHING).leases
    assert after.end_ms == T0 + 20_000


def test_uuids_in_cuda_visible_devices_name_the_devices() -> None:
    said = evidence(accounting(0, 10), hook("prolog", 60, "0,2", visible_devices="GPU-aa,GPU-bb"))
    assert [(x.gres_index, x.device) for x in project(said, NOTHING).leases] == [(0, "GPU-aa"), (2, "GPU-bb")]


def test_an_index_is_the_device_that_was_in_the_slot_at_that_time() -> None:
    slots = [SlotReport("c", "n1", "gpu", 0, "a100", uuid, T0 + at) for uuid, at in [("new", 500_000), ("old", -900)]]
    for start, uuid in [(0, "old"), (600, "new")]:
        said = evidence(accounting(start, start + 10, tres=ONE), hook("prolog", start * 1000 + 90, "0"))
        assert [x.device for x in project(said, Topology(slots, {})).leases] == [uuid]


@pytest.mark.parametrize("types_from", ["controller", "slots"])
def test_two_types_in_one_job_are_told_apart(types_from: str) -> None:
    row = accounting(0, 10, tres="gres/gpu:a100=2,gres/gpu:h100=1,gres/gpu=3")
    slots = [SlotReport("c", "n1", "gpu", i, kind, "", T0) for i, kind in enumerate(["a100", "a100", "h100"])]
    seen = [gpus("n1", 0, 1), gpus("n1", 2, kind="h100")]
    prolog = hook("prolog", 70, "0-2")
    looks = [controller(5, seen, -5, 0)] if types_from == "controller" else []
    known = Topology(slots, {}) if types_from == "slots" else NOTHING
    leases = project(evidence(row, prolog, *looks), known).leases
    assert {(x.gres_type, x.gres_index) for x in leases} == {("a100", 0), ("a100", 1), ("h100", 2)}
    # Unknown types: the amounts stand, no device is guessed.
    assert named(project(evidence(row, prolog), NOTHING).leases) == [("n1", None, 1), ("n1", None, 2)]


def test_hooks_that_saw_more_than_was_booked_name_nothing() -> None:
    (lease,) = project(evidence(accounting(0, 10, tres=ONE), hook("prolog", 50, "0-3")), NOTHING).leases
    assert (lease.node, lease.gres_index, lease.units) == ("n1", None, 1)


def test_a_node_that_nobody_saw_holds_the_rest_without_a_device() -> None:
    row = accounting(0, 10, tres="gres/gpu:a100=4,gres/gpu=4,node=2", node_list="n[1-2]")
    leases = project(evidence(row, hook("prolog", 50, "0,1")), NOTHING).leases
    assert named(leases) == [("n1", 0, 1), ("n1", 1, 1), ("n2", None, 2)]
    assert [x.device_evidence for x in leases] == ["prolog", "prolog", "inferred"]


def test_from_accounting_alone_one_node_is_known_and_several_share_evenly() -> None:
    (alone,) = project(evidence(accounting(0, 10)), NOTHING).leases
    assert (alone.node, alone.gres_index, alone.units, alone.device_evidence) == ("n1", None, 2, "sacct")
    many = accounting(0, 10, tres="gres/gpu:a100=5,gres/gpu=5,node=3", node_list="n[1-2,9]")
    spread = project(evidence(many), NOTHING).leases
    assert [(x.node, x.units, x.device_evidence) for x in spread] == [
        ("n1", 2, "inferred"), ("n2", 2, "inferred"), ("n9", 1, "inferred"),
    ]  # fmt: skip
    (nowhere,) = project(evidence(accounting(0, 10, node_list="None assigned")), NOTHING).leases
    assert (nowhere.node, nowhere.units, nowhere.device_evidence) == (None, 2, None)


def test_suspension_is_leased_and_not_billed() -> None:
    (attempt,), (ran, stopped) = project(evidence(accounting(0, 12, tres=ONE, suspended=4)), NOTHING)
    assert (attempt.elapsed_ms, attempt.suspended_ms) == (8_000, 4_000)
    assert (ran.start_ms - T0, ran.end_ms - T0, ran.suspended) == (0, 8_000, "")
    assert (stopped.start_ms - T0, stopped.end_ms - T0, stopped.suspended) == (8_000, 12_000, "inferred")
    assert (ran.end_evidence, stopped.start_evidence, stopped.end_evidence) == ("inferred", "inferred", "sacct")


def test_a_row_begins_no_earlier_than_it_was_submitted() -> None:
    # 22.05 after a resize; the RESIZING row itself did not reach us.
    (attempt,), (lease,) = project(evidence(accounting(0, 100, 60, ONE)), NOTHING)
    assert (attempt.start_ms, attempt.elapsed_ms, lease.end_ms - lease.start_ms) == (T0 + 60_000, 40_000, 40_000)


def test_of_two_runs_in_one_second_the_node_tells_whose_a_hook_is() -> None:
    said = evidence(
        accounting(0, 30, 0, ONE, state="REQUEUED"),
        accounting(30, 30, 30, ONE, node_list="n2"),
        *(hook("prolog", 40, "0"), hook("epilog", 30_900, "0", restart_count=1)),
        *(hook("prolog", 30_400, "1", "n2", restart_count=1), hook("epilog", 30_500, "1", "n2", restart_count=1)),
    )
    first, second = sorted(project(said, NOTHING).leases)
    assert (first.node, first.gres_index, first.epilog_ms) == ("n1", 0, T0 + 30_900)
    assert (second.node, second.gres_index, second.epilog_ms) == ("n2", 1, T0 + 30_500)


def test_an_epilog_is_not_that_of_a_run_whose_prolog_is_still_to_come() -> None:
    said = evidence(
        accounting(0, 308, 0, ONE, state="REQUEUED"),
        accounting(309, 309, 308, ONE),
        *(hook("prolog", 80, "0"), hook("epilog", 309_380, None, restart_count=1)),
        *(hook("prolog", 309_640, "1", restart_count=1), hook("epilog", 309_760, None, restart_count=1)),
    )
    assert [x.epilog_ms for x in sorted(project(said, NOTHING).leases)] == [T0 + 309_380, T0 + 309_760]


def test_what_is_of_a_run_that_the_accounting_has_not_told_of_is_not_another_runs() -> None:
    running = accounting(0, None, 0, ONE, observed_at_ms=T0 + 5_000)
    later = hook("prolog", 50_100, "1", restart_count=1, job_start_ms=T0 + 50_000)
    for said in (later, later._replace(job_start_ms=None), controller(60, [gpus("n1", 1)], 45, 50)):
        attempts, leases = project(evidence(running, hook("prolog", 60, "0"), said), NOTHING)
        assert [(a.witness == "sacct", a.billable) for a in attempts] == [(True, 1), (False, 0)]
        assert [(x.billable, x.gres_index) for x in leases] == [(1, 0), (0, 1)]


def test_an_epilog_that_may_be_another_runs_names_no_device() -> None:
    rows = [accounting(0, 30, 0, ONE, state="REQUEUED"), accounting(31, 40, 30, ONE)]
    alone = hook("epilog", 40_200, "1", restart_count=1)
    first, second = sorted(project(evidence(*rows, alone), NOTHING).leases)
    assert (first.gres_index, second.gres_index, second.device_evidence) == (None, None, "sacct")
    # 24.11 and later tell the start.
    _, second = sorted(project(evidence(*rows, alone._replace(job_start_ms=T0 + 31_000)), NOTHING).leases)
    assert (second.gres_index, second.device_evidence) == (1, "epilog")
    # Each run has its epilog, and they agree.
    both = [hook("epilog", 30_300, "1", restart_count=1), alone]
    assert [x.gres_index for x in project(evidence(*rows, *both), NOTHING).leases] == [1, 1]


def test_a_row_that_went_before_a_requeue_is_no_row_of_the_next_run() -> None:
    two = "gres/gpu:a100=2,gres/gpu=2,node=2"
    said = evidence(  # of the first run's second size nothing is known
        accounting(0, 20, 0, two, state="RESIZING", node_list="n[1-2]"),
        accounting(90, 100, 80, ONE),
        *(hook("prolog", 60, "1"), hook("prolog", 90_060, "3", restart_count=1)),
    )
    first, second = ([x for x in project(said, NOTHING).leases if x.submit_ms == T0 + ms] for ms in (0, 80_000))
    assert named(first) == [("n1", 1, 1), ("n2", None, 1)]
    assert named(second) == [("n1", 3, 1)]


def test_what_vanished_while_it_was_suspended_is_not_billed_for_that() -> None:
    said = evidence(accounting(0, None, 0, ONE, state="SUSPENDED", suspended=5, observed_at_ms=T0 + 25_000))
    said.vanished.append(Vanished(T0, T0 + 60_000, T0 + 90_000))
    (attempt,), leases = project(said, NOTHING)
    assert (attempt.elapsed_ms, attempt.suspended_ms) == (20_000, 40_000)
    assert sum(x.end_ms - x.start_ms for x in leases if not x.suspended) == 20_000


def test_hooks_ran_before_the_first_and_after_the_last_stretch_alone() -> None:
    seen = [
        controller(25, [gpus("n1", 0)], 0, 0, state="SUSPENDED", suspend_ms=T0 + 20_000, ran_ms=20_000),
        controller(60, [gpus("n1", 0)], 0, 0, suspend_ms=T0 + 50_000, ran_ms=20_000),
    ]
    said = evidence(
        accounting(0, 100, 0, ONE, suspended=30), *seen, hook("prolog", 60, "0"), hook("epilog", 100_300, "0")
    )
    leases = sorted(project(said, NOTHING).leases, key=lambda x: x.start_ms)
    assert [x.prolog_ms for x in leases] == [T0 + 60, None, None]
    assert [x.epilog_ms for x in leases] == [None, None, T0 + 100_300]


def test_an_epilog_on_a_node_where_no_run_began_is_none_of_those_that_began_elsewhere() -> None:
    said = evidence(hook("prolog", 100, "0"), hook("epilog", 9_000, None), hook("epilog", 25_000, "1", node="n2"))
    attempts, (lease,) = project(said, NOTHING)
    assert (lease.node, lease.end_ms) == ("n1", T0 + 9_000)
    assert [a.start_ms for a in attempts] == [T0 + 100, None]


def test_from_the_controller_alone_a_requeued_run_ends_when_the_job_was_submitted_anew() -> None:
    said = evidence(
        controller(3, [gpus("n1", 1)], 0, 0),
        controller(15, [gpus("n2", 0)], 5, 13),
        controller(27, [], 5, 13, state="COMPLETED", end_ms=T0 + 25_000),
    )
    first, second = sorted(project(said, NOTHING).leases, key=lambda x: x.start_ms)
    assert (first.start_ms - T0, first.end_ms - T0, first.node, first.gres_index) == (0, 5_000, "n1", 1)
    assert (second.start_ms - T0, second.end_ms - T0, second.node, second.gres_index) == (13_000, 25_000, "n2", 0)


@pytest.mark.parametrize("told_start", [T0, None])
def test_the_epilog_of_a_node_that_a_shrunk_job_released_names_the_devices_of_the_node_that_stays(
    told_start: int | None,
) -> None:
    # Seen on 22.05, 24.11 and 26.05: n2 held index 0, its epilog says 1, which is n1's.
    two = "gres/gpu:a100=2,gres/gpu=2,node=2"
    said = evidence(
        accounting(0, 2, -2, two, state="RESIZING", node_list="n[1-2]"),
        accounting(2, 6, 2, ONE, node_list="n1"),
        hook("prolog", 538, "1", job_start_ms=told_start),
        hook("prolog", 542, "0", node="n2", job_start_ms=told_start),
        hook("epilog", 2_722, "1", node="n2", job_start_ms=told_start),
        hook("epilog", 6_302, "1", job_start_ms=told_start),
    )
    attempts, leases = project(said, NOTHING)
    assert [a.witness for a in attempts] == ["sacct", "sacct"], "nothing is left over"
    assert sorted((x.start_ms - T0, x.node, x.gres_index) for x in leases) == [
        (0, "n1", 1), (0, "n2", 0), (2_000, "n1", 1),
    ]  # fmt: skip
    assert {x.epilog_ms for x in leases if x.node == "n2"} == {T0 + 2_722}


def test_a_prolog_that_a_node_ran_when_it_was_back_is_that_of_the_run_that_died_with_it() -> None:
    # Seen on 22.05: a node that had been cut off.
    said = evidence(
        accounting(0, 3, 0, ONE, state="NODE_FAIL", node_list="n2"),
        accounting(9, 17, 3, ONE, node_list="n1"),
        hook("prolog", 12_150, "3", node="n2"),
        hook("epilog", 12_340, "3", node="n2", restart_count=1),
        hook("prolog", 14_360, "2", restart_count=1),
        hook("epilog", 17_580, "2", restart_count=2),
    )
    attempts, leases = project(said, NOTHING)
    assert [a.witness for a in attempts] == ["sacct", "sacct"]
    assert named(leases) == [("n1", 2, 1), ("n2", 3, 1)]


def test_two_epilogs_in_one_millisecond_that_nobody_else_knows_are_two_attempts() -> None:
    attempts, _ = project(evidence(hook("epilog", 9_000), hook("epilog", 9_000, node="n2")), NOTHING)
    assert len({a.submit_ms for a in attempts}) == 2
