"""Windows against a timeline of 10 ms slots that shares no code with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import floor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_gpucost.domain.readings import Glance
from slurm_gpucost.domain.windows import Reading, Window, Windower

HOUR = 3_600_000
SLOT = 10
MIB = 1024 * 1024
GAP, DELAY, REACH = 10_000, 3_000, 1_000
IDLE = 5
BASE = 500_000 * HOUR - 20_000


def read(at: int, energy: int | None = None, memory_mib: int | None = None, **other: Any) -> Reading:
    used = None if memory_mib is None else memory_mib * MIB
    return Reading("GPU-a", at, energy, memory_used_bytes=used, **other)


@dataclass
class Slot:
    at: int
    energy: Fraction | None
    counter: Fraction | None
    """At the slot's start, where it is known."""
    counter_after: Fraction | None
    source: str
    run: int
    """Which run of the counter: another boot, another load, a counter that went back make another."""
    sm: int | None
    memctl: int | None
    memory: int | None
    temperature: int | None


def percent_in(
    slot: int, first: Reading, second: Reading, samples: tuple[tuple[int, int], ...] | None, average: int | None
) -> int | None:
    """What holds in [slot, slot + SLOT): the next sample, if near; after the last one that; else the average."""
    inside = sorted(s for s in samples or () if first.at_ms < s[0] <= second.at_ms)
    later = [s for s in inside if s[0] >= slot + SLOT]
    if later:
        return later[0][1] if later[0][0] - REACH <= slot else None
    if inside and slot + SLOT <= inside[-1][0] + REACH:
        return inside[-1][1]
    if average is not None and (second.at_ms - REACH <= slot or (samples is not None and not inside and average == 0)):
        return average
    return None


def runs(readings: list[Reading]) -> list[int]:
    """For each reading its run of the counter."""
    found, run, epoch, known = [], 0, readings[0].epoch, None
    for reading in readings:
        if not reading.error:
            if reading.epoch != epoch:
                run, epoch, known = run + 1, reading.epoch, reading.energy_mj
            elif reading.energy_mj is not None:
                run += known is not None and reading.energy_mj < known
                known = reading.energy_mj
        found.append(run)
    return found


def timeline(readings: list[Reading]) -> list[Slot]:
    slots: list[Slot] = []
    run_of = runs(readings)
    for (first, run_before), (second, run) in pairwise(zip(readings, run_of, strict=True)):
        if first.error or second.error or not 0 < second.at_ms - first.at_ms <= GAP:
            continue
        same_run = run == run_before and first.epoch == second.epoch
        moments: list[Reading | Glance] = [first, *(believed(first, second) if same_run else []), second]
        for one, other in pairwise(moments):
            slots += piece(one, other, first, second, run, same_run)
    return slots


def believed(first: Reading, second: Reading) -> list[Glance]:
    """The glances that fit between the readings: each is later than the one before, and the counter never falls."""
    found: list[Glance] = []
    at, low = first.at_ms, first.energy_mj
    for glance in second.glances:
        if not at < glance.at_ms < second.at_ms or (second.power_mw is not None and glance.power_mw is None):
            continue
        if first.energy_mj is not None and second.energy_mj is not None and glance.energy_mj is not None:
            if not (low or 0) <= glance.energy_mj <= second.energy_mj:
                continue
        elif not first.energy_mj is second.energy_mj is glance.energy_mj is None:
            continue
        at, low = glance.at_ms, glance.energy_mj
        found.append(glance)
    return found


def piece(
    one: Reading | Glance, other: Reading | Glance, first: Reading, second: Reading, run: int, same_run: bool
) -> list[Slot]:
    """The slots from one moment to another, both in the time between two readings."""
    length = other.at_ms - one.at_ms
    pieces = length // SLOT
    energy, source = None, ""
    if one.energy_mj is not None and other.energy_mj is not None:
        if same_run:
            energy, source = Fraction(other.energy_mj - one.energy_mj, pieces), "counter"
    elif one.energy_mj is other.energy_mj is None and None not in (one.power_mw, other.power_mw):
        mean_mw = Fraction((one.power_mw or 0) + (other.power_mw or 0), 2)
        energy, source = Fraction(floor(mean_mw * length / 1000), pieces), "power"
    used = other.memory_used_bytes
    slots: list[Slot] = []
    for n, at in enumerate(range(one.at_ms, other.at_ms, SLOT)):
        counter = after = None
        if energy is not None and source == "counter":
            counter = (one.energy_mj or 0) + energy * n
            after = counter + energy
        if n == 0 and same_run and one.energy_mj is not None:
            counter = Fraction(one.energy_mj)
        if n == pieces - 1 and other.energy_mj is not None:
            after = Fraction(other.energy_mj)
        slots.append(
            Slot(
                at,
                energy,
                counter,
                after,
                source,
                run,
                percent_in(at, first, second, second.sm_samples, second.sm_percent),
                percent_in(at, first, second, second.mem_samples, second.mem_percent),
                None if used is None else used // MIB,
                second.temperature_c,
            )
        )
    return slots


def buckets(slots: list[Slot], edges: list[int]) -> list[list[Slot]]:
    """The slots of each window: no edge and no gap inside, one run of the counter, one source of energy."""
    found: list[list[Slot]] = []
    before: tuple[int, int] | None = None
    for slot in slots:
        key = (sum(1 for edge in edges if edge <= slot.at), slot.run)
        sources = {s.source for s in found[-1]} - {""} if found else set()
        gap = bool(found) and found[-1][-1].at + SLOT < slot.at
        if gap or key != before or (slot.source and sources and slot.source not in sources):
            found.append([])
        before = key
        found[-1].append(slot)
    return found


def idle_ms(slots: list[Slot]) -> int:
    minutes: dict[int, list[int]] = {}
    for slot in slots:
        if slot.sm is not None:
            minutes.setdefault(slot.at // 60_000, []).append(slot.sm)
    return sum(len(minute) * SLOT for minute in minutes.values() if Fraction(sum(minute), len(minute)) < IDLE)


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
    assert (window.temperature_c_ms, window.temperature_observed_ms) == total([s.temperature for s in slots])
    assert window.temperature_peak_c == max((s.temperature for s in slots if s.temperature is not None), default=0)
    assert window.sm_idle_ms == idle_ms(slots)
    assert window.energy_source == max(slot.source for slot in slots)
    known = [counter for slot in slots for counter in (slot.counter, slot.counter_after) if counter is not None]
    if known and "power" not in {slot.source for slot in slots}:
        assert window.energy_counter_start_mj == floor(known[0])
        assert window.energy_counter_end_mj == floor(known[-1])
        assert window.unobserved_mj >= 0
    else:
        assert window.energy_counter_start_mj is window.energy_counter_end_mj is None


percents = st.one_of(st.none(), st.just(0), st.integers(0, 100))


@dataclass
class Story:
    readings: list[Reading] = field(default_factory=list)
    cuts: list[tuple[int, int]] = field(default_factory=list)
    """(moment, when it is told)."""
    flushes: list[int] = field(default_factory=list)


@st.composite
def stories(draw: st.DrawFn) -> Story:
    story = Story()
    at, counter, epoch = BASE, draw(st.integers(0, 10**9)), 0
    counts = draw(st.sampled_from([True, True, False]))
    for _ in range(draw(st.integers(1, 12))):
        before, at = at, at + draw(st.one_of(st.integers(1, 300), st.integers(301, 1_200))) * SLOT
        counter = draw(st.one_of(st.integers(0, 400_000).map(counter.__add__), st.integers(0, 1_000)))
        moments = st.integers(before // SLOT - 20, at // SLOT).map(SLOT.__mul__)
        percent = st.one_of(st.just(0), st.integers(0, 100))
        samples = st.lists(st.tuples(moments, percent), max_size=4, unique_by=lambda s: s[0])
        epoch += draw(st.sampled_from([0, 0, 0, 0, 0, 1]))
        if draw(st.integers(0, 9)) == 0:
            story.readings.append(Reading("GPU-a", at, error="GPU is lost"))
            continue
        powers = st.integers(0, 10**6) if draw(st.booleans()) else st.none()
        glances = st.builds(
            Glance,
            st.integers(before // SLOT - 1, at // SLOT + 1).map(SLOT.__mul__),
            st.integers(max(0, counter - 300_000), counter + 1_000) if counts else st.none(),
            powers,
            st.one_of(st.none(), st.integers(0, 10**5).map(MIB.__mul__)),
        )
        story.readings.append(
            Reading(
                "GPU-a",
                at,
                energy_mj=counter if counts and draw(st.integers(0, 9)) else None,
                power_mw=draw(powers),
                glances=tuple(sorted(draw(st.lists(glances, max_size=3)), key=lambda glance: glance.at_ms)),
                temperature_c=draw(st.one_of(st.none(), st.integers(0, 99))),
                epoch=f"boot {epoch}",
                sm_samples=draw(st.one_of(samples.map(tuple), st.none())),
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


@settings(deadline=None, max_examples=60)
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

    assert sum(window.energy_mj for window in windows) == sum(s.energy or 0 for s in timeline(story.readings))
    assert_counters_add_up(story.readings, windows)


def assert_counters_add_up(readings: list[Reading], windows: list[Window]) -> None:
    """Within a run of the counter, windows and the gaps between and in them hold what it grew by."""
    run_of = {reading.at_ms: run for reading, run in zip(readings, runs(readings), strict=True) if not reading.error}
    moments = sorted(run_of)
    held: dict[int, list[Window]] = {}
    for window in windows:
        if window.energy_counter_start_mj is not None:
            after = next(at for at in moments if at >= window.end_ms)
            held.setdefault(run_of[after], []).append(window)
    for same in held.values():
        assert len({window.energy_epoch for window in same}) == 1
        inside = sum(window.energy_mj + window.unobserved_mj for window in same)
        gaps = [(b.energy_counter_start_mj or 0) - (a.energy_counter_end_mj or 0) for a, b in pairwise(same)]
        assert min(gaps, default=0) >= 0
        assert inside + sum(gaps) == (same[-1].energy_counter_end_mj or 0) - (same[0].energy_counter_start_mj or 0)


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


def test_a_glance_after_a_hook_keeps_what_a_job_drew_and_used_from_the_idle_time_after_it() -> None:
    windower = Windower("GPU-a")
    windower.add(read(10_000, 0, 70_000))
    windower.cut(11_000)
    glance = Glance(11_200, 700_000, None, 0)
    windower.add(read(15_000, 928_000, 0, sm_samples=((10_500, 90), (11_000, 90)), sm_percent=0, glances=(glance,)))
    job, idle = windower.flush(18_000) + windower.close(18_000)
    assert (job.start_ms, job.end_ms, job.energy_mj) == (10_000, 11_000, 583_333), "700 J in 1.2 s, not 928 J in 5 s"
    assert (job.sm_percent_ms, job.sm_observed_ms) == (90 * 1_000, 1_000)
    assert (idle.energy_mj, idle.observed_ms) == (928_000 - 583_333, 4_000)
    assert (idle.memory_used_mib_ms, idle.memory_observed_ms) == (0, 4_000)


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


def test_a_counter_that_starts_again_begins_a_window_and_its_interval_is_unknown_energy() -> None:
    windower = Windower("GPU-a")
    for at, energy in ((0, 5_000), (1_000, 6_000), (2_000, 10), (3_000, 30)):
        windower.add(read(at, energy, memory_mib=7, epoch="boot"))
    first, second = windower.close(9_000)
    assert (first.start_ms, first.end_ms, first.energy_mj, first.energy_observed_ms) == (0, 1_000, 1_000, 1_000)
    assert (second.start_ms, second.end_ms, second.observed_ms) == (1_000, 3_000, 2_000)
    assert (second.energy_mj, second.energy_observed_ms) == (20, 1_000)
    assert (second.memory_used_mib_ms, second.memory_used_peak_mib) == (14_000, 7)
    assert (first.energy_epoch, second.energy_epoch) == ("boot", "boot")
    assert first.energy_counter_end_mj == 6_000
    assert (second.energy_counter_start_mj, second.energy_counter_end_mj) == (10, 30)


def test_a_cut_before_the_new_counter_is_known_does_not_hide_that_it_began_anew() -> None:
    windower = Windower("GPU-a")
    for at, energy in ((0, 5), (1_000, 6), (2_000, 2), (3_000, 9)):
        windower.add(read(at, energy, epoch="boot"))
    windower.cut(1_500)
    told = [(w.energy_counter_start_mj, w.energy_restarted) for w in windower.close(9_000)]
    assert told == [(5, 0), (None, 0), (2, 1)]


def test_a_counter_that_grew_past_the_old_one_since_the_reboot_is_told_by_the_epoch() -> None:
    windower = Windower("GPU-a")
    for at, energy, epoch in ((0, 0, "a"), (1_000, 10, "a"), (2_000, 500, "b"), (3_000, 510, "b")):
        windower.add(read(at, energy, epoch=epoch))
    assert [(w.energy_mj, w.energy_epoch) for w in windower.close(9_000)] == [(10, "a"), (10, "b")]


def test_what_the_counter_grew_by_in_a_gap_is_known_and_no_window_claims_it() -> None:
    windower = Windower("GPU-a")
    lost = read(1_500, error="GPU is lost")
    for reading in (read(0, 0), read(1_000, 10), lost, read(60_000, 700), read(61_000, 707)):
        windower.add(reading)
    first, second = windower.close(99_000)
    assert (first.energy_mj, first.end_ms, second.energy_mj, second.start_ms) == (10, 1_000, 7, 60_000)
    assert (first.energy_counter_end_mj, second.energy_counter_start_mj, second.energy_restarted) == (10, 700, 0)


def test_without_a_counter_power_is_integrated() -> None:
    windower = Windower("GPU-a")
    for at, power in ((0, 100_000), (5_000, 300_000), (10_000, 300_001)):
        windower.add(read(at, power_mw=power))
    windower.cut(2_500)
    before, after = windower.close(20_000)
    assert before.energy_mj + after.energy_mj == 1_000_000 + 1_500_002
    assert (before.energy_mj, before.energy_source, before.energy_counter_start_mj) == (500_000, "power", None)
    assert before.energy_uncertainty_permille == 350


def test_a_poll_so_late_that_the_buffer_lost_samples_leaves_their_time_uncovered() -> None:
    windower = Windower("GPU-a", max_gap_ms=30_000)
    windower.add(read(0))
    windower.add(read(20_000, sm_samples=tuple((at, 80) for at in range(6_000, 20_001, 500)), sm_percent=80))
    (window,) = windower.close(60_000)
    assert (window.observed_ms, window.sm_observed_ms, window.sm_percent_ms) == (20_000, 15_000, 80 * 15_000)


@pytest.mark.parametrize(
    ("samples", "average", "covered"), [((), 0, 9_000), ((), 30, 1_000), ((), None, 0), (None, 0, 1_000)]
)
def test_an_average_without_samples_covers_all_only_if_the_gpu_idles(
    samples: tuple[tuple[int, int], ...] | None, average: int | None, covered: int
) -> None:
    windower = Windower("GPU-a")
    windower.add(read(0))
    windower.add(read(9_000, sm_samples=samples, sm_percent=average))
    (window,) = windower.close(60_000)
    assert window.sm_observed_ms == covered
    assert window.sm_percent_ms == (average or 0) * covered


def test_idle_is_told_by_the_minute_so_that_short_pauses_are_none() -> None:
    windower = Windower("GPU-a", idle_percent=10)
    windower.add(read(0))
    for at in range(1_000, 180_001, 1_000):
        percent = {0: 100 * (at % 2_000 == 0), 1: 0, 2: 9}[(at - 1) // 60_000]
        windower.add(read(at, sm_samples=((at, percent),)))
    windower.cut(90_000)
    before, after = windower.close(400_000)
    assert (before.sm_idle_ms, after.sm_idle_ms) == (30_000, 90_000)


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
    assert [(w.start_ms, w.end_ms, w.energy_mj) for w in windower.close(9_000)] == [(0, 1_000, 10), (2_000, 3_000, 10)]


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
