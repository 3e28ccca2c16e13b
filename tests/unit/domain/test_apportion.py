"""Division of a device's energy among its holders, against exact fractions and against the counter itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_gpucost.domain.apportion import Holding, Key, divide, segments, unobserved
from slurm_gpucost.domain.readings import Reading, Window
from slurm_gpucost.domain.usage import usage_of
from slurm_gpucost.domain.windows import Windower

D = "GPU-a"
FOREVER = 10**15


def window(start: int, end: int, energy: int, counter: int | None = None, **other: Any) -> Window:
    """A window that was observed throughout; ``counter`` at its start."""
    length = end - start
    values: dict[str, Any] = {
        "energy_source": "counter" if counter is not None else "power",
        "energy_counter_start_mj": counter,
        "energy_counter_end_mj": None if counter is None else counter + energy,
        "energy_epoch": "" if counter is None else "boot",
    }
    return Window(D, start, end, length, energy, length, 0, 0, 0, 0, 0, 0, 0, **{**values, **other})


def hold(job: int, start: int, end: int, share: Fraction | int = 1, *, suspended: bool = False) -> Holding:
    return Holding(("c", job, 0, 0), start, end, Fraction(share), suspended, f"user{job}")


def energies(windows: list[Window], holdings: list[Holding], start: int = 0, end: int = FOREVER) -> dict[int, int]:
    """mJ by job, idle as job 0."""
    found = usage_of(D, {D: windows}, {D: holdings}, [], start, end)
    return {0: found.idle.energy_mj, **{key[1]: used.energy_mj for key, used in found.leases.items()}}


def test_a_lease_has_what_the_device_drew_while_it_held_it_and_the_rest_is_idle() -> None:
    assert energies([window(0, 1_000, 999)], [hold(1, 100, 400)]) == {0: 999 - (399 - 99), 1: 399 - 99}


def test_shares_are_of_the_whole_device() -> None:
    held = [hold(1, 0, 1_000, Fraction(1, 4)), hold(2, 500, 1_000, Fraction(1, 2))]
    assert energies([window(0, 1_000, 8_000)], held) == {1: 2_000, 2: 2_000, 0: 4_000}


def test_more_than_one_device_in_all_is_scaled_down() -> None:
    assert energies([window(0, 1_000, 900)], [hold(1, 0, 1_000), hold(2, 0, 1_000, Fraction(1, 2))]) == {
        0: 0, 1: 600, 2: 300,
    }  # fmt: skip


def test_a_suspended_lease_has_a_share_only_while_no_other_runs() -> None:
    held = [hold(1, 0, 500), hold(1, 500, 1_000, suspended=True), hold(2, 700, 900)]
    assert energies([window(0, 1_000, 1_000)], held) == {0: 0, 1: 800, 2: 200}


def test_a_share_that_nobody_knows_takes_nothing() -> None:
    assert energies([window(0, 1_000, 1_000)], [hold(1, 0, 1_000, 0)]) == {0: 1_000, 1: 0}


@pytest.mark.parametrize("order", [[1, 2, 3], [3, 1, 2], [2, 3, 1]])
def test_the_order_of_leases_changes_nothing(order: list[int]) -> None:
    held = [hold(job, 0, 1_000, Fraction(1, 3)) for job in order]
    assert energies([window(0, 1_000, 100)], held) == {0: 0, 1: 33, 2: 33, 3: 34}


shares = st.sampled_from([Fraction(1), Fraction(1, 2), Fraction(1, 4), Fraction(1, 7), Fraction(3, 7), Fraction(0)])
holdings_of = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 120), shares, st.booleans()), max_size=7).map(
    lambda drawn: [hold(n, a, a + b, share, suspended=s) for n, (a, b, share, s) in enumerate(drawn, 1)]
)


@st.composite
def windows_of(draw: st.DrawFn) -> list[Window]:
    at, found = draw(st.integers(0, 50)), []
    for _ in range(draw(st.integers(1, 5))):
        start = at + draw(st.integers(0, 20))
        at = start + draw(st.integers(1, 90))
        found.append(window(start, at, draw(st.integers(0, 10**6))))
    return found


@settings(deadline=None)
@given(windows_of(), holdings_of)
def test_every_millisecond_goes_to_who_held_it(windows: list[Window], holdings: list[Holding]) -> None:
    """An exact sum over single milliseconds; each cut moves a part by less than a millijoule."""
    exact: dict[int, Fraction] = defaultdict(Fraction)
    for one in windows:
        for at in range(one.start_ms, one.end_ms):
            milliwatts = Fraction(one.energy_mj, one.end_ms - one.start_ms)
            here = [h for h in holdings if h.start_ms <= at < h.end_ms]
            takers = [h for h in here if not h.suspended] or here
            total = sum((h.share for h in takers), Fraction(0))
            for taker in takers:
                exact[taker.key[1]] += milliwatts * taker.share / max(total, Fraction(1))
            exact[0] += milliwatts * max(Fraction(0), 1 - total)
    found = energies(windows, holdings)
    pieces = sum(1 for _ in segments(windows, holdings, 0, FOREVER))
    assert sum(found.values()) == sum(one.energy_mj for one in windows)
    for job in {*exact, *found}:
        assert abs(found.get(job, 0) - exact[job]) <= 2 * pieces


@settings(deadline=None)
@given(windows_of(), holdings_of, st.lists(st.integers(0, 500), max_size=5))
def test_periods_that_follow_each_other_add_up(
    windows: list[Window], holdings: list[Holding], moments: list[int]
) -> None:
    edges = [0, *sorted(set(moments)), FOREVER]
    total: dict[int, int] = defaultdict(int)
    for low, high in pairwise(edges):
        for job, energy in energies(windows, holdings, low, high).items():
            total[job] += energy
    assert sum(total.values()) == sum(one.energy_mj for one in windows)


@given(st.integers(0, 10**9), st.lists(shares, max_size=9))
def test_parts_add_up_and_none_is_negative(total: int, drawn: list[Fraction]) -> None:
    parts = divide(total, [hold(n, 0, 1, share) for n, share in enumerate(drawn)])
    assert sum(part for _, part in parts) == total
    assert all(part >= 0 for _, part in parts)
    for one, part in parts[:-1]:
        assert one is not None
        assert abs(part - total * one.share / max(Fraction(1), sum(drawn))) <= 1


def test_a_gap_counts_where_it_ends_and_only_within_an_epoch() -> None:
    first = window(0, 100, 10, 1_000)
    second = window(500, 600, 7, 1_300)
    rebooted = window(900, 1_000, 5, 9_000, energy_epoch="other boot")
    back = window(1_500, 1_600, 5, 20, energy_epoch="other boot")
    every = [back, rebooted, second, first]
    assert unobserved(every, 0, FOREVER) == (290, 2)
    assert unobserved(every, 0, 500) == (0, 0)
    assert unobserved(every, 500, 501) == (290, 0)
    assert unobserved([second, rebooted], 600, 5_000) == (0, 1)


def test_what_a_window_did_not_observe_inside_is_no_leases() -> None:
    gap = window(0, 100, 10, 1_000, energy_counter_end_mj=1_050)
    found = usage_of(D, {D: [gap]}, {D: [hold(1, 0, 100)]}, [], 0, FOREVER)
    assert (found.leases[("c", 1, 0, 0)].energy_mj, found.unobserved.energy_mj, found.total_mj) == (10, 40, 50)


class Life:
    """The truth: a counter that begins somewhere and is read now and then, growing evenly between the readings."""

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self.readings: list[tuple[int, int]] = []

    def at(self, moment: int) -> int:
        if moment == self.readings[0][0]:
            return self.readings[0][1]
        for (t0, c0), (t1, c1) in pairwise(self.readings):
            if t0 <= moment <= t1:
                return c0 + (c1 - c0) * (moment - t0) // (t1 - t0)
        raise AssertionError(f"nobody read the counter around {moment}")


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Life], list[Window], int]:
    """Lives of a counter, and the windows that a daemon that is stopped, killed and started makes of them.

    A reset of the GPU alone happens before its eyes, and some window after it is kept; else the node is booted, for
    nothing would tell a reset from consumption: a part of what was drawn would count as unobserved, and none twice.
    """
    at, counter, boots = 0, draw(st.integers(0, 10**6)), 0
    lives, windows = [Life("boot 0")], []
    windower = Windower(D)
    seen, reset_at = False, -1
    for _ in range(draw(st.integers(2, 30))):
        at += draw(st.sampled_from([1_000, 1_000, 2_500, 5_000, 30_000, 3_000_000]))
        match draw(st.sampled_from(["read"] * 8 + ["error", "reset", "boot", "stop", "kill", "cut", "flush"])):
            case "error":
                windower.add(Reading(D, at, error="GPU is lost"))
                continue
            case "cut":
                windower.cut(at - 300)
                continue
            case "flush":
                windows += windower.flush(at)
                continue
            case ("stop" | "kill") as how:
                windows += windower.close(at) if how == "stop" else windower.flush(at)
                if reset_at >= 0 and not any(one.end_ms > reset_at for one in windows):
                    boots += 1
                    lives.append(Life(f"boot {boots}"))
                windower, seen, reset_at = Windower(D), False, -1
                continue
            case "reset" if seen and counter:
                counter, reset_at = draw(st.integers(0, counter - 1)), at
                lives.append(Life(lives[-1].epoch))
            case "boot":
                boots += 1
                counter = draw(st.integers(0, 10**6))
                lives.append(Life(f"boot {boots}"))
            case _:
                counter += draw(st.integers(0, 10**6))
        seen = True
        lives[-1].readings.append((at, counter))
        windower.add(Reading(D, at, counter, epoch=lives[-1].epoch))
    windows += windower.close(at)
    return lives, windows, at


@settings(deadline=None, max_examples=150)
@given(histories(), st.data())
def test_leases_idle_and_unobserved_are_what_the_counter_grew_by(
    history: tuple[list[Life], list[Window], int], data: st.DataObject
) -> None:
    lives, windows, end = history
    moments = st.integers(0, end)
    drawn = data.draw(st.lists(st.tuples(moments, moments, shares, st.booleans()), max_size=6))
    holdings = [
        hold(n, min(a, b), max(a, b), share, suspended=suspended) for n, (a, b, share, suspended) in enumerate(drawn, 1)
    ]
    expected = 0
    for life in lives:
        if not life.readings:
            continue
        first, last = life.readings[0][0], life.readings[-1][0]
        # A window of this life ends between its readings; it may begin before, across the counter's new beginning.
        mine = [w for w in windows if w.energy_counter_start_mj is not None and first <= w.end_ms <= last]
        if mine:
            start = max(first, mine[0].start_ms)
            assert mine[0].energy_counter_start_mj == life.at(start)
            expected += life.at(mine[-1].end_ms) - life.at(start)
    edges = [0, *sorted(data.draw(st.lists(moments, max_size=3, unique=True))), FOREVER]
    total = 0
    for low, high in pairwise(edges):
        before = [w for w in windows if w.start_ms < low and w.energy_counter_end_mj is not None]
        near = [w for w in windows if w.end_ms > low and w.start_ms < high]
        seen = [*before[-1:], *(w for w in near if w not in before[-1:])]
        total += usage_of(D, {D: seen}, {D: holdings}, [], low, high).total_mj
    assert total == expected


def test_mig_the_parents_energy_by_slices_and_each_instances_own_memory() -> None:
    parent = window(0, 1_000, 7_000, 0)
    one = window(0, 1_000, 0, energy_source="")
    one = one._replace(device="MIG-1", memory_used_mib_ms=5_000, memory_observed_ms=1_000)
    two = one._replace(device="MIG-2", memory_used_mib_ms=9_000)
    held = {"MIG-1": [hold(1, 0, 1_000, Fraction(3, 7))], "MIG-2": [hold(2, 500, 1_000, Fraction(1, 7))]}
    found = usage_of(D, {D: [parent], "MIG-1": [one], "MIG-2": [two]}, held, ["MIG-1", "MIG-2"], 0, FOREVER)
    key: Callable[[int], Key] = lambda job: ("c", job, 0, 0)  # noqa: E731
    assert {n: found.leases[key(n)].energy_mj for n in (1, 2)} == {1: 3_000, 2: 500}
    assert found.idle.energy_mj == 3_500
    assert [found.leases[key(n)].memory_used_mib_ms for n in (1, 2)] == [5_000, 4_500]
    assert found.leases[key(1)].sm_observed_ms == 0
