"""From held time to billable device-milliseconds: factors of the policy, rounding, minimum. Pure, exact.

Without rounding a piece counts factor x devices x length, so however time is cut its parts add up. Rounding is not
additive; it is therefore done once, on what the site declares:

- per attempt: its billed duration (time on the clock, of whatever number of devices) is lengthened to the minimum and
  to whole steps, as if it had gone on holding what it held last. What that adds is booked where its billed time ends.
- per line: the device-time of an invoice line (a month's, say) is rounded, not what it is made of.

Rounding goes up. Down, it could take more from what an attempt held last than that was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import ceil
from typing import NamedTuple

from slurm_gpucost.costing.exact import exact, time_span, whole

OFF, ATTEMPT, LINE = "", "attempt", "line"


class Rounding(NamedTuple):
    """What a site declares; nothing is rounded by default."""

    per: str = OFF
    """OFF, ATTEMPT or LINE."""
    step_ms: int = 1
    """To whole multiples of this: of clock time per attempt, of device-time per line."""
    minimum_ms: int = 0
    """What is shorter counts as this long, then in whole steps. What is not there at all stays nothing."""


class Piece(NamedTuple):
    """[start_ms, end_ms) of an attempt in which it held ``devices`` of one kind, and one rule decided."""

    start_ms: int
    end_ms: int
    devices: Fraction
    factor: Fraction
    """The decision's, 0 to 1."""


class Billed(NamedTuple):
    """Device-milliseconds of a piece, exact. ``added`` belongs to the piece's last moment: where an attempt ends as a
    month does, that is the month that ended."""

    device_ms: Fraction
    added: Fraction


def faults(rounding: Rounding) -> list[tuple[str, str]]:
    """All that is wrong with it: (key, sentence)."""
    found: list[tuple[str, str]] = []
    if rounding.per not in (OFF, ATTEMPT, LINE):
        found.append(("per", f"'{rounding.per}' is neither {ATTEMPT} nor {LINE}; leave it out for no rounding"))
    for key, value, least in (("step_ms", rounding.step_ms, 1), ("minimum_ms", rounding.minimum_ms, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            found.append((key, f"{value} is no whole number of milliseconds from {least} on"))
    if rounding.per == OFF and rounding != Rounding():
        found.append(("per", f"say what is rounded: {ATTEMPT} or {LINE}"))
    return found


def billable_ms(pieces: Sequence[Piece], rounding: Rounding, *, ended: bool = True) -> list[Billed]:
    """All pieces of one attempt -> what is billed of each, in their order.

    Give the whole attempt, also what lies in other months, and cut afterwards. Pieces at the same time are several
    holdings. An attempt that has not ended is not rounded yet. Time of factor 0 has no part in the duration, and an
    attempt that has no other is not rounded. Raises TypeError for a float.
    """
    found = [Billed(_device_ms(piece), Fraction(0)) for piece in pieces]
    if rounding.per != ATTEMPT or not ended:
        return found
    spans = sorted((piece.start_ms, piece.end_ms) for piece, billed in zip(pieces, found, strict=True) if billed[0])
    if not spans:
        return found
    duration, end = _clock_time(spans), max(end for _, end in spans)
    more = _rounded(Fraction(duration), rounding) - duration
    return [
        Billed(one.device_ms, more * piece.devices * piece.factor if one.device_ms and piece.end_ms == end else one[1])
        for piece, one in zip(pieces, found, strict=True)
    ]


def line_ms(device_ms: Fraction, rounding: Rounding) -> Fraction:
    """Device-milliseconds of an invoice line as they are billed. A line of nothing stays nothing."""
    exact(device_ms, "device_ms")
    return _rounded(device_ms, rounding) if rounding.per == LINE and device_ms else device_ms


def _device_ms(piece: Piece) -> Fraction:
    start, end = time_span(piece.start_ms, piece.end_ms)
    return (end - start) * exact(piece.devices, "devices") * exact(piece.factor, "factor")


def _clock_time(spans: Iterable[tuple[int, int]]) -> int:
    """Milliseconds that are in one of the spans, which are in order of their starts."""
    total, until = 0, 0
    for n, (start, end) in enumerate(spans):
        begin = start if n == 0 else max(start, until)
        total += max(0, end - begin)
        until = end if n == 0 else max(until, end)
    return total


def _rounded(value: Fraction, rounding: Rounding) -> Fraction:
    step = whole(rounding.step_ms, "step_ms")
    return Fraction(ceil(max(value, Fraction(whole(rounding.minimum_ms, "minimum_ms"))) / step) * step)
