"""From exact amounts to amounts in the currency's smallest unit, so that lines add up to their total."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any


def round_half_up(value: Fraction) -> int:
    """The nearest integer; halves go away from zero."""
    magnitude = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return magnitude if value >= 0 else -magnitude


def largest_remainder(exact: Sequence[tuple[Any, Fraction]], total: int) -> list[int]:
    """Integers for the exact values, in their order, that add up to ``total``.

    Each is its value rounded down, or one more; those with the largest remainders get the one more, ties in order
    of their keys (first of each pair), so that the order of the lines does not matter. ``total`` must lie between
    the sum of the floors and that plus their number, as the rounded sum always does.
    """
    floors = [value.numerator // value.denominator for _, value in exact]
    missing = total - sum(floors)
    if not 0 <= missing <= len(floors):
        raise ValueError(f"{total} cannot be reached from {len(floors)} lines")
    order = sorted(range(len(exact)), key=lambda i: (floors[i] - exact[i][1], exact[i][0]))
    for i in order[:missing]:
        floors[i] += 1
    return floors
