"""Use without a lease, and leases without use: who is named, who is not, and when."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from slurm_gpucost.domain.apportion import Holding
from slurm_gpucost.domain.findings import IdleLease, OrphanUse, idle_leases, orphan_use
from slurm_gpucost.domain.occupancy import DeviceProcess, Sightings
from slurm_gpucost.domain.readings import Window
from slurm_gpucost.domain.usage import Used

D = "GPU-a"
S = 1_000
HOUR = 3_600 * S


def window(start: int, end: int, busy: int, watts: int = 100) -> Window:
    """Seconds; ``busy`` of them were spent in busy minutes."""
    length = (end - start) * S
    energy = watts * S * (end - start)
    idle = length - busy * S
    return Window(D, start * S, end * S, length, energy, length, 0, length, 0, 0, 0, 0, 0, sm_idle_ms=idle)


def hold(start: int, end: int, user: str = "ann", job: int = 1) -> Holding:
    return Holding(("c", job, 0, 0), start * S, end * S, Fraction(1), False, user)


def process(
    first: int, last: int, uid: int = 1000, user: str = "ann", executable: str = "python", pid: int = 9
) -> DeviceProcess:
    return DeviceProcess(D, "boot", pid, pid, uid, user, executable, first * S, last * S, 1)


def found(
    windows: list[Window], holdings: list[Holding], processes: list[DeviceProcess], **other: Any
) -> list[tuple[Any, ...]]:
    """(kind, from, to, user, executable, busy seconds, joules) of each."""
    uses = orphan_use(D, windows, holdings, other.get("released", {}), processes, 0, other.get("end", HOUR))
    return [
        (u.kind, u.start_ms // S, u.end_ms // S, u.user, u.executable, u.busy_ms // S, u.energy_mj // S) for u in uses
    ]


def test_a_process_while_nobody_holds_the_device() -> None:
    assert found([window(0, 1_000, 500)], [], [process(200, 400)]) == [
        ("unheld", 200, 400, "ann", "python", 100, 20_000)
    ]


def test_who_holds_the_device_may_use_it() -> None:
    assert found([window(0, 1_000, 1_000)], [hold(0, 1_000)], [process(0, 1_000)]) == []


def test_a_process_that_stays_after_the_lease_counts_from_the_epilog_on() -> None:
    held, stays = hold(0, 500), process(0, 900)
    assert found([], [held], [stays]) == [("unheld", 500, 900, "ann", "python", 0, 0)]
    assert found([], [held], [stays], released={held.key: 600 * S}) == [("unheld", 600, 900, "ann", "python", 0, 0)]


def test_a_process_on_a_device_that_somebody_else_holds_takes_none_of_its_energy() -> None:
    windows, held = [window(0, 1_000, 1_000)], [hold(0, 1_000), hold(300, 400, "bob", 2)]
    assert found(windows, held, [process(100, 900, 1001, "bob")]) == [
        ("foreign", 100, 300, "bob", "python", 0, 0),
        ("foreign", 400, 900, "bob", "python", 0, 0),
    ]


def test_root_is_the_system_and_never_foreign() -> None:
    monitor = process(0, 1_000, 0, "root", "nv-hostengine")
    assert found([window(0, 1_000, 1_000)], [hold(0, 600)], [monitor]) == [
        ("system", 600, 1_000, "root", "nv-hostengine", 400, 40_000)
    ]


def test_work_that_no_look_at_processes_saw_has_no_name() -> None:
    windows = [window(0, 100, 0), window(100, 200, 60), window(200, 300, 30), window(300, 400, 4)]
    assert found(windows, [], []) == [("unheld", 100, 300, "", "", 90, 20_000)]
    assert found(windows, [], [process(150, 150)])[0][3] == "ann", "one look is enough for a name"
    assert found([window(0, 100, 100)], [hold(0, 95)], []) == [], "what is left of a job is no use"


def test_processes_of_one_program_are_one_finding() -> None:
    many = [process(10 * n, 10 * n + 15, pid=n) for n in range(5)]
    assert [row[:5] for row in found([], [], [*many, process(300, 400)])] == [
        ("unheld", 0, 55, "ann", "python"),
        ("unheld", 300, 400, "ann", "python"),
    ]


def test_only_the_time_that_was_asked_for() -> None:
    assert found([], [], [process(0, 1_000)], end=500 * S) == [("unheld", 0, 500, "ann", "python", 0, 0)]
    assert found([], [], [process(600, 700)], end=500 * S) == []


def test_what_a_finding_tells() -> None:
    (use,) = orphan_use(D, [], [], {}, [process(0, 60)], 0, HOUR)
    assert use == OrphanUse("unheld", D, 0, 60_000, 1000, "ann", "python", 0, 0)


KEY = ("c", 1, 0, 0)


@pytest.mark.parametrize(("idle", "observed", "is_one"), [(30, 60, True), (29, 60, False), (0, 0, False)])
def test_a_lease_that_idled_long_enough(idle: int, observed: int, is_one: bool) -> None:
    used = Used(sm_idle_ms=idle * 60 * S, sm_observed_ms=observed * 60 * S)
    expected = [IdleLease(KEY, idle * 60 * S, observed * 60 * S, Fraction(idle * 60 * S, 4))]
    assert idle_leases({KEY: used}, {KEY: Fraction(1, 4)}, 30 * 60 * S) == (expected if is_one else [])


def test_without_utilization_there_is_no_finding() -> None:
    assert idle_leases({KEY: Used(sm_idle_ms=HOUR)}, {KEY: Fraction(1)}, 0) == []


def test_the_most_device_time_comes_first() -> None:
    used = Used(sm_idle_ms=HOUR, sm_observed_ms=HOUR)
    keys = [("c", n, 0, 0) for n in (1, 2, 3)]
    shares = dict(zip(keys, [Fraction(1, 4), Fraction(1), Fraction(1, 4)], strict=True))
    assert [one.key[1] for one in idle_leases(dict.fromkeys(keys, used), shares, 1)] == [2, 1, 3]


def test_a_stay_is_told_when_it_begins_now_and_then_and_when_it_ends() -> None:
    sightings, at = Sightings(), 0
    one = process(0, 0)
    told = []
    for minute in range(25):
        at = minute * 60 * S
        told += sightings.look(D, [replace_times(one, at)], at)
    assert [(p.first_seen_ms, p.last_seen_ms // 60 // S) for p in told] == [(0, 0), (0, 10), (0, 20)]
    assert sightings.look("GPU-b", [], at) == [], "another device says nothing of it"
    assert [(p.first_seen_ms, p.last_seen_ms) for p in sightings.look(D, [], at + S)] == [(0, at)]
    assert sightings.end() == []


def replace_times(one: DeviceProcess, at: int) -> DeviceProcess:
    return one._replace(first_seen_ms=at, last_seen_ms=at)
