"""A window being filled: what was observed in it so far."""

from __future__ import annotations

from collections.abc import Iterable

from slurm_gpucost.domain.levels import Level, integral
from slurm_gpucost.domain.readings import COUNTER, POWER, UNCERTAINTY_PERMILLE, Window
from slurm_gpucost.domain.stretches import Stretch

MINUTE_MS = 60_000
IDLE_PERCENT = 5
"""Below this mean utilization of a clock minute a device counts as idle in it, unless the config says otherwise."""


class IdleMinutes:
    """The time in clock minutes whose mean utilization is below a threshold; a cut divides minutes."""

    def __init__(self, below_percent: int) -> None:
        self._below = below_percent
        self._minute = self._percent_ms = self._observed = 0
        self._idle = 0

    def add(self, parts: Iterable[Level], start_ms: int, end_ms: int) -> None:
        """Take in what lies in [start_ms, end_ms)."""
        for part_start, part_end, percent in parts:
            at, until = max(part_start, start_ms), min(part_end, end_ms)
            while at < until:
                minute = at // MINUTE_MS
                if minute != self._minute:
                    self._minute_over(minute)
                stop = min(until, (minute + 1) * MINUTE_MS)
                self._percent_ms += percent * (stop - at)
                self._observed += stop - at
                at = stop

    def total(self) -> int:
        """Milliseconds so far."""
        self._minute_over(self._minute)
        return self._idle

    def _minute_over(self, minute: int) -> None:
        if self._percent_ms < self._below * self._observed:
            self._idle += self._observed
        self._minute, self._percent_ms, self._observed = minute, 0, 0


class Sums:
    """[start_ms, end_ms) and the sums of what was observed in it, in one run of the counter and from one source."""

    def __init__(
        self, start_ms: int, epoch: str = "", run: int = 0, restarted: bool = False, idle_percent: int = IDLE_PERCENT
    ) -> None:
        self.start_ms = self.end_ms = start_ms
        self.epoch = epoch
        self.run = run
        self.restarted = restarted
        self.source = ""
        self._observed = self._energy = self._energy_observed = 0
        self._counter_start: int | None = None
        self._counter_end: int | None = None
        self._sm = self._sm_observed = self._memctl = self._memctl_observed = 0
        self._memory = self._memory_peak = self._memory_observed = 0
        self._temperature = self._temperature_peak = self._temperature_observed = 0
        self._idle = IdleMinutes(idle_percent)

    def takes(self, stretch: Stretch) -> bool:
        """Whether the stretch can be of this window: no window holds two runs of the counter or two sources."""
        return self.run == stretch.run and (not self.source or not stretch.source or self.source == stretch.source)

    def add(self, stretch: Stretch, start_ms: int, end_ms: int) -> None:
        """Take in the part of the stretch between the two moments."""
        length = end_ms - start_ms
        self.end_ms = end_ms
        self._observed += length
        self._add_energy(stretch, start_ms, end_ms)
        total, observed = integral(stretch.sm, start_ms, end_ms)
        self._sm += total
        self._sm_observed += observed
        self._idle.add(stretch.sm, start_ms, end_ms)
        total, observed = integral(stretch.memctl, start_ms, end_ms)
        self._memctl += total
        self._memctl_observed += observed
        if stretch.memory_mib is not None:
            self._memory += stretch.memory_mib * length
            self._memory_peak = max(self._memory_peak, stretch.memory_mib)
            self._memory_observed += length
        if stretch.temperature_c is not None:
            self._temperature += stretch.temperature_c * length
            self._temperature_peak = max(self._temperature_peak, stretch.temperature_c)
            self._temperature_observed += length

    def _add_energy(self, stretch: Stretch, start_ms: int, end_ms: int) -> None:
        at_start, at_end = stretch.energy_until(start_ms), stretch.energy_until(end_ms)
        if stretch.energy_mj is not None:
            self.source = stretch.source
            self._energy += at_end - at_start
            self._energy_observed += end_ms - start_ms
        if stretch.counter_mj is not None and (stretch.source == COUNTER or start_ms == stretch.start_ms):
            self._know(stretch.counter_mj + at_start)
        if stretch.counter_mj is not None and stretch.source == COUNTER:
            self._know(stretch.counter_mj + at_end)
        elif stretch.counter_end_mj is not None and end_ms == stretch.end_ms:
            self._know(stretch.counter_end_mj)

    def _know(self, counter_mj: int) -> None:
        self._counter_start = counter_mj if self._counter_start is None else self._counter_start
        self._counter_end = counter_mj

    def window(self, device: str) -> Window:
        """The sums as they stand; nothing is added afterwards."""
        if self.source == POWER:  # a counter that comes and goes says nothing of energy that is from power
            self._counter_start = self._counter_end = None
        return Window(
            device=device,
            start_ms=self.start_ms,
            end_ms=self.end_ms,
            observed_ms=self._observed,
            energy_mj=self._energy,
            energy_observed_ms=self._energy_observed,
            sm_percent_ms=self._sm,
            sm_observed_ms=self._sm_observed,
            memctl_percent_ms=self._memctl,
            memctl_observed_ms=self._memctl_observed,
            memory_used_mib_ms=self._memory,
            memory_used_peak_mib=self._memory_peak,
            memory_observed_ms=self._memory_observed,
            energy_source=self.source,
            energy_uncertainty_permille=UNCERTAINTY_PERMILLE[self.source],
            energy_counter_start_mj=self._counter_start,
            energy_counter_end_mj=self._counter_end,
            energy_epoch=self.epoch if self._counter_start is not None else "",
            energy_restarted=int(self.restarted and self._counter_start is not None),
            sm_idle_ms=self._idle.total(),
            temperature_c_ms=self._temperature,
            temperature_peak_c=self._temperature_peak,
            temperature_observed_ms=self._temperature_observed,
        )
