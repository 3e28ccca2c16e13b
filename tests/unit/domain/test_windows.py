"""Windows against a timeline of 10 ms slots that shares no code with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.domain.windows import Reading, Window, Windower

HOUR = 3_600_000
SLOT = 10
MIB = 1024 * 1024
GAP, DELAY, REACH = 10_000, 3_000, 1_000
BASE = 500_000 * HOUR - 20_000


def read(at: int, energy: int | None = None, memory_mib: int | None = None, error: str | None = None) -> Reading:
    used = None if memory_mib is None else memory_mib * MIB
    return Reading("GPU-a", at, energy, memory_used_bytes=used, error=error)


@dataclass
class Slot:
    at: int
    energy: Fraction | None
    sm: int | None
    memctl: int | None
    memory: int | None


def percent_in(
    slot: int, first: Reading, second: Reading, samples: tuple[tuple[int, int], ...], other: int | None
) -> int | None:
    """What holds in [slot, slot + SLOT): the next sample, if near; after the last one that; else ``other``."""
    inside = sorted(s for s in samples if first.at_ms < s[0] <= second.at_ms)
    later = [s for s in inside if s[0] >= slot + SLOT]
    if later:
        return later[0][1] if later[0][0] - REACH <= slot else other
    if inside and slot + SLOT <= inside[-1][0] + REACH:
        return inside[-1][1]
    return other


def timeline(readings: list[Reading]) -> list[Slot]:
    slots: list[Slot] = []
    for first, second in pairwise(readings):
        if first.error or second.error or not 0 < second.at_ms - first.at_ms <= GAP:
            continue
        pieces = (second.at_ms - first.at_ms) // SLOT
        energy = None
        if first.energy_mj is not None and second.energy_mj is not None and second.energy_mj >= first.energy_mj:
            energy = Fraction(second.energy_mj - first.energy_mj, pieces)
        used = second.memory_used_bytes
        slots += [
            Slot(
                at,
                energy,
                percent_in(at, first, second, second.sm_samples, second.sm_percent),
                percent_in(at, first, second, second.mem_samples, second.mem_percent),
                None if used is None else used // MIB,
            )
            for at in range(first.at_ms, second.at_ms, SLOT)
        ]
    return slots


def buckets(slots: list[Slot], edges: list[int]) -> list[list[Slot]]:
    found: dict[int, list[Slot]] = {}
    for slot in slots:
        found.setdefault(sum(1 for edge in edges if edge <= slot.at), []).append(slot)
    return [found[key] for key in sorted(found)]


def check(window: Window, slots: list[Slot]) -> None:
    def total(values: list[int | None]) -> tuple[int, int]:
        seen = [value for value in values if value is not None]
        return sum(seen) * SLOT, len(seen) * SLOT

    energies = [slot.energy for slot in slots if slot.energy is not None]
    assert (window.start_ms, window.end_ms) == (slots[0].at, slots[-1].at + SLOT)
    assert window.observed_ms == len(slots) * SLOT
    assert abs(window.energy_mj - sum(energies, Fraction(0))) < 1
    assert window.energy_observed_ms == len(energies) * SLOT
    assert (window.sm_percent_ms, window.sm_observed_ms) == total([s.sm for s in slots])
    assert (window.memctl_percent_ms, window.memctl_observed_ms) == total([s.memctl for s in slots])
    assert (window.memory_used_mib_ms, window.memory_observed_ms) == total([s.memory for s in slots])
    assert window.memory_used_peak_mib == max((s.memory for s in slots if s.memory is not None), default=0)


percents = st.one_of(st.none(), st.integers(0, 100))


@dataclass
class Story:
    readings: list[Reading] = field(default_factory=list)
    cuts: list[tuple[int, int]] = field(default_factory=list)
    """(moment, when it is told)."""
    flushes: list[int] = field(default_factory=list)


@st.composite
def stories(draw: st.DrawFn) -> Story:
    story = Story()
    at, counter = BASE, draw(st.integers(0, 10**9))
    for _ in range(draw(st.integers(1, 12))):
        before, at = at, at + draw(st.one_of(st.integers(1, 300), st.integers(301, 1_200))) * SLOT
        counter = draw(st.one_of(st.integers(0, 400_000).map(counter.__add__), st.integers(0, 1_000)))
        moments = st.integers(before // SLOT - 20, at // SLOT).map(SLOT.__mul__)
        samples = st.lists(st.tuples(moments, st.integers(0, 100)), max_size=4, unique_by=lambda s: s[0])
        if draw(st.integers(0, 9)) == 0:
            story.readings.append(Reading("GPU-a", at, error="GPU is lost"))
            continue
        story.readings.append(
            Reading(
                "GPU-a",
                at,
                energy_mj=draw(st.one_of(st.just(counter), st.none() if counter % 7 == 0 else st.just(counter))),
                sm_samples=tuple(draw(samples)),
                mem_samples=tuple(draw(samples)),
                sm_percent=draw(percents),
                mem_percent=draw(percents),
                memory_used_bytes=draw(st.one_of(st.none(), st.integers(0, 10**5).map(lambda n: n * MIB + n % MIB))),
            )
        )
    moments = st.integers(BASE // SLOT - 5, at // SLOT + 5).map(SLOT.__mul__)
    lateness = st.integers(0, DELAY - SLOT)
    story.cuts = [(c, c + late) for c, late in draw(st.lists(st.tuples(moments, lateness), max_size=6))]
    story.flushes = draw(st.lists(st.integers(BASE, at + 2 * GAP), max_size=10))
    return story


@given(stories(), st.sampled_from([(0,), (1_800_000,), (3_595_000, 10_000)]))
def test_windows_are_what_the_timeline_says(story: Story, offsets: tuple[int, ...]) -> None:
    windower = Windower("GPU-a", offsets, max_gap_ms=GAP, delay_ms=DELAY)
    # At the same moment: first what happened, then the question whether anything is final.
    events: list[tuple[int, int, int]] = [(r.at_ms, 0, i) for i, r in enumerate(story.readings)]
    events += [(told, 1, cut) for cut, told in story.cuts]
    events += [(at, 2, 0) for at in story.flushes]
    windows: list[Window] = []
    for at, kind, what in sorted(events):
        if kind == 0:
            windower.add(story.readings[what])
        elif kind == 1:
            windower.cut(what)
        else:
            windows += windower.flush(at)
    end = max([story.readings[-1].at_ms, *(told for _, told in story.cuts), *story.flushes])
    late = windower.flush(end + GAP + DELAY + 1)
    rest = windower.close(end + GAP + DELAY + 1)
    windows += late + rest

    whole_hours = [h * HOUR + offset for h in range(BASE // HOUR - 1, end // HOUR + 2) for offset in {0, *offsets}]
    expected = buckets(timeline(story.readings), whole_hours + [cut for cut, _ in story.cuts])
    assert len(windows) == len(expected)
    for window, slots in zip(windows, expected, strict=True):
        check(window, slots)
    assert windower.late_cuts == 0
    assert len(rest) <= 1, "only the window of this hour may wait for the end"

    observed = [e for e in (slot.energy for slot in timeline(story.readings)) if e is not None]
    assert sum(window.energy_mj for window in windows) == sum(observed)


@given(
    st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 10**6)), max_size=40),
    st.lists(st.integers(0, 60_000), max_size=6),
    st.lists(st.booleans(), min_size=40, max_size=40),
)
def test_whatever_the_clock_does_windows_neither_overlap_nor_go_negative(
    moments: list[tuple[int, int]], cuts: list[int], flush: list[bool]
) -> None:
    windower = Windower("GPU-a")
    windows: list[Window] = []
    now = 0
    for (at, energy), flushing in zip(moments, flush, strict=False):
        now = max(now, at)
        windower.add(read(at, energy, energy % 100))
        if cuts:
            windower.cut(cuts.pop())
        if flushing:
            windows += windower.flush(now)
    windows += windower.close(now)
    windows.sort(key=lambda window: window.start_ms)
    assert len({window.start_ms for window in windows}) == len(windows)
    for window in windows:
        assert 0 < window.observed_ms <= window.end_ms - window.start_ms
        assert 0 <= window.energy_observed_ms <= window.observed_ms
        assert 0 <= window.energy_mj <= sum(energy for _, energy in moments)
    for one, other in pairwise(windows):
        assert one.end_ms <= other.start_ms


def test_a_cut_splits_the_interval_and_not_a_millijoule_is_lost() -> None:
    windower = Windower("GPU-a")
    windower.add(read(1_000, 0))
    windower.add(read(2_000, 1_000_001))
    windower.cut(1_333)
    assert windower.flush(4_999) == []
    windower.add(read(3_000, 1_000_001))
    windower.add(read(4_000, 1_000_001))
    first, second = windower.flush(5_000) + windower.close(5_000)
    assert (first.start_ms, first.end_ms, first.energy_mj) == (1_000, 1_333, 333_000)
    assert (second.start_ms, second.end_ms, second.energy_mj) == (1_333, 4_000, 667_001)


def test_windows_come_out_without_another_reading_once_none_can_join_them() -> None:
    windower = Windower("GPU-a")
    windower.add(read(1_000, 0))
    windower.add(read(2_000, 50))
    windower.cut(2_500)
    assert windower.flush(11_999) == []
    (window,) = windower.flush(12_001)
    assert (window.start_ms, window.end_ms, window.energy_mj) == (1_000, 2_000, 50)


def test_a_slow_interval_that_holds_a_cut_is_waited_for() -> None:
    windower = Windower("GPU-a", max_gap_ms=30_000)
    windower.add(read(0, 0))
    windower.cut(1_000)
    assert windower.flush(9_000) == []
    windower.add(read(10_000, 100))
    assert [w.energy_mj for w in windower.flush(14_000) + windower.close(14_000)] == [10, 90]


def test_a_counter_that_starts_again_is_unobserved_energy_and_nothing_else() -> None:
    windower = Windower("GPU-a")
    for at, energy in ((0, 5_000), (1_000, 6_000), (2_000, 10), (3_000, 30)):
        windower.add(read(at, energy, memory_mib=7))
    (window,) = windower.close(9_000)
    assert (window.observed_ms, window.energy_mj, window.energy_observed_ms) == (3_000, 1_020, 2_000)
    assert (window.memory_used_mib_ms, window.memory_used_peak_mib) == (21_000, 7)


@pytest.mark.parametrize(("later", "observed"), [(10_000, 10_000), (10_001, 0)])
def test_a_gap_longer_than_the_longest_is_unobserved(later: int, observed: int) -> None:
    windower = Windower("GPU-a")
    windower.add(read(0, 0))
    windower.add(read(later, 10))
    assert sum(window.observed_ms for window in windower.close(60_000)) == observed


def test_an_error_between_two_readings_leaves_the_time_between_them_unobserved() -> None:
    windower = Windower("GPU-a")
    for reading in (read(0, 0), read(1_000, 10), read(1_500, error="GPU is lost"), read(2_000, 20), read(3_000, 30)):
        windower.add(reading)
    (window,) = windower.close(9_000)
    assert (window.start_ms, window.end_ms, window.observed_ms, window.energy_mj) == (0, 3_000, 2_000, 20)


def test_a_cut_in_unobserved_time_still_parts_what_is_before_from_what_is_after() -> None:
    windower = Windower("GPU-a")
    for reading in (read(0, 0), read(1_000, 10), read(1_500, error="GPU is lost"), read(5_000, 20), read(6_000, 30)):
        windower.add(reading)
    windower.cut(3_000)
    assert [(w.start_ms, w.end_ms) for w in windower.close(9_000)] == [(0, 1_000), (5_000, 6_000)]


def test_after_the_clock_stepped_back_time_is_counted_once() -> None:
    windower = Windower("GPU-a")
    for at, energy in ((10_000, 0), (11_000, 10), (12_000, 20), (9_500, 25), (9_900, 26), (10_900, 30), (12_000, 40)):
        windower.add(read(at, energy))
    windower.add(read(13_000, 47))
    windows = sorted(windower.close(20_000), key=lambda window: window.start_ms)
    assert [(w.start_ms, w.end_ms, w.energy_mj) for w in windows] == [
        (9_500, 9_900, 1),
        (10_000, 12_000, 20),
        (12_000, 13_000, 7),
    ]


def test_a_clock_that_was_years_ahead_for_a_moment_does_not_stop_the_windows() -> None:
    windower = Windower("GPU-a")
    for at in (10**12, 10**12 + 1_000, 5_000, 6_000):
        windower.add(read(at, at % 10**6))
    assert [(w.start_ms, w.end_ms) for w in windower.close(9_000)] == [(10**12, 10**12 + 1_000), (5_000, 6_000)]


def test_a_cut_that_comes_too_late_is_counted_and_changes_nothing() -> None:
    windower = Windower("GPU-a")
    for at in (0, 1_000, 2_000):
        windower.add(read(at, at))
    windower.flush(60_000)
    windower.cut(500)
    assert windower.late_cuts == 1
    windower.cut(2_000)
    assert windower.late_cuts == 1


def test_hours_and_offsets_cut() -> None:
    windower = Windower("GPU-a", (1_800_000,))
    for minute in range(0, 121, 1):
        windower.add(read(minute * 60_000, minute))
    assert windower.close(HOUR * 3) == []  # a minute apart is too far
    windower = Windower("GPU-a", (1_800_000,), max_gap_ms=60_000)
    for minute in range(0, 121, 1):
        windower.add(read(minute * 60_000, minute))
    assert [w.end_ms // 60_000 for w in windower.close(HOUR * 3)] == [30, 60, 90, 120]
