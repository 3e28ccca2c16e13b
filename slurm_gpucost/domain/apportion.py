"""What a device did, divided among those who held it. Integers in, integers out; parts add up to the whole exactly.

The rule: at each moment a lease has its share of the whole device (1, shards of all shards, MIG slices of all
slices), and gets that part of the energy; what nobody held is idle. Shares above one device in all are scaled down
to one. A suspended lease has a share only while no other runs on the device (gang scheduling).

Inside a window a quantity is spread evenly over time: up to a moment t it is floor(quantity x (t - start) / length),
and a part is the difference of two such sums, so however a window is cut its parts add up. Among leases likewise, by
the floor of the sum of shares up to each, in the order of their keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from math import floor
from typing import NamedTuple

from slurm_gpucost.domain.readings import POWER, Window

Key = tuple[str, int, int, int]
"""A lease: cluster, job id, submit ms, n."""


class Holding(NamedTuple):
    """A lease's hold of one device."""

    key: Key
    start_ms: int
    end_ms: int
    share: Fraction
    """Of the whole physical device; 0 where it is not known: its energy then counts as idle."""
    suspended: bool = False
    user: str = ""


class Segment(NamedTuple):
    """A part of a window within which the same leases held the device."""

    window: Window
    start_ms: int
    end_ms: int
    held: tuple[Holding, ...]

    def part(self, quantity: int) -> int:
        """The part of one of the window's quantities that lies in this segment."""
        since, length = self.window.start_ms, self.window.end_ms - self.window.start_ms
        if not quantity or length == self.end_ms - self.start_ms:
            return quantity
        return quantity * (self.end_ms - since) // length - quantity * (self.start_ms - since) // length

    @property
    def energy(self) -> list[tuple[Holding | None, int]]:
        """(lease, mJ) of each that held it, and (None, mJ) for the rest."""
        return divide(self.part(self.window.energy_mj), self.held)


def divide(total: int, held: Sequence[Holding]) -> list[tuple[Holding | None, int]]:
    """``total`` by the shares of those who hold a device, the rest with None; the parts add up to it."""
    if not held:
        return [(None, total)]
    if len(held) == 1 and held[0].share == 1:
        return [(held[0], total), (None, 0)]
    found: list[tuple[Holding | None, int]] = []
    given, upto = 0, Fraction(0)
    for one, portion in portions(held):
        upto += portion
        below = floor(total * upto)
        found.append((one, below - given))
        given = below
    found.append((None, total - given))
    return found


def portions(held: Sequence[Holding]) -> list[tuple[Holding, Fraction]]:
    """The part of a device's energy that is each lease's, exact, in order of keys; suspended ones may have none."""
    running = [one for one in held if not one.suspended]
    takers = sorted(running or held, key=lambda one: one.key)
    whole = max(Fraction(1), sum((one.share for one in takers), Fraction(0)))
    return [(one, one.share / whole) for one in takers]


def segments(windows: Iterable[Window], holdings: Iterable[Holding], start_ms: int, end_ms: int) -> Iterator[Segment]:
    """The windows of one device, cut to [start_ms, end_ms) and wherever a lease begins or ends, in order of time."""
    coming = sorted((one for one in holdings if one.end_ms > one.start_ms), key=lambda one: (one.start_ms, one.key))
    active: list[Holding] = []
    next_one = 0
    for window in sorted(windows, key=lambda window: window.start_ms):
        low, high = max(window.start_ms, start_ms), min(window.end_ms, end_ms)
        if low >= high:
            continue
        while next_one < len(coming) and coming[next_one].start_ms < high:
            active.append(coming[next_one])
            next_one += 1
        active = [one for one in active if one.end_ms > low]
        if all(one.start_ms <= low and one.end_ms >= high for one in active):
            yield Segment(window, low, high, tuple(active))
            continue
        moments = {low, high}
        for one in active:
            moments |= {moment for moment in (one.start_ms, one.end_ms) if low < moment < high}
        for at, until in pairwise(sorted(moments)):
            held = tuple(one for one in active if one.start_ms <= at and one.end_ms >= until)
            yield Segment(window, at, until, held)


class Unobserved(NamedTuple):
    """What the counter says beyond the windows."""

    energy_mj: int
    """What it grew by while nobody looked. Where in the gap it went is not known; it counts where the gap ends."""
    restarts: int
    """Gaps across which the counter began anew: what was drawn in those is lost."""


def unobserved(windows: Iterable[Window], start_ms: int, end_ms: int) -> Unobserved:
    """The gaps that end in [start_ms, end_ms), between windows of one device and inside them.

    Give the last window before ``start_ms`` too. So the energy of all windows and of all gaps in one run of the
    counter is the last of it less the first, and periods that follow each other add up.
    """
    energy = restarts = 0
    before: Window | None = None
    for window in sorted(windows, key=lambda window: window.start_ms):
        if window.energy_counter_start_mj is None:
            before = None if window.energy_source == POWER else before
            continue
        if start_ms < window.end_ms <= end_ms:
            energy += window.unobserved_mj
        if before is not None and start_ms <= window.start_ms < end_ms:
            grown = window.energy_counter_start_mj - (before.energy_counter_end_mj or 0)
            if before.energy_epoch == window.energy_epoch and grown >= 0 and not window.energy_restarted:
                energy += grown
            else:
                restarts += 1
        before = window
    return Unobserved(energy, restarts)
