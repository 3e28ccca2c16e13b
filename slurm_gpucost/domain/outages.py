"""Times in which a node could not be used, from the accounting's node events and nothing else. Pure."""

from __future__ import annotations

from collections.abc import Iterable

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
