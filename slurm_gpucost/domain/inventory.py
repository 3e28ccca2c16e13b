"""Which devices a node had, from when to when: capacity, from what controller, slurmd and driver report. Pure.

A slot is a GRES index on a node. It exists from the first report that counts it until one that does not; our own
silence ends nothing. Its device is what was last reported to be in it, so a replaced card begins a capacity of its
own. A node that the controller stops listing is gone, but for the time that slurmdbd calls it powered down: so do
cloud nodes vanish.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from slurm_gpucost.domain.evidence import NodeReport, SlotReport
from slurm_gpucost.domain.tres import GPU_GRES, GresCount
from slurm_gpucost.domain.units import OPEN_END_MS

_GRES = re.compile(r"(?P<name>[^:,()]+)(?::(?P<type>[^:(),]+))?:(?P<count>\d{1,9})(?P<k>[KM]?)(?:\([^)]*\))?$")
_PART = re.compile(r"(?:[^,(]|\([^)]*\))+")
_FACTORS = {"": 1, "K": 1024, "M": 1024 * 1024}


class Capacity(NamedTuple):
    """A slot existed in [start_ms, end_ms), with this device in it."""

    cluster: str
    node: str
    gres_index: int
    start_ms: int
    end_ms: int
    """OPEN_END_MS: still exists."""
    gres_type: str
    device: str | None


class Outage(NamedTuple):
    """[start_ms, end_ms) in which a node could not be used; ``class_`` as in :mod:`slurm_gpucost.domain.outages`."""

    start_ms: int
    end_ms: int
    class_: str


@lru_cache(maxsize=4096)
def node_gres(text: str) -> tuple[GresCount, ...]:
    """The GPU GRES of a node in the order written: ``gpu:a100:4(S:0-1),shard:16``; '' and ``(null)`` have none.

    K and M count as in slurm.conf, by 1024. Raises ValueError.
    """
    if text in ("", "(null)"):
        return ()
    found: list[GresCount] = []
    for part in _PART.findall(text):
        match = _GRES.match(part)
        if match is None:
            if part.partition(":")[0] in GPU_GRES:
                raise ValueError(f"Gres: '{part}' is not NAME[:TYPE]:COUNT")
            continue
        if match["name"] in GPU_GRES:
            found.append(GresCount(match["name"], match["type"] or "", int(match["count"]) * _FACTORS[match["k"]]))
    return tuple(found)


def slot_types(text: str) -> list[str]:
    """The type of each GPU index of a node, as the controller counts them: in the order of its GRES text."""
    return [want.type for want in node_gres(text) if want.name == "gpu" for _ in range(want.units)]


def units_per_device(text: str, name: str, kind: str = "") -> int:
    """How many shards or MPS units make up one device of the node, of a type if given; 0: the text does not tell."""
    counts = node_gres(text)
    if kind and any(want.name == name and want.type == kind for want in counts):
        counts = tuple(want for want in counts if want.type == kind)
    devices = sum(want.units for want in counts if want.name == "gpu")
    units = sum(want.units for want in counts if want.name == name)
    return units // devices if devices and units % devices == 0 else 0


def capacity(reports: Iterable[NodeReport], slots: Iterable[SlotReport], outages: Iterable[Outage]) -> list[Capacity]:
    """The slots of one node through time, in order of (index, start)."""
    history = sorted(reports, key=lambda r: r.observed_at_ms)
    by_index: dict[int, list[SlotReport]] = {}
    for slot in sorted(slots, key=lambda s: (s.observed_at_ms, s.device, s.gres_type)):
        by_index.setdefault(slot.gres_index, []).append(slot)
    found: dict[int, list[Capacity]] = {}
    for report, start, end in _present(history, list(outages)):
        for index, kind in enumerate(slot_types(report.gres)):
            for low, high, slot_kind, device in _occupants(by_index.get(index, []), start, end):
                here = Capacity(report.cluster, report.node, index, low, high, slot_kind or kind, device)
                _append(found.setdefault(index, []), here)
    return [row for index in sorted(found) for row in found[index]]


def _present(history: list[NodeReport], outages: list[Outage]) -> list[tuple[NodeReport, int, int]]:
    """(report, from, to): each with GPUs as long as it stood, longer where the node then was powered down."""
    found: list[tuple[NodeReport, int, int]] = []
    before: NodeReport | None = None
    for i, report in enumerate(history):
        start = report.observed_at_ms
        end = history[i + 1].observed_at_ms if i + 1 < len(history) else OPEN_END_MS
        if report.gres:
            found.append((report, start, end))
            before = report
        elif before is not None:
            for outage in sorted(outages):
                low, high = max(start, outage.start_ms), min(end, outage.end_ms)
                if outage.class_ == "powered_down" and low < high:
                    found.append((before, low, high))
                    start = high
    return found


def _occupants(slots: list[SlotReport], start: int, end: int) -> list[tuple[int, int, str, str | None]]:
    """(from, to, type, device) within [start, end); the first report speaks for the time before it too."""
    known = [s for s in slots if s.device] or slots
    if not known:
        return [(start, end, "", None)]
    found = []
    for i, slot in enumerate(known):
        low = start if i == 0 else max(start, slot.observed_at_ms)
        high = min(end, known[i + 1].observed_at_ms) if i + 1 < len(known) else end
        if low < high:
            found.append((low, high, slot.gres_type, slot.device or None))
    return found


def _append(rows: list[Capacity], row: Capacity) -> None:
    last = rows[-1] if rows else None
    if last is not None and last.end_ms == row.start_ms and last[5:] == row[5:]:
        rows[-1] = last._replace(end_ms=row.end_ms)
    else:
        rows.append(row)
