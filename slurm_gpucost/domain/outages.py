"""Times in which a node could not be used, from the accounting's node events and nothing else. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from slurm_gpucost.domain.evidence import NodeEvent
from slurm_gpucost.domain.inventory import Outage
from slurm_gpucost.domain.units import OPEN_END_MS

CLASSES = ("powered_down", "maintenance", "down", "failing", "drained")
"""By precedence, where several hold at once. The first two are planned."""
PLANNED = CLASSES[:2]


def outages(events: Iterable[NodeEvent]) -> list[Outage]:
    """One node's outages in order of start. Of each event the latest word stands: slurmdbd can open one again."""
    last: dict[tuple[str, int], NodeEvent] = {}
    for event in sorted(events, key=lambda e: e.observed_at_ms):
        last[event.source, event.start_ms] = event
    found = (Outage(e.start_ms, OPEN_END_MS if e.end_ms is None else e.end_ms, e.class_) for e in last.values())
    return sorted(outage for outage in found if outage.start_ms < outage.end_ms)


def disjoint(found: Iterable[Outage], order: Sequence[str]) -> list[Outage]:
    """The same times, each once: of several at once the first in ``order`` stands. Neighbours differ."""
    waiting = sorted((one for one in found if one.start_ms < one.end_ms), reverse=True)
    edges = sorted({edge for one in waiting for edge in (one.start_ms, one.end_ms)})
    at_once: list[Outage] = []
    flat: list[Outage] = []
    for start, end in pairwise(edges):
        at_once = [one for one in at_once if one.end_ms > start]
        while waiting and waiting[-1].start_ms <= start:
            at_once.append(waiting.pop())
        if not at_once:
            continue
        first = min((one.class_ for one in at_once), key=order.index)
        if flat and (flat[-1].end_ms, flat[-1].class_) == (start, first):
            start = flat.pop().start_ms
        flat.append(Outage(start, end, first))
    return flat


def cut(start_ms: int, end_ms: int, out: Iterable[Outage]) -> Iterator[tuple[int, int, str]]:
    """[start, end) in pieces, each with its outage or ''; ``out`` in order and disjoint. A span of nothing has none."""
    at = start_ms
    for one in out:
        low, high = max(at, one.start_ms), min(end_ms, one.end_ms)
        if low >= high:
            continue
        if at < low:
            yield at, low, ""
        yield low, high, one.class_
        at = high
    if at < end_ms:
        yield at, end_ms, ""
