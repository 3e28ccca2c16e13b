from __future__ import annotations

import time
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.blocked import PARTS, Blocked, Hold, Installed, blocked, evenly
from slurm_gpucost.costing.tres import MAX, Prices, hourly, with_blocked
from slurm_gpucost.costing.tres_text import allocated

NODE = Installed(gpus=4, cpus=48, mem_mb=400 * 1024)
KENNESAW = Prices(({"gres/gpu": Fraction("0.12"), "cpu": Fraction("0.03")}, {"mem": Fraction("0.004")}), MAX)


def hold(start: int, end: int, key: str, gpus: Any = 0, cpus: Any = 0, mem_mb: Any = 0) -> Hold:
    return Hold(start, end, key, Fraction(gpus), Fraction(cpus), Fraction(mem_mb))


def test_kennesaw_states_job_without_a_gpu_pays_for_the_four_that_it_blocks() -> None:
    # https://campus.kennesaw.edu/... /vhpc/vhpc_billing.php, jobs 1 and 5; their nodes have 48 CPUs and 4 GPUs.
    # What memory these have the page does not say; 512 GiB fits its job of 480.
    node = Installed(4, 48, 512 * 1024)

    def price(text: str, **how: Any) -> Fraction:
        tres = allocated(text)
        cpus, mem_mb = evenly(tres, 1)
        found = blocked([hold(0, 3_600_000, "job", tres.get("gres/gpu", 0), cpus, mem_mb)], node, **how)
        return hourly(with_blocked(tres, sum((b.devices for b in found), Fraction(0))), KENNESAW).amount

    assert price("cpu=48,mem=360G") == Fraction("1.92")
    assert price("cpu=1,mem=16G,gres/gpu=1") == Fraction("0.15")
    assert price("cpu=4,mem=480G,gres/gpu=2") == Fraction("1.92")
    assert price("cpu=48,mem=256G,gres/gpu=4") == Fraction("1.92")
    # They bill 0.03 for one CPU and 5 GB, so they count whole GPUs only: 47 CPUs are left for four.
    assert price("cpu=1,mem=5G", in_whole=True) == Fraction("0.03")
    assert price("cpu=48,mem=360G", in_whole=True) == Fraction("1.92")
    assert price("cpu=1,mem=5G") == Fraction("0.03") + Fraction("0.12") / 12


def test_the_greatest_of_gpus_cpus_and_memory() -> None:
    assert blocked([hold(0, 10, "a", 1, 24, 100 * 1024)], NODE) == [Blocked("a", 0, 10, Fraction(1))]
    assert blocked([hold(0, 10, "a", 1, 12, 350 * 1024)], NODE) == [Blocked("a", 0, 10, Fraction(5, 2))]
    assert blocked([hold(0, 10, "a", 3, 24, 1024)], NODE) == []
    assert blocked([hold(0, 10, "a", Fraction(1, 8), 12)], NODE) == [Blocked("a", 0, 10, Fraction(7, 8))]
    assert blocked([hold(0, 10, "a", 0, 47)], NODE, in_whole=True) == [Blocked("a", 0, 10, Fraction(3))]
    assert blocked([hold(0, 10, "a", 0, 11)], NODE, in_whole=True) == []


def test_what_is_held_comes_first_and_blockers_share_what_is_left() -> None:
    # a would block 4, b 2, and 3 are left: 2 and 1. When c takes two more, 2/3 and 1/3; then nothing.
    found = blocked(
        [
            hold(0, 90, "a", 0, 48),
            hold(0, 60, "b", 0, 24),
            hold(0, 90, "c", 1),
            hold(20, 40, "c2", 2),
            hold(50, 90, "d", 3),
        ],
        NODE,
    )
    assert found == [
        Blocked("a", 0, 20, Fraction(2)),
        Blocked("a", 20, 40, Fraction(2, 3)),
        Blocked("a", 40, 50, Fraction(2)),
        Blocked("b", 0, 20, Fraction(1)),
        Blocked("b", 20, 40, Fraction(1, 3)),
        Blocked("b", 40, 50, Fraction(1)),
    ]
    assert sum(b.device_ms for b in found) == 20 * 3 + 20 * 1 + 10 * 3


def test_what_is_held_twice_is_one_gpu_less_that_is_held() -> None:
    holds = [hold(0, 10, "a", 1), hold(0, 10, "b", 1), hold(0, 10, "c", 0, 48), hold(0, 10, "", -1)]
    assert blocked(holds, NODE) == [Blocked("c", 0, 10, Fraction(3))]


def test_parts_that_do_not_come_out_even_go_by_the_order_of_keys() -> None:
    node = Installed(1, 1, 0)
    found = blocked([hold(0, 1, f"{n:02}", 0, 1) for n in reversed(range(19))], node)
    assert [int(b.devices * PARTS) for b in found] == [(n + 1) * PARTS // 19 - n * PARTS // 19 for n in range(19)], (
        "differences of floors of cumulative sums"
    )
    assert sum(b.devices for b in found) == 1


def test_leases_of_one_attempt_are_one_hold() -> None:
    whole = blocked([hold(0, 10, "a", 2, 36)], NODE)
    parts = [hold(0, 10, "a", 1), hold(0, 10, "a", 1), hold(0, 4, "a", 0, 36), hold(4, 10, "a", 0, 36)]
    assert blocked(parts, NODE) == whole == [Blocked("a", 0, 10, Fraction(1))]


def test_what_is_not_known_or_not_there_blocks_nothing() -> None:
    assert blocked([hold(0, 10, "a", 0, 48, 400 * 1024)], Installed(4, 0, 0)) == []
    assert blocked([hold(0, 10, "a", 0, 48)], Installed(0, 48, 1024)) == []
    assert blocked([hold(5, 5, "a", 0, 48)], NODE) == []
    assert blocked([], NODE) == []
    # More than there is (a wrong RealMemory) is the whole node and no more.
    assert blocked([hold(0, 1, "a", 1, 0, 10**9)], NODE) == [Blocked("a", 0, 1, Fraction(3))]


def test_cpus_and_memory_lie_evenly_on_the_nodes() -> None:
    assert evenly(allocated("cpu=5,mem=10M,node=2"), 2) == (Fraction(5, 2), Fraction(5))
    assert evenly(allocated("gres/gpu=1"), 3) == (Fraction(0), Fraction(0))


@pytest.mark.parametrize(
    "wrong",
    [Hold(0, 1, "a", 0.5, 1, 1), Hold(0, 1, "a", 0, 1.0, 1), Hold(0.0, 1, "a", 0, 1, 1)],  # type: ignore[arg-type]
)
def test_a_float_raises(wrong: Hold) -> None:
    with pytest.raises(TypeError, match="must be an int"):
        blocked([wrong], NODE)
    with pytest.raises(TypeError, match="cpus must be an int, not float"):
        blocked([], Installed(1, 4.0, 8))  # type: ignore[arg-type]


HOLDS = st.lists(
    st.builds(
        lambda start, length, key, gpus, cpus, mem: Hold(
            start, start + length, key, gpus, Fraction(cpus), Fraction(mem)
        ),
        st.integers(0, 20),
        st.integers(0, 15),
        st.sampled_from("abcd"),
        st.sampled_from([Fraction(0), Fraction(1), Fraction(2), Fraction(3, 8)]),
        st.integers(0, 10),
        st.integers(0, 100),
    ),
    max_size=8,
)
NODES = st.builds(Installed, st.integers(0, 5), st.integers(0, 12), st.integers(0, 90))


def devices_at(found: list[Blocked], key: str, ms: int) -> Fraction:
    (only,) = [b.devices for b in found if b.key == key and b.start_ms <= ms < b.end_ms] or [Fraction(0)]
    return only


@given(HOLDS, NODES)
def test_every_moment_is_what_working_it_out_for_that_moment_gives(holds: list[Hold], node: Installed) -> None:
    """Oracle: each millisecond by itself, in the smallest parts of a GPU as integers."""
    found = blocked(holds, node)
    unit = PARTS * max(node.cpus, 1) * max(node.mem_mb, 1)  # of these parts one GPU has
    for ms in range(36):
        now = [h for h in holds if h.start_ms <= ms < h.end_ms]
        would: dict[str, int] = {}
        for key in {h.key for h in now}:
            mine = [h for h in now if h.key == key]
            gpus = int(sum(h.gpus for h in mine) * unit)
            needs = [gpus]
            if node.cpus:
                needs.append(unit // node.cpus * node.gpus * int(sum(h.cpus for h in mine)))
            if node.mem_mb:
                needs.append(unit // node.mem_mb * node.gpus * int(sum(h.mem_mb for h in mine)))
            would[key] = max(0, min(max(needs), node.gpus * unit) - gpus)
        held = int(sum(h.gpus for h in now) * unit)
        left = max(0, node.gpus * unit - held)
        whole = sum(would.values())
        for key in "abcd":
            got = devices_at(found, key, ms) * unit
            if whole <= left:
                assert got == would.get(key, 0)
            else:
                assert abs(got - Fraction(would.get(key, 0) * left, whole)) * PARTS < unit
        taken = sum((devices_at(found, key, ms) for key in "abcd"), Fraction(0)) * unit
        assert taken == min(left, whole)
        assert held + taken <= max(held, node.gpus * unit)


@given(HOLDS, NODES, st.booleans(), st.integers(0, 35), st.randoms())
def test_order_and_splitting_change_nothing(
    holds: list[Hold], node: Installed, flag: bool, at: int, random: Any
) -> None:
    split: list[Hold] = []
    for one in holds:
        inside = one.start_ms < at < one.end_ms
        split += [one._replace(end_ms=at), one._replace(start_ms=at)] if inside else [one]
    random.shuffle(split)
    assert blocked(split, node, in_whole=flag) == blocked(holds, node, in_whole=flag)


@given(HOLDS, NODES)
def test_intervals_are_as_few_as_they_can_be(holds: list[Hold], node: Installed) -> None:
    found = blocked(holds, node)
    for one, following in pairwise(found):
        if one.key == following.key:
            assert one.end_ms < following.start_ms or one.devices != following.devices
    assert all(one.devices > 0 and one.start_ms < one.end_ms for one in found)


def test_a_busy_month_of_a_node_is_done_in_seconds() -> None:
    holds = [hold(n * 100, n * 100 + 3000, f"{n:05}", n % 5 == 0, n % 7, n % 900) for n in range(10_000)]
    began = time.process_time()
    assert blocked(holds, Installed(8, 128, 20_000))
    assert time.process_time() - began < 10


def test_a_month_of_cuts_adds_up_with_one_denominator() -> None:
    holds = [hold(n * 100, n * 100 + 3000, f"{n:04}", n % 5 == 0, n % 7, n % 900) for n in range(2000)]
    node = Installed(8, 128, 20_000)
    total = sum((b.device_ms for b in blocked(holds, node)), Fraction(0))
    assert node.parts % total.denominator == 0


def test_a_share_that_no_part_divides_leaves_less_than_a_part_over() -> None:
    (one,) = blocked([hold(0, 1, "a", Fraction(1, 17)), hold(0, 1, "b", 0, 48)], NODE)
    assert 0 <= 4 - Fraction(1, 17) - one.devices < Fraction(1, PARTS)
