"""Usage windows: what the driver said of a device between two moments, from readings to sums.

Time is divided by boundaries: the moments a hook ran, and clock hours. What two good readings not too far apart
enclose is observed; a glance soon after a hook says what the device drew up to it. Between two boundaries, each piece
of observed time becomes one window: there is no unobserved time in it, so that spreading its sums evenly over it
claims nothing of the time around. A window is no longer than an hour, because every clock hour is a boundary. Where
the energy counter begins anew (another boot, another load of the driver, a counter that went back, a clock that did),
so does a window.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterable

from slurm_gpucost.domain.readings import Reading, Window
from slurm_gpucost.domain.stretches import Stretch, between
from slurm_gpucost.domain.sums import IDLE_PERCENT, Sums
from slurm_gpucost.domain.units import HOUR_MS

__all__ = ["Reading", "Window", "Windower"]


class Windower:
    """Makes windows of one device from its readings, given in the order they were taken.

    A cut may come ``delay_ms`` after its moment and is still honoured; a later one only counts in ``late_cuts``.
    The windows of one Windower never overlap: when the clock steps back, time already counted stays as it is.
    ``offsets_ms``: where in a UTC hour the zones' clock hours begin, e.g. half an hour in for Asia/Kolkata.
    """

    def __init__(
        self,
        device: str,
        offsets_ms: Iterable[int] = (0,),
        *,
        max_gap_ms: int = 10_000,
        delay_ms: int = 3_000,
        idle_percent: int = IDLE_PERCENT,
    ) -> None:
        self.device = device
        self.late_cuts = 0
        self._max_gap_ms = max_gap_ms
        self._delay_ms = delay_ms
        self._idle_percent = idle_percent
        self._offsets = sorted({0, *(offset % HOUR_MS for offset in offsets_ms)})
        self._cuts: list[int] = []
        self._last: Reading | None = None
        self._counter: tuple[str, int | None] | None = None
        """The epoch that readings named last, and the counter when last known in it."""
        self._run = 0
        """Which run of the counter: it began anew so often."""
        self._counted_run = 0
        """That of the last window that knew the counter."""
        self._steps = 0
        """How often the clock went back within that epoch."""
        self._pending: deque[Stretch] = deque()
        self._open: Sums | None = None
        self._done: list[Window] = []
        self._counted: tuple[int, int] | None = None
        """From the first stretch taken into sums to the last, since the clock last stepped back."""
        self._before: deque[tuple[int, int]] = deque(maxlen=256)
        """The same of the times before it stepped back."""

    def add(self, reading: Reading) -> None:
        """Take a reading in. Times that go backwards, gaps and errors leave time unobserved."""
        last = self._last
        if reading.error is not None:
            self._last = None
            return
        if last is not None and reading.at_ms == last.at_ms:
            return
        newest = self._newest()
        restarted = self._follow_counter(reading)
        if newest is not None and reading.at_ms < newest:
            self._clock_stepped_back()
            self._run += 1
            self._steps += 1
        elif last is not None and reading.at_ms - last.at_ms <= self._max_gap_ms:
            counted_before = any(start < reading.at_ms and last.at_ms < end for start, end in self._before)
            if not counted_before:
                self._pending.extend(between(last, reading, self._epoch, self._run, restarted=restarted))
        self._last = reading

    def cut(self, at_ms: int) -> None:
        """Let no window reach across ``at_ms``."""
        if self._counted and self._counted[0] < at_ms < self._counted[1]:
            self.late_cuts += 1
            return
        position = bisect_right(self._cuts, at_ms)
        if position == 0 or self._cuts[position - 1] != at_ms:
            insort(self._cuts, at_ms)

    def flush(self, now_ms: int) -> list[Window]:
        """The windows that nothing can change any more, in the order they were observed."""
        final = now_ms - self._delay_ms
        while self._pending and self._pending[0].end_ms <= final:
            self._count(self._pending.popleft())
        if self._open and not self._may_grow(self._boundary_after(self._open.start_ms), now_ms):
            self._shut()
        self._forget_cuts(final)
        done, self._done = self._done, []
        return done

    def close(self, now_ms: int) -> list[Window]:
        """All the rest. A reading after this starts anew."""
        self._count_all()
        self._last = None
        return self.flush(now_ms)

    @property
    def _epoch(self) -> str:
        named, _ = self._counter or ("", None)
        return f"{named}+{self._steps}" if self._steps else named

    def _follow_counter(self, reading: Reading) -> bool:
        """Whether the counter began anew since it was last known."""
        if self._counter is None:
            self._counter = (reading.epoch, reading.energy_mj)
            return False
        named, known = self._counter
        if reading.epoch != named:
            self._counter, self._steps = (reading.epoch, reading.energy_mj), 0
            self._run += 1
            return True
        if reading.energy_mj is None:
            return False
        self._counter = (named, reading.energy_mj)
        if known is None or reading.energy_mj >= known:
            return False
        self._run += 1
        return True

    def _newest(self) -> int | None:
        """The latest moment known of, since the clock last stepped back."""
        if self._last:
            return self._last.at_ms
        if self._pending:
            return self._pending[-1].end_ms
        return self._counted[1] if self._counted else None

    def _clock_stepped_back(self) -> None:
        self._count_all()
        if self._counted:
            self._before.append(self._counted)
        self._counted = None

    def _count_all(self) -> None:
        while self._pending:
            self._count(self._pending.popleft())
        self._shut()

    def _count(self, stretch: Stretch) -> None:
        self._counted = (self._counted[0] if self._counted else stretch.start_ms, stretch.end_ms)
        at = stretch.start_ms
        if self._open and (self._open.end_ms < stretch.start_ms or not self._open.takes(stretch)):
            self._shut()
        while at < stretch.end_ms:
            boundary = self._boundary_after(self._open.start_ms if self._open else at)
            if boundary <= at:
                self._shut()
                boundary = self._boundary_after(at)
            if self._open is None:
                self._open = Sums(at, stretch.epoch, stretch.run, stretch.run != self._counted_run, self._idle_percent)
            until = min(stretch.end_ms, boundary)
            self._open.add(stretch, at, until)
            at = until

    def _shut(self) -> None:
        if self._open:
            window = self._open.window(self.device)
            self._done.append(window)
            if window.energy_counter_start_mj is not None:
                self._counted_run = self._open.run
            self._open = None

    def _boundary_after(self, at_ms: int) -> int:
        """The next moment no window may reach across; time counted before the clock stepped back is one too."""
        nearest = min([at_ms - (at_ms - offset) % HOUR_MS + HOUR_MS for offset in self._offsets])
        position = bisect_right(self._cuts, at_ms)
        if position < len(self._cuts) and self._cuts[position] < nearest:
            nearest = self._cuts[position]
        for start, _ in self._before:
            if at_ms < start < nearest:
                nearest = start
        return nearest

    def _may_grow(self, boundary_ms: int, now_ms: int) -> bool:
        """Whether more may yet be observed before the boundary of the open window."""
        if boundary_ms > now_ms - self._delay_ms:
            return True
        if self._pending:
            return self._pending[0].start_ms < boundary_ms
        last = self._last
        return last is not None and last.at_ms < boundary_ms and now_ms - last.at_ms <= self._max_gap_ms

    def _forget_cuts(self, final_ms: int) -> None:
        """Drop the cuts that nothing observed from now on can reach across."""
        if self._open:
            keep_after = self._open.start_ms
        elif self._pending:
            keep_after = self._pending[0].start_ms
        elif self._last:
            keep_after = min(self._last.at_ms, final_ms)
        else:
            keep_after = final_ms
        del self._cuts[: bisect_right(self._cuts, keep_after)]
