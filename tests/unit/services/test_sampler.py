"""The sampler over GPUs that a test drives: what matters is that nobody waits, and nothing observed is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.domain.evidence import DeviceReport
from slurm_gpucost.domain.occupancy import DeviceProcess, MigInstance
from slurm_gpucost.domain.windows import Reading, Window
from slurm_gpucost.services import sampler as sampler_module
from slurm_gpucost.services.gathering import Drained
from slurm_gpucost.services.sampler import Sampler

START = 1_700_000_000_000
SOON = 0.005
NOTHING = Drained(None, [], [], [])


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class Board:
    """GPUs whose counter grows by 1 mJ each ms. ``hang`` names what does not return: a device, or a call."""

    def __init__(self, *devices: str) -> None:
        self.uuids = list(devices)
        self.missing: str | None = None
        self.errors: dict[str, str] = {}
        self.bug: Exception | None = None
        self.hang: str | None = None
        self.free = threading.Event()
        self.opened = self.closed = 0
        self.reads: dict[str, int] = {}
        self.mig: dict[str, list[str]] = {}
        """GPU -> its MIG instances, where MIG is on."""
        self.pids: dict[str, list[int]] = {}
        self.looks = 0
        self.glances: list[str] = []

    def open(self) -> None:
        self._wait("open")
        self.opened += 1
        if self.missing:
            raise SourceError(self.missing)

    def devices(self, now_ms: int) -> list[DeviceReport]:
        self._wait("devices")
        return [
            DeviceReport(uuid, uuid.encode(), now_ms, "h", "A100", "", n, n, "", None, self._mode(uuid), "550")
            for n, uuid in enumerate(self.uuids)
        ]

    def _mode(self, uuid: str) -> int | None:
        return 1 if uuid in self.mig else None

    def layout(self, device: str, now_ms: int) -> list[MigInstance]:
        instances = [
            MigInstance(device, now_ms, uuid, "1g.10gb", n, 0, 1, 1, 7, 9728) for n, uuid in enumerate(self.mig[device])
        ]
        return instances or [MigInstance(device, now_ms, "", "", None, None, 0, 0, 7, 0)]

    def processes(self, device: str, now_ms: int) -> list[DeviceProcess] | None:
        self.looks += 1
        return [
            DeviceProcess(device, "b", pid, 9, 1000, "ann", "python", now_ms, now_ms, 1)
            for pid in self.pids.get(device, [])
        ]

    def read(self, device: str, clock: Callable[[], int]) -> Reading:
        self._wait(device)
        if self.bug:
            raise self.bug
        self.reads[device] = self.reads.get(device, 0) + 1
        if device in self.errors:
            return Reading(device, clock(), error=self.errors[device])
        at = clock()
        return Reading(device, at, energy_mj=at - START)

    def glance(self, device: str, clock: Callable[[], int]) -> None:
        self._wait(device)
        self.glances.append(device)

    def close(self) -> None:
        self._wait("close")
        self.closed += 1

    def _wait(self, where: str) -> None:
        if self.hang == where:
            self.free.wait(60)


def until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end, f"never came: {what}"
        time.sleep(0.002)


@contextmanager
def sampling(board: Board, clock: Clock, retry_seconds: float = 60) -> Iterator[Sampler]:
    sampler = Sampler(board, SOON, clock, retry_seconds=retry_seconds, relist_seconds=0.05)
    sampler.start()
    try:
        yield sampler
    finally:
        board.free.set()
        sampler.stop(5)


def advance(board: Board, clock: Clock, *devices: str, by: int = 1_000) -> None:
    """Let time pass, and wait until each device was read at the new time."""
    clock.now += by
    seen = dict(board.reads)
    # the read under way may still have taken the old time
    until(lambda: all(board.reads.get(d, 0) >= seen.get(d, 0) + 2 for d in devices), f"readings of {devices}")


def spans(windows: list[Window]) -> list[tuple[str, int, int, int]]:
    return sorted((w.device, w.start_ms - START, w.end_ms - START, w.energy_mj) for w in windows)


def test_windows_are_cut_and_come_out_once_and_the_last_with_the_end() -> None:
    board, clock = Board("GPU-a", "GPU-b"), Clock()
    with sampling(board, clock) as sampler:
        advance(board, clock, "GPU-a", "GPU-b", by=0)
        for _ in range(3):
            advance(board, clock, "GPU-a", "GPU-b")
        sampler.cut(START + 1_500)
        for _ in range(3):
            advance(board, clock, "GPU-a", "GPU-b")
        inventory, windows, *_ = sampler.drain()
        assert [report.device for report in inventory or []] == ["GPU-a", "GPU-b"]
        assert spans(windows) == [("GPU-a", 0, 1_500, 1_500), ("GPU-b", 0, 1_500, 1_500)]
        assert sampler.drain() == NOTHING
        assert sampler.state == "ok"
        rest = sampler.stop(5).windows
        assert spans(rest) == [("GPU-a", 1_500, 6_000, 4_500), ("GPU-b", 1_500, 6_000, 4_500)]
        until(lambda: board.closed == 1, "the driver let go of")


def test_a_hook_of_a_known_device_cuts_no_other() -> None:
    board, clock = Board("GPU-a", "GPU-b"), Clock()
    with sampling(board, clock) as sampler:
        advance(board, clock, "GPU-a", "GPU-b", by=0)
        for _ in range(3):
            advance(board, clock, "GPU-a", "GPU-b")
        sampler.cut(START + 1_500, {"GPU-b"})
        assert spans(sampler.stop(5).windows) == [
            ("GPU-a", 0, 3_000, 3_000),
            ("GPU-b", 0, 1_500, 1_500),
            ("GPU-b", 1_500, 3_000, 1_500),
        ]


def test_a_hang_holds_nobody_up_and_costs_nothing_that_was_observed() -> None:
    board, clock = Board("GPU-a", "GPU-b"), Clock()
    with sampling(board, clock) as sampler:
        advance(board, clock, "GPU-a", "GPU-b", by=0)
        for _ in range(4):
            advance(board, clock, "GPU-a", "GPU-b")
        board.hang = "GPU-b"
        reads = board.reads["GPU-a"]
        until(lambda: board.reads["GPU-a"] > reads, "a round that hangs at the second device")
        time.sleep(0.05)
        clock.now += 14_000
        assert not sampler.hung(clock.now)
        clock.now += 2_000
        assert sampler.hung(clock.now)
        assert sampler.state == "hung since 2023-11-14T22:13:24Z"
        began = time.monotonic()
        sampler.cut(START + 2_000)
        windows = sampler.drain().windows
        rest = sampler.stop(30).windows
        assert time.monotonic() - began < 5, "a driver known to hang is not waited for"
        assert spans([*windows, *rest]) == [
            ("GPU-a", 0, 2_000, 2_000),
            ("GPU-a", 2_000, 4_000, 2_000),
            ("GPU-b", 0, 2_000, 2_000),
            ("GPU-b", 2_000, 4_000, 2_000),
        ]


def test_stop_keeps_to_its_time_when_the_driver_hangs_just_then() -> None:
    board, clock = Board("GPU-a"), Clock()
    with sampling(board, clock) as sampler:
        advance(board, clock, "GPU-a", by=0)
        advance(board, clock, "GPU-a")
        board.hang = "GPU-a"
        time.sleep(0.05)
        began = time.monotonic()
        assert spans(sampler.stop(0.2).windows) == [("GPU-a", 0, 1_000, 1_000)]
        assert 0.1 < time.monotonic() - began < 5
        board.free.set()
        until(lambda: board.closed == 1, "the driver let go of, once it answered")
        assert sampler.drain().windows == []


def test_without_a_driver_it_says_why_and_finds_it_when_it_comes() -> None:
    board, clock = Board("GPU-a"), Clock()
    board.missing = "libnvidia-ml.so.1 is not on this host"
    with sampling(board, clock, retry_seconds=0.02) as sampler:
        until(lambda: board.opened >= 3, "another try")
        assert sampler.state == "no driver: libnvidia-ml.so.1 is not on this host"
        assert sampler.drain() == NOTHING
        board.missing = None
        until(lambda: sampler.state == "ok", "the driver")
        inventory = sampler.drain().devices
        assert [report.device for report in inventory or []] == ["GPU-a"]


def test_a_lost_gpu_is_named_and_the_others_go_on() -> None:
    board, clock = Board("GPU-a", "GPU-b"), Clock()
    with sampling(board, clock) as sampler:
        advance(board, clock, "GPU-a", "GPU-b", by=0)
        advance(board, clock, "GPU-a", "GPU-b")
        board.errors["GPU-b"] = "GPU is lost"
        until(lambda: sampler.state == "1 of 2 GPUs cannot be read: GPU is lost", "the error")
        advance(board, clock, "GPU-a", "GPU-b")
        sampler.drain()
        board.uuids.remove("GPU-b")
        until(lambda: sampler.state.startswith("1 of 2 GPUs cannot be read: the driver does not list"), "its going")
        inventory = sampler.drain().devices
        assert [report.device for report in inventory or []] == ["GPU-a"]
        board.uuids.append("GPU-b")
        board.errors.clear()
        until(lambda: sampler.state == "ok", "its return")
        assert spans(sampler.stop(5).windows)[-1] == ("GPU-b", 0, 1_000, 1_000)


def test_no_gpu_that_answers_is_told_and_the_driver_opened_anew() -> None:
    board, clock = Board(), Clock()
    with sampling(board, clock, retry_seconds=0.02) as sampler:
        until(lambda: board.opened >= 2, "another try")
        assert sampler.state == "no driver: the driver is there, but no GPU answers"
        board.uuids.append("GPU-a")
        until(lambda: sampler.state == "ok", "the GPU")


def test_whatever_the_binding_throws_reading_goes_on_later() -> None:
    board, clock = Board("GPU-a"), Clock()
    board.bug = RuntimeError("not of NVML")
    with sampling(board, clock, retry_seconds=0.02) as sampler:
        until(lambda: sampler.state == "no driver: RuntimeError: not of NVML", "the error")
        board.bug = None
        until(lambda: sampler.state == "ok", "the next try")


def test_a_hang_at_opening_is_seen_too() -> None:
    board, clock = Board("GPU-a"), Clock()
    board.hang = "open"
    with sampling(board, clock) as sampler:
        until(lambda: sampler.hung(clock.now + 15_000), "the call")
        assert sampler.state == "not started"
        clock.now += 15_000
        assert sampler.state.startswith("hung since 2023-11-14T22:13:20Z")
        assert sampler.drain() == NOTHING


def test_stopping_before_the_start_or_twice_is_no_fault() -> None:
    sampler = Sampler(Board(), 1, Clock())
    assert sampler.stop(0.1) == NOTHING
    assert sampler.stop(0.1) == NOTHING


def test_mig_instances_are_read_and_a_new_layout_ends_the_old() -> None:
    board, clock = Board("GPU-a"), Clock()
    board.mig["GPU-a"] = ["MIG-1", "MIG-2"]
    with sampling(board, clock) as sampler:
        advance(board, clock, "GPU-a", "MIG-1", "MIG-2", by=0)
        advance(board, clock, "GPU-a", "MIG-1", "MIG-2")
        told = sampler.drain().layouts
        assert [(one.parent, one.device, one.compute_slices, one.slices_of) for one in told] == [
            ("GPU-a", "MIG-1", 1, 7),
            ("GPU-a", "MIG-2", 1, 7),
        ]
        board.mig["GPU-a"] = ["MIG-2"]
        until(lambda: [one.device for one in sampler.drain().layouts] == ["MIG-2"], "the new layout")
        assert sampler.state == "ok", "an instance that is gone is no GPU that cannot be read"
        board.mig["GPU-a"] = []
        until(lambda: [one.device for one in sampler.drain().layouts] == [""], "no layout")


def test_processes_are_asked_seldom_and_told_when_they_come_and_go() -> None:
    board, clock = Board("GPU-a"), Clock()
    board.pids["GPU-a"] = [41, 42]
    with sampling(board, clock) as sampler:
        advance(board, clock, "GPU-a", by=0)
        come = sampler.drain().processes
        assert [(p.pid, p.first_seen_ms - START) for p in come] == [(41, 0), (42, 0)]
        clock.now += 1_000
        looks = board.looks
        until(lambda: board.looks >= looks + 2, "another look")
        assert board.looks < board.reads["GPU-a"] / 2
        board.pids["GPU-a"] = [42]
        gone: list[DeviceProcess] = []

        def told() -> bool:
            gone.extend(sampler.drain().processes)
            return bool(gone)

        until(told, "its going")
        assert [(p.pid, p.first_seen_ms - START, p.last_seen_ms - START) for p in gone] == [(41, 0, 1_000)]
        assert [(p.pid, p.last_seen_ms - START) for p in sampler.stop(5).processes] == [(42, 1_000)]


def hurried(sampler: Sampler, board: Board) -> list[str]:
    sampler.hurry()
    return board.glances


def test_after_a_hook_its_devices_get_a_glance_long_before_the_next_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler_module, "SOONEST_SECONDS", SOON)
    board, clock = Board("GPU-a", "GPU-b"), Clock()
    sampler = Sampler(board, 600, clock)
    sampler.start()
    try:
        until(lambda: board.reads.get("GPU-b") == 1, "the first reading")
        sampler.cut(START, {"GPU-b"})
        until(lambda: hurried(sampler, board) == ["GPU-b"], "a glance at the hook's device")
        sampler.cut(START)
        until(lambda: hurried(sampler, board) == ["GPU-b", "GPU-a", "GPU-b"], "one at all, where nobody knows which")
        assert board.reads == {"GPU-a": 1, "GPU-b": 1}
        clock.now += 1_000
    finally:
        windows = sampler.stop(5).windows
    assert [(w.device, w.end_ms - START, w.energy_mj) for w in windows] == [
        ("GPU-a", 1_000, 1_000),
        ("GPU-b", 1_000, 1_000),
    ], "what was drawn up to the end is read"


def test_a_hook_in_a_driver_call_that_hangs_is_glanced_after_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler_module, "SOONEST_SECONDS", SOON)
    board, clock = Board("GPU-a"), Clock()
    board.hang = "GPU-a"
    sampler = Sampler(board, 600, clock)
    sampler.start()
    try:
        sampler.cut(START, {"GPU-a"})
        assert hurried(sampler, board) == []
        board.hang = None
        board.free.set()
        until(lambda: hurried(sampler, board) == ["GPU-a"], "the glance after the hang")
    finally:
        sampler.stop(5)
