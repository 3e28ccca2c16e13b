"""Utilization between two readings: for which milliseconds the driver's samples and averages speak."""

from __future__ import annotations

from collections.abc import Iterable

SAMPLE_REACH_MS = 1_000
"""How far one utilization sample speaks: the driver samples every 1/6 s to 1 s, depending on the product (NVML API
reference, nvmlUtilization_t)."""

Level = tuple[int, int, int]
"""(start ms, end ms, percent)."""


def levels(start_ms: int, end_ms: int, samples: Iterable[tuple[int, int]] | None, average: int | None) -> list[Level]:
    """The percentages that hold within [start_ms, end_ms), in order and without overlap; the rest is not covered.

    A sample speaks for the time since the one before it, but for no more than SAMPLE_REACH_MS; the last one also for
    as much after it. So where a poll came so late that the driver's buffer had lost samples, the time that they
    spoke for is not covered.

    ``average`` is UtilizationRates at ``end_ms``, a mean over a sample period: it speaks for SAMPLE_REACH_MS. If it
    is 0 and no sample came at all, it speaks for the whole time: a driver stops sampling while the GPU idles. Not so
    where the driver has no buffer (None), or idle moments would weigh more than busy ones.
    """
    found: list[Level] = []
    at = start_ms

    def fill(since: int, until: int, percent: int) -> None:
        nonlocal at
        since = since if since > at else at
        if until <= since:
            return
        if found and found[-1][2] == percent and found[-1][1] == since:
            since = found.pop()[0]  # the same goes on: sums are the cheaper the fewer levels there are
        found.append((since, until, percent))
        at = until

    last: int | None = None
    for sampled_at, percent in sorted(samples or ()):
        if start_ms < sampled_at <= end_ms:
            fill(sampled_at - SAMPLE_REACH_MS, sampled_at, percent)
            last = percent
    if last is not None:
        fill(at, min(at + SAMPLE_REACH_MS, end_ms), last)
    if average is not None:
        dry = samples is not None and last is None and average == 0
        fill(start_ms if dry else end_ms - SAMPLE_REACH_MS, end_ms, average)
    return found


def integral(parts: Iterable[Level], start_ms: int, end_ms: int) -> tuple[int, int]:
    """(percent x ms, ms) of the parts that lie in [start_ms, end_ms)."""
    total = observed = 0
    for part_start, part_end, percent in parts:
        length = min(part_end, end_ms) - max(part_start, start_ms)
        if length > 0:
            total += percent * length
            observed += length
    return total, observed
