"""What reservations keep, against each millisecond worked out by itself."""

from __future__ import annotations

import time
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.reserved import Claim, Kept, Load, Room, kept


def told(found: list[Kept]) -> list[tuple[Any, ...]]:
    return [(one.claim.name, one.node, one.start_ms, one.end_ms, one.devices) for one in found]


def whole_node(start: int, end: int, name: str = "r", id: int = 1, nodes: tuple[str, ...] = ("n",)) -> Claim:
    return Claim(start, id, end, name, nodes, None)


ROOM = [Room("n", 0, 100, 4), Room("m", 0, 100, 4)]


def test_what_its_own_attempts_hold_is_used_and_the_rest_is_kept() -> None:
    loads = [Load("n", 10, 30, 3, "r"), Load("n", 20, 30, Fraction(1, 4), "r")]
    assert told(kept(ROOM, loads, [whole_node(5, 50)])) == [
        ("r", "n", 5, 10, 4), ("r", "n", 10, 20, 1), ("r", "n", 20, 30, Fraction(3, 4)), ("r", "n", 30, 50, 4),
    ]  # fmt: skip


def test_what_others_hold_or_block_or_what_is_out_of_use_is_not_kept() -> None:
    loads = [Load("n", 0, 20, 3, "other"), Load("n", 10, 20, 2), Load("n", 10, 15, -1)]
    assert told(kept(ROOM, loads, [whole_node(0, 30)])) == [("r", "n", 0, 10, 1), ("r", "n", 20, 30, 4)]


def test_only_gpus_by_number_leave_the_rest_of_the_node_to_others() -> None:
    claim = Claim(0, 1, 40, "r", ("n",), 2)
    loads = [Load("n", 10, 20, 1, "r"), Load("n", 15, 30, 3)]
    assert told(kept(ROOM, loads, [claim])) == [
        ("r", "n", 0, 10, 2), ("r", "n", 10, 15, 1), ("r", "n", 20, 30, 1), ("r", "n", 30, 40, 2),
    ]  # fmt: skip
    # 15 to 20: one is held by its own, the others hold the remaining three, so nothing is left.


def test_a_number_is_spread_over_nodes_and_wherever_its_attempts_run_it_is_used() -> None:
    # Six on two nodes count as three on each. Slurm gave four and two: all six are used, and nothing is kept.
    claim = Claim(0, 1, 30, "r", ("m", "n"), 6)
    loads = [Load("n", 10, 20, 4, "r"), Load("m", 10, 20, 2, "r")]
    assert told(kept(ROOM, loads, [claim])) == [
        ("r", "m", 0, 10, 3), ("r", "m", 20, 30, 3), ("r", "n", 0, 10, 3), ("r", "n", 20, 30, 3),
    ]  # fmt: skip
    odd = kept(ROOM, [], [claim._replace(gpus=5)])
    assert {one.devices for one in odd} == {Fraction(5, 2)}


def test_reservations_that_overlap_are_served_in_order_of_start_then_id() -> None:
    first, second = Claim(0, 9, 50, "a", ("n",), 3), Claim(10, 1, 50, "b", ("n",), 3)
    twin = Claim(10, 2, 50, "c", ("n",), 3)
    loads = [Load("n", 20, 50, 2, "b"), Load("n", 30, 50, 3, "a")]
    assert told(kept(ROOM, loads, [twin, second, first])) == [
        ("a", "n", 0, 20, 3), ("a", "n", 20, 30, 2), ("b", "n", 10, 20, 1),
    ]  # fmt: skip


def test_where_no_gpus_are_nothing_is_kept() -> None:
    assert kept([], [], [whole_node(0, 10)]) == []
    assert kept(ROOM, [], []) == []
    assert told(kept([Room("n", 5, 8, 2)], [], [whole_node(0, 10, nodes=("n", "cpu"))])) == [("r", "n", 5, 8, 2)]


@pytest.mark.parametrize(
    "wrong",
    [
        ([Room("n", 0, 1, 1.0)], [], []),  # type: ignore[arg-type]
        ([], [Load("n", 0, 1, 0.5)], []),  # type: ignore[arg-type]
        ([], [], [Claim(0, 1, 9, "r", ("n",), 0.5)]),  # type: ignore[arg-type]
        ([], [], [Claim(0.0, 1, 9, "r", ("n",), 1)]),  # type: ignore[arg-type]
    ],
)
def test_a_float_raises(wrong: tuple[Any, Any, Any]) -> None:
    with pytest.raises(TypeError, match="must be an int"):
        kept(*wrong)


SPAN = st.tuples(st.integers(0, 20), st.integers(0, 15))
LOADS = st.lists(
    st.builds(
        lambda node, span, gpus, name: Load(node, span[0], sum(span), gpus, name),
        st.sampled_from("mno"), SPAN, st.sampled_from([1, 2, 4, Fraction(3, 8)]), st.sampled_from(["", "r0", "r1"]),
    ),
    max_size=7,
)  # fmt: skip
CLAIMS = st.lists(
    st.builds(
        lambda span, nodes, gpus: (span, tuple(nodes), gpus),
        SPAN,
        st.lists(st.sampled_from("mno"), min_size=1, max_size=3, unique=True),
        st.sampled_from([None, None, 0, 1, 3, 5, 6]),
    ),
    max_size=4,
).map(lambda drawn: [Claim(span[0], n, sum(span), f"r{n}", *rest) for n, (span, *rest) in enumerate(drawn)])
ROOMS = st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 10)).map(
    lambda drawn: [Room("m", 0, 36, drawn[0]), Room("n", drawn[2], 30, drawn[1]), Room("n", 30, 36, 4)]
)


def at(found: list[Kept], claim: Claim, node: str, ms: int) -> Fraction:
    those = [k.devices for k in found if (k.claim, k.node) == (claim, node) and k.start_ms <= ms < k.end_ms]
    assert len(those) <= 1
    return those[0] if those else Fraction(0)


@given(ROOMS, LOADS, CLAIMS)
def test_every_moment_is_what_working_it_out_for_that_moment_gives(
    rooms: list[Room], loads: list[Load], claims: list[Claim]
) -> None:
    """Oracle: each millisecond by itself, GPUs in 240ths as integers, one bag of free GPUs a node."""
    found = kept(rooms, loads, claims)
    unit = 240
    for ms in range(37):
        free = dict.fromkeys("mno", 0)
        for room in rooms:
            free[room.node] += room.gpus * unit * (room.start_ms <= ms < room.end_ms)
        has = dict(free)
        now = [load for load in loads if load.start_ms <= ms < load.end_ms]
        for load in now:
            free[load.node] -= int(load.gpus * unit)
        for claim in sorted(claims, key=lambda one: (one.start_ms, one.id)):
            if not claim.start_ms <= ms < claim.end_ms:
                assert not any(at(found, claim, node, ms) for node in "mno")
                continue
            used = {
                n: sum(int(x.gpus * unit) for x in now if (x.node, x.reservation) == (n, claim.name)) for n in "mno"
            }
            still = None if claim.gpus is None else int(claim.gpus * unit) - sum(used[n] for n in claim.nodes)
            for node in claim.nodes:
                promised = has[node] if claim.gpus is None else int(claim.gpus * unit) // len(claim.nodes)
                most = [promised - used[node], free[node], *([] if still is None else [still])]
                keeps = max(0, min(most))
                assert at(found, claim, node, ms) * unit == keeps
                free[node] -= keeps
                still = None if still is None else still - keeps


@given(ROOMS, LOADS, CLAIMS)
def test_no_more_is_held_and_kept_than_there_is(rooms: list[Room], loads: list[Load], claims: list[Claim]) -> None:
    found = kept(rooms, loads, claims)
    for ms in range(37):
        for node in "mno":
            there = sum(r.gpus for r in rooms if r.node == node and r.start_ms <= ms < r.end_ms)
            taken = sum(x.gpus for x in loads if x.node == node and x.start_ms <= ms < x.end_ms)
            more = sum((at(found, claim, node, ms) for claim in claims), Fraction(0))
            assert more == 0 or taken + more <= there


@given(ROOMS, LOADS, CLAIMS, st.integers(0, 35), st.randoms())
def test_order_and_splitting_change_nothing(
    rooms: list[Room], loads: list[Load], claims: list[Claim], cut: int, random: Any
) -> None:
    split: list[Load] = []
    for one in loads:
        inside = one.start_ms < cut < one.end_ms
        split += [one._replace(end_ms=cut), one._replace(start_ms=cut)] if inside else [one]
    whole = kept(rooms, loads, claims)
    random.shuffle(split)
    random.shuffle(claims)
    assert kept(list(reversed(rooms)), split, claims) == whole


@given(ROOMS, LOADS, CLAIMS)
def test_intervals_are_as_few_as_they_can_be(rooms: list[Room], loads: list[Load], claims: list[Claim]) -> None:
    found = kept(rooms, loads, claims)
    assert all(one.devices > 0 and one.start_ms < one.end_ms for one in found)
    for one, following in pairwise(found):
        if (one.claim, one.node) == (following.claim, following.node):
            assert one.end_ms < following.start_ms or one.devices != following.devices


def test_a_busy_month_of_many_nodes_is_done_in_seconds() -> None:
    nodes = tuple(f"n{n:03}" for n in range(200))
    rooms = [Room(node, 0, 1_000_000, 4) for node in nodes]
    loads = [Load(nodes[n % 200], n * 20, n * 20 + 4000, 1, "r" if n % 2 else "") for n in range(40_000)]
    claims = [whole_node(0, 900_000, nodes=nodes), Claim(5, 2, 900_000, "s", nodes[:8], 12)]
    began = time.process_time()
    assert kept(rooms, loads, claims)
    assert time.process_time() - began < 10
