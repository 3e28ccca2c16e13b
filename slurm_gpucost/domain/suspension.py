"""When an attempt ran and when it was suspended, as stretches that follow one another. Pure.

The accounting gives the length of suspension, the controller its moments: ``SuspendTime`` of a suspended job is when
that began, of a running one when it was last resumed (seen on 22.05 and 24.11). The accounting's length always
stands; what nobody saw of it is placed at the attempt's end and marked inferred.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from slurm_gpucost.domain.evidence import ControllerRow
from slurm_gpucost.domain.records import Attempt
from slurm_gpucost.domain.units import OPEN_END_MS

RUNNING, SEEN, INFERRED = "", "seen", "inferred"


class Stretch(NamedTuple):
    """[start_ms, end_ms) of an attempt; ``suspended`` is '' while it ran, else how that is known."""

    start_ms: int
    end_ms: int
    suspended: str


def stretches(attempt: Attempt, controller: Iterable[ControllerRow]) -> list[Stretch]:
    """The stretches of a started attempt, in order, from its start to its end (OPEN_END_MS while it has none).

    Of an attempt that has ended, the lengths of the suspended ones add up to its ``suspended_ms``.
    """
    assert attempt.start_ms is not None
    start, end = attempt.start_ms, OPEN_END_MS if attempt.end_ms is None else attempt.end_ms
    if not attempt.suspended_ms and attempt.end_ms is not None:
        return [Stretch(start, end, RUNNING)]
    stops = _seen(sorted(controller, key=lambda r: (r.observed_at_ms, r.digest)), start, end)
    if attempt.end_ms is not None:
        stops = _trim(stops, attempt.suspended_ms)
        rest, before = attempt.suspended_ms - _length(stops), end
    else:
        stops, rest, before = _still_open(attempt, stops, controller)
    return _between(start, end, _fill(stops, rest, start, before))


def _seen(rows: list[ControllerRow], start: int, end: int) -> list[Stretch]:
    """What the controller said, in order of time; a suspension that lasts reaches to ``end`` where that is open.

    A row of a job that was resumed tells the length of all suspension before: what of it no other row showed is
    placed right before the resumption. That is exact where the job was suspended once.
    """
    found: list[Stretch] = []
    last: ControllerRow | None = None  # the latest look at the suspension that may still last
    for row in rows:
        if row.suspend_ms is None:
            continue
        if row.state == "SUSPENDED":
            if last is not None and row.suspend_ms != last.suspend_ms:
                found.append(_looked_at(last))
            last = row
            continue
        if last is not None and last.suspend_ms is not None and last.suspend_ms <= row.suspend_ms:
            once = row.ran_ms == last.ran_ms
            found.append(Stretch(last.suspend_ms, row.suspend_ms, SEEN) if once else _looked_at(last))
            last = None
        known = sum(
            min(stop.end_ms, row.suspend_ms) - stop.start_ms for stop in found if stop.start_ms < row.suspend_ms
        )
        unseen = row.suspend_ms - start - row.ran_ms - known
        latest = max((stop.end_ms for stop in found), default=start)
        if unseen > 0 and latest < row.suspend_ms:
            found.append(Stretch(max(latest, row.suspend_ms - unseen), row.suspend_ms, INFERRED))
    if last is not None:
        lasts = end == OPEN_END_MS and last.suspend_ms is not None
        found.append(Stretch(last.suspend_ms or start, end, SEEN) if lasts else _looked_at(last))
    clear: list[Stretch] = []
    at = start
    for stop in sorted(found):
        low, high = max(at, stop.start_ms), min(end, stop.end_ms)
        if low < high:
            clear.append(stop._replace(start_ms=low, end_ms=high))
            at = high
    return clear


def _looked_at(row: ControllerRow) -> Stretch:
    """From its beginning until it was looked at, the job was suspended for certain; nobody saw the end."""
    assert row.suspend_ms is not None
    return Stretch(row.suspend_ms, max(row.suspend_ms, row.observed_at_ms // 1000 * 1000), SEEN)


def _trim(stops: list[Stretch], most_ms: int) -> list[Stretch]:
    """The stops, the last of them cut so that together they are no longer than the accounting says."""
    kept: list[Stretch] = []
    for stop in stops:
        length = min(stop.end_ms - stop.start_ms, most_ms)
        if length > 0:
            kept.append(stop._replace(end_ms=stop.start_ms + length))
        most_ms -= length
    return kept


def _still_open(
    attempt: Attempt, stops: list[Stretch], controller: Iterable[ControllerRow]
) -> tuple[list[Stretch], int, int]:
    """(stops, what of the suspension up to the last look they do not cover, before when that lies)."""
    looked = attempt.seen_ms
    open_from = stops[-1].start_ms if stops and stops[-1].end_ms == OPEN_END_MS else None
    closed = _length(stops if open_from is None else stops[:-1])
    resumed_since = any(r.observed_at_ms > looked and r.state != "SUSPENDED" for r in controller)
    if attempt.state == "SUSPENDED" and open_from is None and not resumed_since:
        assert attempt.start_ms is not None
        last = stops[-1].end_ms if stops else attempt.start_ms
        open_from = max(last, looked - max(0, attempt.suspended_ms - closed))
        return [*stops, Stretch(open_from, OPEN_END_MS, INFERRED)], 0, open_from
    if open_from is not None:
        rest = attempt.suspended_ms - closed - max(0, looked - open_from)
        return stops, max(0, rest), min(looked, open_from)
    return stops, max(0, attempt.suspended_ms - closed), looked


def _fill(stops: list[Stretch], rest_ms: int, start: int, before: int) -> list[Stretch]:
    """Place what nobody saw as late as it can lie, from ``before`` backwards, around what was seen."""
    placed = list(stops)
    at = before
    for stop in [*reversed([s for s in stops if s.start_ms < before]), Stretch(start, start, RUNNING)]:
        low = max(stop.end_ms, at - rest_ms)
        if rest_ms > 0 and low < at:
            placed.append(Stretch(low, at, INFERRED))
            rest_ms -= at - low
        at = min(at, stop.start_ms)
    return sorted(placed)


def _between(start: int, end: int, stops: list[Stretch]) -> list[Stretch]:
    """The stops, and the running between them."""
    found: list[Stretch] = []
    at = start
    for stop in stops:
        if at < stop.start_ms:
            found.append(Stretch(at, stop.start_ms, RUNNING))
        found.append(stop)
        at = stop.end_ms
    if at < end or not found:
        found.append(Stretch(at, end, RUNNING))
    return found


def _length(stops: list[Stretch]) -> int:
    return sum(stop.end_ms - stop.start_ms for stop in stops)
