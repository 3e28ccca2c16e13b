"""What a person should see of how devices are used: use without a lease, and leases without use. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from slurm_gpucost.domain.apportion import Holding, Key, Segment, segments
from slurm_gpucost.domain.occupancy import DeviceProcess
from slurm_gpucost.domain.readings import Window
from slurm_gpucost.domain.usage import Used

UNHELD = "unheld"
"""The device worked, or had a process, while no lease held it."""
FOREIGN = "foreign"
"""A process on a device that somebody else's lease held."""
SYSTEM = "system"
"""The same of processes of root alone: monitoring, profilers, persistence."""
ROOT = 0
Span = tuple[int, int]
LEAST_MS = 10_000
"""Shorter use is none: ends of jobs are known to a second, and a sample of utilization speaks for up to a second."""


class OrphanUse(NamedTuple):
    """Use of a device by someone who did not hold it."""

    kind: str
    device: str
    start_ms: int
    end_ms: int
    uid: int | None
    """None: the device was busy, and no look at its processes saw whose."""
    user: str
    executable: str
    busy_ms: int
    """How long the device was busy meanwhile, in minutes not below the idle threshold; 0 for FOREIGN."""
    energy_mj: int
    """What the device drew meanwhile; 0 for FOREIGN: it is the holder's."""


def orphan_use(
    device: str,
    windows: Iterable[Window],
    holdings: Iterable[Holding],
    released: Mapping[Key, int],
    processes: Iterable[DeviceProcess],
    start_ms: int,
    end_ms: int,
) -> list[OrphanUse]:
    """The orphan use of one device in [start_ms, end_ms), in order of time.

    A lease holds it up to ``released``, the moment its epilog ran: between a job's End and that its processes are
    being ended by the system. ``holdings`` are all of the device, of its MIG instances and of the GPU it is part of.
    Overlapping findings of several executables each show the whole device's busy time and energy.
    """
    held = [one._replace(end_ms=max(one.end_ms, released.get(one.key, one.end_ms))) for one in holdings]
    free = [segment for segment in segments(windows, held, start_ms, end_ms) if not segment.held]
    stays: dict[tuple[str, int | None, str, str], list[Span]] = {}
    for process in processes:
        who = (process.uid, process.user, process.executable)
        for span, holders in _cut(_stay(process, start_ms, end_ms), held):
            if not holders:
                stays.setdefault((SYSTEM if process.uid == ROOT else UNHELD, *who), []).append(span)
            elif process.uid != ROOT and process.user not in {one.user for one in holders}:
                stays.setdefault((FOREIGN, *who), []).append(span)
    known = [span for (kind, *_), spans in stays.items() if kind != FOREIGN for span in spans]
    stays[(UNHELD, None, "", "")] = _busy(free, known)
    found: list[OrphanUse] = []
    for (kind, uid, user, executable), spans in stays.items():
        for low, high in _joined(spans):
            if high - low >= LEAST_MS:
                busy, energy = _used(free, low, high) if kind != FOREIGN else (0, 0)
                found.append(OrphanUse(kind, device, low, high, uid, user, executable, busy, energy))
    return sorted(found, key=lambda one: (one.start_ms, one.kind, one.uid or 0, one.executable))


def _stay(process: DeviceProcess, start_ms: int, end_ms: int) -> Span:
    """A process is looked for once a minute: one that was seen once was there for a while all the same."""
    last = max(process.last_seen_ms, process.first_seen_ms + LEAST_MS)
    return max(process.first_seen_ms, start_ms), min(last, end_ms)


def _cut(span: Span, held: list[Holding]) -> list[tuple[Span, list[Holding]]]:
    """The span cut wherever a hold begins or ends, with who holds."""
    low, high = span
    near = [one for one in held if one.start_ms < high and one.end_ms > low]
    moments = {moment for one in near for moment in (one.start_ms, one.end_ms) if low < moment < high}
    return [
        ((since, until), [one for one in near if one.start_ms <= since and one.end_ms >= until])
        for since, until in pairwise(sorted({low, high, *moments}))
        if low < high
    ]


def _busy(free: list[Segment], known: list[Span]) -> list[Span]:
    """Unheld parts of windows with busy minutes, in which no process is known."""
    return [
        (one.start_ms, one.end_ms)
        for one in free
        if one.part(one.window.sm_observed_ms) - one.part(one.window.sm_idle_ms) >= LEAST_MS
        and not any(since < one.end_ms and until > one.start_ms for since, until in known)
    ]


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Spans that follow or overlap each other as one."""
    found: list[Span] = []
    for low, high in sorted(spans):
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found


def _used(free: list[Segment], low: int, high: int) -> tuple[int, int]:
    """(busy ms, mJ) of the unheld parts of windows in [low, high)."""
    busy = energy = 0
    for segment in free:
        since, until = max(segment.start_ms, low), min(segment.end_ms, high)
        if since < until:
            part = segment._replace(start_ms=since, end_ms=until).part
            busy += part(segment.window.sm_observed_ms) - part(segment.window.sm_idle_ms)
            energy += part(segment.window.energy_mj)
    return busy, energy


class IdleLease(NamedTuple):
    """A lease that held a device without using it."""

    key: Key
    idle_ms: int
    """In minutes below the threshold of utilization; suspended time is none of it."""
    observed_ms: int
    """Time with known utilization; the rest is unknown, not idle."""
    gpu_idle_ms: Fraction
    """``idle_ms`` times the share of a device."""


def idle_leases(used: Mapping[Key, Used], shares: Mapping[Key, Fraction], least_ms: int) -> list[IdleLease]:
    """The leases that idled for at least ``least_ms``, most device time first; never one without utilization."""
    found = [
        IdleLease(key, one.sm_idle_ms, one.sm_observed_ms, one.sm_idle_ms * shares.get(key, Fraction(0)))
        for key, one in used.items()
        if one.sm_observed_ms and one.sm_idle_ms >= least_ms
    ]
    return sorted(found, key=lambda one: (-one.gpu_idle_ms, one.key))
