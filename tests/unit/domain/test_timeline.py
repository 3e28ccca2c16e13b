"""The time of a node's devices against a count of every tick, and a part of it made anew against the whole."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_gpucost.domain.inventory import Capacity, Outage
from slurm_gpucost.domain.outages import CLASSES
from slurm_gpucost.domain.timeline import NO_SLOT, DeviceTime, Hold, timeline
from slurm_gpucost.domain.units import OPEN_END_MS

END = 60
"""Ticks that are looked at; what lasts for ever is looked at until then."""


@dataclass(frozen=True)
class Node:
    capacity: list[Capacity]
    holds: list[Hold]
    outages: list[Outage]


@st.composite
def spans(draw: st.DrawFn) -> tuple[int, int]:
    start = draw(st.integers(0, END - 1))
    return start, draw(st.one_of(st.integers(start, END), st.just(OPEN_END_MS)))


@st.composite
def nodes(draw: st.DrawFn) -> Node:
    capacity = []
    for index in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["a100", "h100"]))
        cuts = sorted(draw(st.sets(st.integers(0, END), min_size=1, max_size=3)))
        for i, (low, high) in enumerate(
            zip(cuts, [*cuts[1:], draw(st.sampled_from([OPEN_END_MS, END + 1]))], strict=True)
        ):
            if draw(st.integers(0, 4)):  # else the slot is not there for a while
                capacity.append(Capacity("c", "n1", index, low, high, kind, f"GPU-{index}-{i}"))
    holds = [
        Hold(
            *draw(spans()),
            draw(st.one_of(st.none(), st.integers(0, 2))),
            draw(st.sampled_from(["", "a100"])),
            draw(st.sampled_from([Fraction(1), Fraction(1), Fraction(1, 4), Fraction(1, 3), Fraction(2)])),
            draw(st.integers(0, 4)) == 0,
            draw(st.one_of(st.none(), st.integers(0, END))),
        )
        for _ in range(draw(st.integers(0, 6)))
    ]
    outages = [Outage(*draw(spans()), draw(st.sampled_from(CLASSES))) for _ in range(draw(st.integers(0, 2)))]
    return Node(capacity, holds, [o for o in outages if o.start_ms < o.end_ms])


def ticks(rows: list[DeviceTime]) -> dict[tuple[int, int], dict[tuple[str, str], Fraction]]:
    """(tick, slot) -> what was said of it."""
    found: dict[tuple[int, int], dict[tuple[str, str], Fraction]] = defaultdict(dict)
    for row in rows:
        for tick in range(row.start_ms, min(row.end_ms, END)):
            assert (row.state, row.class_) not in found[tick, row.gres_index], "said twice"
            found[tick, row.gres_index][row.state, row.class_] = Fraction(row.share_num, row.share_den)
    return found


def total(parts: dict[tuple[str, str], Fraction], *states: str) -> Fraction:
    return sum((share for (state, _), share in parts.items() if state in states), Fraction(0))


@settings(max_examples=300, deadline=None)
@given(nodes())
def test_at_every_tick_every_device_is_accounted_for_once(node: Node) -> None:
    said = ticks(timeline(node.capacity, node.holds, node.outages))
    for tick in range(END):
        there = {c.gres_index: c for c in node.capacity if c.start_ms <= tick < c.end_ms}
        holding = [h for h in node.holds if h.start_ms <= tick < h.end_ms]
        out = {o.class_ for o in node.outages if o.start_ms <= tick < o.end_ms}
        ended = [h for h in node.holds if h.epilog_ms is not None and h.end_ms <= tick < h.epilog_ms]
        free = placed = completing = idle = Fraction(0)
        for index in {c.gres_index for c in node.capacity}:
            parts = said.get((tick, index), {})
            if index not in there:
                assert not parts, "nothing is said of what is not there"
                continue
            running = sum((h.quantity for h in holding if h.gres_index == index and not h.suspended), Fraction(0))
            stopped = sum((h.quantity for h in holding if h.gres_index == index and h.suspended), Fraction(0))
            rest = total(parts, "leased", "idle", "completing", "unavailable")
            assert running + stopped + rest - total(parts, "oversubscribed") == 1
            assert rest == max(Fraction(0), 1 - running - stopped)
            assert parts.get(("oversubscribed", ""), 0) == max(Fraction(0), running - 1)
            free += rest
            placed += total(parts, "leased")
            unused = total(parts, "idle", "completing")
            assert not (unused and out), "a node out of use has nothing idle"
            if total(parts, "unavailable"):
                assert {c for s, c in parts if s == "unavailable"} == {min(out, key=CLASSES.index)}
            own = sum((h.quantity for h in ended if h.gres_index == index), Fraction(0))
            if not out:
                assert total(parts, "completing") >= min(own, rest - total(parts, "leased"))
                completing += total(parts, "completing") - min(own, rest - total(parts, "leased"))
                idle += total(parts, "idle")
        unplaced = sum((h.quantity for h in ended if h.gres_index is None), Fraction(0))
        assert completing <= unplaced, "no more completes than what was not given back"
        if idle and all(h.gres_type == "" for h in ended if h.gres_index is None):
            assert completing == unplaced
        somewhere = sum((h.quantity for h in holding if h.gres_index is None), Fraction(0))
        beyond = total(said.get((tick, NO_SLOT), {}), "oversubscribed")
        if there:
            assert placed + beyond == somewhere
        if beyond and all(h.gres_type == "" for h in holding if h.gres_index is None):
            assert placed == free, "what has room is placed"


@settings(max_examples=200, deadline=None)
@given(nodes(), st.integers(0, END))
def test_a_part_made_anew_is_the_same_as_the_whole(node: Node, from_ms: int) -> None:
    whole = timeline(node.capacity, node.holds, node.outages)
    slots = {NO_SLOT, *(c.gres_index for c in node.capacity)}
    since = {
        index: min([from_ms, *(r.start_ms for r in whole if r.gres_index == index and r.end_ms >= from_ms)])
        for index in slots
    }
    kept = [row for row in whole if row.end_ms < from_ms]
    later = [h for h in node.holds if max(h.end_ms, h.epilog_ms or 0) >= min(since.values())]
    assert sorted(kept + timeline(node.capacity, later, node.outages, since)) == whole


def test_rows_are_as_long_as_they_can_be() -> None:
    one = [Capacity("c", "n1", 0, 10, OPEN_END_MS, "a100", None)]
    holds = [Hold(20, 30, 0, "a100", Fraction(1), False, 32), Hold(40, 50, 0, "a100", Fraction(1), False, None)]
    rows = timeline(one, holds, [Outage(45, 60, "drained")])
    assert [(r.start_ms, r.end_ms, r.state, r.class_) for r in rows] == [
        (10, 20, "idle", ""),
        (30, 32, "completing", ""),
        (32, 40, "idle", ""),
        (50, 60, "unavailable", "drained"),
        (60, OPEN_END_MS, "idle", ""),
    ]


def test_of_two_jobs_on_one_device_one_is_suspended_and_it_is_no_finding() -> None:
    one = [Capacity("c", "n1", 0, 0, OPEN_END_MS, "a100", None)]
    whole = Fraction(1)
    rows = timeline(one, [Hold(0, 10, 0, "", whole, False, None), Hold(0, 10, 0, "", whole, True, None)], [])
    assert [(r.start_ms, r.state, r.class_) for r in rows] == [(0, "oversubscribed", "suspended"), (10, "idle", "")]


def test_a_share_that_ended_completes_and_the_rest_of_its_device_is_idle() -> None:
    one = [Capacity("c", "n1", 0, 0, OPEN_END_MS, "a100", None)]
    rows = timeline(one, [Hold(0, 10, 0, "", Fraction(1, 4), False, 15)], [])
    assert [(r.start_ms, r.end_ms, r.state, Fraction(r.share_num, r.share_den)) for r in rows] == [
        (0, 10, "idle", Fraction(3, 4)),
        (10, 15, "completing", Fraction(1, 4)),
        (10, 15, "idle", Fraction(3, 4)),
        (15, OPEN_END_MS, "idle", Fraction(1)),
    ]


def test_what_ended_somewhere_on_a_node_completes_on_what_is_free() -> None:
    two = [Capacity("c", "n1", i, 0, OPEN_END_MS, "a100", None) for i in (0, 1)]
    rows = timeline(
        two, [Hold(0, 10, None, "", Fraction(1), False, 15), Hold(5, 20, 0, "", Fraction(1), False, None)], []
    )
    assert [(r.gres_index, r.start_ms, r.end_ms) for r in rows if r.state == "completing"] == [(1, 10, 15)]
