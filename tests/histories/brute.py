"""The truth and the ledger, both laid out moment by moment: every second, and around everything that happened.

Quantities are twelfths of a device, so that shares of halves, thirds and quarters are integers.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate

from tests.histories.truth import T0, History, Node, Run

DEVICE = 12
FOREVER = 1 << 60
PRECEDENCE = ("powered_down", "maintenance", "down", "failing", "drained")
Cell = tuple[str, int, str]
"""(node, slot, what); slot -1 is the node."""


class Moments:
    """Quantities at each of the moments looked at, added up from intervals."""

    def __init__(self, moments: list[int]) -> None:
        self.at = moments
        self._steps: defaultdict[Cell, list[int]] = defaultdict(lambda: [0] * (len(moments) + 1))

    def add(self, cell: Cell, start_ms: int, end_ms: int, twelfths: int) -> None:
        """So much of it from start until before end."""
        low, high = bisect_left(self.at, start_ms), bisect_left(self.at, end_ms)
        if low < high:
            self._steps[cell][low] += twelfths
            self._steps[cell][high] -= twelfths

    def put(self, cell: Cell, values: list[int]) -> None:
        """Its quantity at each moment, as they stand."""
        self._steps[cell] = [now - before for now, before in zip([*values, 0], [0, *values], strict=True)]

    def get(self, cell: Cell) -> list[int]:
        """Its quantity at each moment."""
        if cell not in self._steps:
            return [0] * len(self.at)
        return list(accumulate(self._steps[cell]))[:-1]

    def sum(self, cells: list[Cell]) -> list[int]:
        """Their quantities together at each moment."""
        return [sum(values) for values in zip(*map(self.get, cells), strict=True)]


def moments_of(history: History) -> list[int]:
    """Every second, its middle, and the millisecond before and after all that happened between."""
    found = {ms for t in range(T0, history.end) for ms in (t * 1000, t * 1000 + 500)}
    for run in history.runs:
        for times in run.epilogs.values():
            found |= {ms + step for ms in times for step in (-1, 0)}
    for node in history.nodes.values():
        found |= {ms + step for ms, _ in node.reports for step in (-1, 0)}
    return sorted(ms for ms in found if T0 * 1000 <= ms < history.end * 1000)


def truth(history: History, moments: list[int]) -> Moments:
    """What was: ``running``, ``suspended``, ``idle``, ``completing``, ``unavailable CLASS`` of every slot."""
    raw, told = Moments(moments), Moments(moments)
    for run in history.runs:
        for name, slot, units in _slots(run):
            share = int(history.share(run.job, name, units) * DEVICE)
            for what, start, end in _of_run(run, name, history.end * 1000):
                raw.add((name, slot, what), start, end, share)
    for node in history.nodes.values():
        out = _out(node, raw)
        there = _there(node, raw, out)
        for slot in range(len(node.types)):
            _settle(node.name, slot, raw, told, out, there)
    return told


def _out(node: Node, raw: Moments) -> list[str]:
    """The class of outage at each moment, '' where it was in use."""
    for outage in node.outages:
        raw.add(
            (node.name, -1, outage.class_), outage.start * 1000, FOREVER if outage.end is None else outage.end * 1000, 1
        )
    by_class = [(name, raw.get((node.name, -1, name))) for name in PRECEDENCE]
    return [next((name for name, values in by_class if values[i]), "") for i in range(len(raw.at))]


def _there(node: Node, raw: Moments, out: list[str]) -> list[bool]:
    """Whether the controller lists it, or slurmdbd calls it powered down, at each moment."""
    ends = [ms for ms, _ in node.reports[1:]] + [FOREVER]
    for (start, here), end in zip(node.reports, ends, strict=False):
        raw.add((node.name, -1, "listed"), start, end, int(here))
        raw.add((node.name, -1, "known"), start, end, 1)
    listed, known = raw.get((node.name, -1, "listed")), raw.get((node.name, -1, "known"))
    return [bool(a or (b and c == "powered_down")) for a, b, c in zip(listed, known, out, strict=True)]


def _slots(run: Run) -> Iterator[tuple[str, int, int]]:
    for node, slots in run.parts[0].places.items():
        for slot, units in slots.items():
            yield node, slot, units


def _of_run(run: Run, node: str, horizon: int) -> Iterator[tuple[str, int, int]]:
    for part in run.parts:
        if node not in part.places:
            continue
        end = horizon if part.end is None else part.end * 1000
        at = part.start * 1000
        for low, high in part.stops:
            stop = end if high is None else high * 1000
            yield "running", at, low * 1000
            yield "suspended", low * 1000, stop
            at = stop
        yield "running", at, end
        if node in run.epilogs and (part is run.last or node not in run.parts[run.parts.index(part) + 1].places):
            yield "completing", end, max(run.epilogs[node])


def _settle(node: str, slot: int, raw: Moments, told: Moments, out: list[str], there: list[bool]) -> None:
    running, stopped, ending = (raw.get((node, slot, what)) for what in ("running", "suspended", "completing"))
    parts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * len(raw.at))
    for i, here in enumerate(there):
        if not here:
            continue
        parts["running"][i], parts["suspended"][i] = running[i], stopped[i]
        rest = max(0, DEVICE - running[i] - stopped[i])
        if out[i]:
            parts[f"unavailable {out[i]}"][i] = rest
        else:
            parts["completing"][i] = min(rest, ending[i])
            parts["idle"][i] = rest - min(rest, ending[i])
    for what, values in parts.items():
        told.put((node, slot, what), values)


def ledger(db: sqlite3.Connection, moments: list[int]) -> Moments:
    """What the ledger says, in the same words; ``unplaced``: held, or not given back, by leases known by node alone."""
    said = Moments(moments)
    for node, slot, start, end, epilog, suspended, units, num, den in db.execute(
        "SELECT node, gres_index, start_ms, end_ms, epilog_ms, suspended, units, share_num, share_den FROM lease"
    ):
        if slot is None and epilog is not None:
            end = max(end, epilog)
        share = int(Fraction(units * num, den) * DEVICE) if den else 0
        what = "unplaced" if slot is None else "suspended" if suspended else "running"
        said.add((node or "", -1 if slot is None else slot, what), start, end, share)
    for node, slot, start, end, state, class_, num, den in db.execute(
        "SELECT node, gres_index, start_ms, end_ms, state, class, share_num, share_den FROM device_time"
    ):
        what = f"{state} {class_}".strip()
        said.add((node, slot, what), start, end, int(Fraction(num, den) * DEVICE))
    return said
