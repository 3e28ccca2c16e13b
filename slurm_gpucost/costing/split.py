"""One amount among several takers, by a key that was stated. Pure, exact.

Where decimals are declared, the shares are percentages rounded to so many decimals before use, as finance offices
do on paper (UW-Madison, Procedure 403.A, Schedule VII: 4,278 of 8,963 base hours are 47.7 %), and still total 100 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from slurm_gpucost.costing.allotment import largest_remainder
from slurm_gpucost.costing.exact import exact, number_text

KEYS = ("count", "price", "power", "hours", "fixed")
"""What the weights are: pieces, purchase price, rated (nameplate) power, base hours, or fixed percentages."""
MOST_DECIMALS = 9


def shares(weights: Mapping[str, Fraction], decimals: int | None = None) -> dict[str, Fraction]:
    """Each taker's part of the whole, 0 to 1; they total exactly 1, in any order of the takers.

    ``decimals``: those of the percentages; None: exact. What rounding down leaves goes to those with the largest
    remainders, ties in order of their names. TypeError for a float; ValueError for what :func:`faults` names.
    """
    given = {taker: exact(weight, f"the weight of {taker}") for taker, weight in weights.items()}
    for _, sentence in faults("", given, decimals):
        raise ValueError(sentence)
    total = sum(given.values(), Fraction(0))
    if decimals is None:
        return {taker: weight / total for taker, weight in given.items()}
    units = 10 ** (decimals + 2)
    rounded = largest_remainder([(taker, weight / total * units) for taker, weight in given.items()], units)
    return {taker: Fraction(part, units) for taker, part in zip(given, rounded, strict=True)}


def split(amount: Fraction | int, parts: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """The amount in these parts, exact: what they total is the amount. ValueError where the parts do not total 1."""
    whole = exact(amount, "amount")
    if sum((exact(part, taker) for taker, part in parts.items()), Fraction(0)) != 1:
        raise ValueError("the parts do not total 1")
    return {taker: whole * part for taker, part in parts.items()}


def faults(key: str, weights: Mapping[str, Fraction], decimals: int | None = None) -> Iterator[tuple[str, str]]:
    """All faults of a split by ``key`` ('' for any): keys are the takers' names, ``decimals`` or ''."""
    if key and key not in KEYS:
        yield "key", f"'{key}' is unknown; write one of {', '.join(KEYS)}"
    if decimals is not None and not 0 <= decimals <= MOST_DECIMALS:
        yield "decimals", f"{decimals} must be 0 to {MOST_DECIMALS}"
    for taker, weight in weights.items():
        if weight < 0:
            yield taker, f"a share cannot be negative ({number_text(weight)})"
    total = sum(weights.values(), Fraction(0))
    if not weights:
        yield "", "there is nobody to share the cost"
    elif key == "fixed" and total != 100:
        yield "", f"the percentages total {number_text(total)} %, not 100 %"
    elif total <= 0:
        yield "", "the shares total nothing, so nobody would bear the cost"
