"""From readings of a device to windows: what it did between two moments, cut at hook times and clock hours. Pure."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field

from slurm_gpucost.domain.units import HOUR_MS

MAX_GAP_MS = 10_000
"""Two readings further apart leave the time between them unobserved."""
LAG_MS = 3_000
"""Windows become final this late, so that a hook's time, learnt a moment after the fact, still cuts them."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the driver said of a device at a moment; None is what it does not tell."""

    device: str
    at_ms: int
    energy_mj: int | None = None
    """The counter: mJ since the driver loaded. It can start again from zero."""
    sm_percent: int | None = None
    memctl_percent: int | None = None
    memory_used_mib: int | None = None
    error: str | None = None
    """The device could not be read at all, e.g. lost."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a device did in [start, end). Each quantity has the length of time that it was observed for.

    ``sm_percent_ms`` is the integral of percent over time: divide by ``sm_observed_ms`` for the mean.
    """

    device: str
    start_ms: int
    end_ms: int
    observed_ms: int = 0
    energy_mj: int = 0
    energy_observed_ms: int = 0
    sm_percent_ms: int = 0
    sm_observed_ms: int = 0
    memctl_percent_ms: int = 0
    memctl_observed_ms: int = 0
    memory_used_mib_ms: int = 0
    memory_used_peak_mib: int = 0
    memory_observed_ms: int = 0


@dataclass(frozen=True, slots=True)
class _Span:
    """The time between two good readings."""

    start_ms: int
    end_ms: int
    energy_mj: int | None
    last: Reading

    def energy_between(self, low: int, high: int) -> int:
        """The parts of a span always add up to the counter's difference, in integers."""
        assert self.energy_mj is not None
        length = self.end_ms - self.start_ms
        return self.energy_mj * (high - self.start_ms) // length - self.energy_mj * (low - self.start_ms) // length


@dataclass
class Windower:
    """Cuts one device's readings into windows. Feed readings in the order they were made."""

    device: str
    offsets_ms: tuple[int, ...] = (0,)
    """Where within a UTC hour the zones' clock hours begin: 0, and 1,800,000 for zones half an hour off."""
    _spans: list[_Span] = field(default_factory=list)
    _cuts: list[int] = field(default_factory=list)
    _before: Reading | None = None
    _start_ms: int | None = None

    def add(self, reading: Reading) -> None:
        """Take a reading. Errors, gaps and a clock that steps back leave their time unobserved."""
        before = self._before
        if reading.error is not None:
            self._before = None
            return
        self._before = reading
        if before is None or not 0 < reading.at_ms - before.at_ms <= MAX_GAP_MS:
            return
        low = before.at_ms
        if (self._spans and low < self._spans[-1].end_ms) or (self._start_ms is not None and low < self._start_ms):
            return
        energy = None
        if reading.energy_mj is not None and before.energy_mj is not None and reading.energy_mj >= before.energy_mj:
            energy = reading.energy_mj - before.energy_mj
        if self._start_ms is None:
            self._start_ms = low
        self._spans.append(_Span(low, reading.at_ms, energy, reading))

    def cut(self, at_ms: int) -> None:
        """End a window at this moment, if it is not final already."""
        if self._start_ms is None or at_ms > self._start_ms:
            insort(self._cuts, at_ms)

    def flush(self, now_ms: int) -> list[Window]:
        """The windows that have become final."""
        return self._emit(now_ms - LAG_MS)

    def close(self) -> list[Window]:
        """All windows, the last one ending with the last reading."""
        if not self._spans:
            return []
        end = self._spans[-1].end_ms
        self.cut(end)
        return self._emit(end)

    def _emit(self, horizon_ms: int) -> list[Window]:
        if self._start_ms is None:
            return []
        edges = {cut for cut in self._cuts if self._start_ms < cut <= horizon_ms}
        for offset in self.offsets_ms:
            first = (self._start_ms - offset) // HOUR_MS + 1
            last = (horizon_ms - offset) // HOUR_MS
            edges.update(hour * HOUR_MS + offset for hour in range(first, last + 1))
        windows: list[Window] = []
        for edge in sorted(edges):
            window = self._window(self._start_ms, edge)
            if window.observed_ms:
                windows.append(window)
            self._start_ms = edge
            self._spans = [span for span in self._spans if span.end_ms > edge]
        self._cuts = [cut for cut in self._cuts if cut > self._start_ms]
        return windows

    def _window(self, low: int, high: int) -> Window:
        total = dict.fromkeys(Window.__dataclass_fields__, 0)
        for span in self._spans:
            start, end = max(low, span.start_ms), min(high, span.end_ms)
            length = end - start
            if length <= 0:
                continue
            total["observed_ms"] += length
            if span.energy_mj is not None:
                total["energy_mj"] += span.energy_between(start, end)
                total["energy_observed_ms"] += length
            if span.last.sm_percent is not None:
                total["sm_percent_ms"] += span.last.sm_percent * length
                total["sm_observed_ms"] += length
            if span.last.memctl_percent is not None:
                total["memctl_percent_ms"] += span.last.memctl_percent * length
                total["memctl_observed_ms"] += length
            if span.last.memory_used_mib is not None:
                total["memory_used_mib_ms"] += span.last.memory_used_mib * length
                total["memory_used_peak_mib"] = max(total["memory_used_peak_mib"], span.last.memory_used_mib)
                total["memory_observed_ms"] += length
        del total["device"], total["start_ms"], total["end_ms"]
        return Window(self.device, low, high, **total)
