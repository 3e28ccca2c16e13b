"""The time between two good readings of a device, and sums over parts of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from slurm_gpucost.domain.readings import Reading, Window

MIB = 1 << 20
SAMPLE_REACH_MS = 1_000
"""How far one utilization sample speaks: the driver samples every 1/6 s to 1 s, depending on the product."""

Level = tuple[int, int, int]
"""(start ms, end ms, percent)."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The time between two good readings."""

    start_ms: int
    end_ms: int
    energy_mj: int | None
    sm: list[Level]
    memctl: list[Level]
    memory_mib: int | None

    def energy_until(self, at_ms: int) -> int:
        """Energy from the start to ``at_ms``, spread evenly and rounded down, so that parts add up exactly."""
        return (self.energy_mj or 0) * (at_ms - self.start_ms) // (self.end_ms - self.start_ms)


def levels(start_ms: int, end_ms: int, samples: Iterable[tuple[int, int]], otherwise: int | None) -> list[Level]:
    """The percentages that hold within [start_ms, end_ms), in order and without overlap.

    A sample speaks for the time since the one before it, but for no more than SAMPLE_REACH_MS (a driver can
    stop sampling while the GPU idles); the last one also for as much after it. ``otherwise`` fills the rest.
    """
    found: list[Level] = []
    at = start_ms

    def fill(until: int, percent: int | None) -> None:
        nonlocal at
        if until > at:
            if percent is not None:
                found.append((at, until, percent))
            at = until

    last: int | None = None
    for sampled_at, percent in sorted(samples):
        if start_ms < sampled_at <= end_ms:
            fill(sampled_at - SAMPLE_REACH_MS, otherwise)
            fill(sampled_at, percent)
            last = percent
    if last is not None:
        fill(min(at + SAMPLE_REACH_MS, end_ms), last)
    fill(end_ms, otherwise)
    return found


def between(first: Reading, second: Reading) -> Stretch:
    """What two readings say of the time between them.

    A counter that went back (a reset) leaves the energy unknown. Memory and utilization are the second reading's:
    each reading speaks for the time since the one before it.
    """
    energy: int | None = None
    if first.energy_mj is not None and second.energy_mj is not None and second.energy_mj >= first.energy_mj:
        energy = second.energy_mj - first.energy_mj
    start, end, used = first.at_ms, second.at_ms, second.memory_used_bytes
    return Stretch(
        start,
        end,
        energy,
        levels(start, end, second.sm_samples, second.sm_percent),
        levels(start, end, second.mem_samples, second.mem_percent),
        None if used is None else used // MIB,
    )


def _integral(parts: Iterable[Level], start_ms: int, end_ms: int) -> tuple[int, int]:
    """(percent x ms, ms) of the parts that lie in [start_ms, end_ms)."""
    total = observed = 0
    for part_start, part_end, percent in parts:
        length = min(part_end, end_ms) - max(part_start, start_ms)
        if length > 0:
            total += percent * length
            observed += length
    return total, observed


class Sums:
    """A window being filled: [start_ms, end_ms) and the sums of what was observed in it."""

    def __init__(self, start_ms: int) -> None:
        self.start_ms = self.end_ms = start_ms
        self.observed = self.energy = self.energy_observed = 0
        self.sm = self.sm_observed = self.memctl = self.memctl_observed = 0
        self.memory = self.memory_peak = self.memory_observed = 0

    def add(self, stretch: Stretch, start_ms: int, end_ms: int) -> None:
        """Take in the part of the stretch between the two moments."""
        length = end_ms - start_ms
        self.end_ms = end_ms
        self.observed += length
        if stretch.energy_mj is not None:
            self.energy += stretch.energy_until(end_ms) - stretch.energy_until(start_ms)
            self.energy_observed += length
        total, observed = _integral(stretch.sm, start_ms, end_ms)
        self.sm += total
        self.sm_observed += observed
        total, observed = _integral(stretch.memctl, start_ms, end_ms)
        self.memctl += total
        self.memctl_observed += observed
        if stretch.memory_mib is not None:
            self.memory += stretch.memory_mib * length
            self.memory_peak = max(self.memory_peak, stretch.memory_mib)
            self.memory_observed += length

    def window(self, device: str) -> Window:
        """The sums as they stand."""
        return Window(
            device=device,
            start_ms=self.start_ms,
            end_ms=self.end_ms,
            observed_ms=self.observed,
            energy_mj=self.energy,
            energy_observed_ms=self.energy_observed,
            sm_percent_ms=self.sm,
            sm_observed_ms=self.sm_observed,
            memctl_percent_ms=self.memctl,
            memctl_observed_ms=self.memctl_observed,
            memory_used_mib_ms=self.memory,
            memory_used_peak_mib=self.memory_peak,
            memory_observed_ms=self.memory_observed,
        )
