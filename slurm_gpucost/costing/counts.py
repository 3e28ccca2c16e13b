"""How many devices of a SKU there are, from a day on. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from slurm_gpucost.costing.periods import midnight


class Counts(NamedTuple):
    """A number of devices, and others from local days on."""

    first: int
    """Until the first of the later ones; if there is none, always."""
    later: tuple[tuple[date, int], ...] = ()
    """(first day, devices), in order."""

    def on(self, day: date) -> int:
        """How many there are on a day."""
        return next((count for since, count in reversed(self.later) if since <= day), self.first)

    def spans(self, start_ms: int, end_ms: int, zone: ZoneInfo) -> Iterator[tuple[int, int, int]]:
        """(start, end, devices) in [start_ms, end_ms), in order; days begin at midnight in the zone."""
        changes = [(midnight(since, zone), count) for since, count in self.later]
        counts = [self.first, *(count for _, count in changes)]
        edges = [start_ms, *(min(max(at, start_ms), end_ms) for at, _ in changes), end_ms]
        for (low, high), count in zip(pairwise(edges), counts, strict=True):
            if low < high:
                yield low, high, count

    def device_ms(self, start_ms: int, end_ms: int, zone: ZoneInfo) -> int:
        """Device-milliseconds that they were there in [start_ms, end_ms)."""
        return sum((high - low) * count for low, high, count in self.spans(start_ms, end_ms, zone))
