"""Costs that are not capital: contracts, space, staff, one-off work, credits. Pure, exact.

Each day of an item bears a part of its amount, so that any split of the time adds up:

- ``year``: each day of a year the same. A whole year is exactly the amount, with 365 or 366 days; the year begins in
  January, or in the month the fiscal year begins in. An hour is so the same all year, and February not dearer.
- ``month``: each day of a month the same. A whole calendar month is exactly the amount.
- ``once``: each day of [from, until) the same; or, spread over months, each month from ``from`` on the same, and each
  day within it. All of it is exactly the amount.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from fractions import Fraction

from slurm_gpucost.costing.exact import keep_exact
from slurm_gpucost.costing.spans import LAST_YEAR, add_months, months_at, years_at
from slurm_gpucost.costing.split import KEYS

PER = ("year", "month", "once")
CREDITS = ("credit", "rebate")
KINDS = (
    *("contract", "space", "network", "storage", "licence", "support", "staff", "engineering"),
    *("energy-standing", "energy-demand", *CREDITS, "other"),
)
MOST_MONTHS = 1200


@dataclass(frozen=True)
class CostItem:
    """One line of what a pool costs besides its assets. Numbers may be given as int; a float raises TypeError."""

    name: str
    kind: str
    amount: Fraction
    """In the currency, net of tax; of staff: of one full-time equivalent. Negative for credits and rebates alone."""
    per: str
    from_: date | None = None
    """The first day it counts; None: always has."""
    until: date | None = None
    """The first day it does not count any more; None: for ever."""
    months: int | None = None
    """Of ``once``: the months it is spread over, instead of ``until``."""
    fte: Fraction = Fraction(1)
    """Full-time equivalents."""
    share: Fraction = Fraction(1)
    """0 to 1: the part of it that this pool causes."""
    pool: str = ""
    key: str = ""
    """How it is split among several takers, see :mod:`slurm_gpucost.costing.split`; '': by the pool's own key."""
    fiscal_month: int = 1
    """The month in which a year begins, for ``year``."""
    source: str = field(default="", compare=False)
    """Where it was read, like ``line 7``."""

    def __post_init__(self) -> None:
        keep_exact(self, "amount", "fte", "share")

    @property
    def total(self) -> Fraction:
        """Of a year, of a month, or in all: amount x full-time equivalents x share."""
        return self.amount * self.fte * self.share


def cost(item: CostItem, start: date, end: date) -> Fraction:
    """What of it falls into [start, end), of an item without faults. ValueError if ``end`` is before ``start``."""
    if end < start:
        raise ValueError(f"a period cannot end ({end}) before it begins ({start})")
    first, last = max(start, item.from_ or start), min(end, item.until or end)
    if last <= first:
        return Fraction(0)
    return item.total * (_passed(item, last) - _passed(item, first))


def _passed(item: CostItem, day: date) -> Fraction:
    """Periods, or the part of a one-off item, before ``day``."""
    at = Fraction(day.toordinal())
    if item.per == "month":
        return months_at(at)
    if item.per == "year":
        return years_at(at, item.fiscal_month)
    if item.from_ is None:
        raise ValueError(f"{item.name} has no first day")
    if item.until:
        return Fraction((day - item.from_).days, (item.until - item.from_).days)
    months = item.months or 1
    whole = (day.year - item.from_.year) * 12 + day.month - item.from_.month
    whole -= day < add_months(item.from_, whole)
    if whole >= months:
        return Fraction(1)
    begin, following = add_months(item.from_, whole), add_months(item.from_, whole + 1)
    return (whole + Fraction((day - begin).days, (following - begin).days)) / months


def faults(item: CostItem) -> Iterator[tuple[str, str]]:
    """All faults of an item: keys relative to it, and one sentence each."""
    if not item.name.strip() or not item.name.isprintable():
        yield "name", "must be text on one line"
    yield from _kind(item)
    if item.per not in PER:
        yield "per", f"'{item.per}' is unknown; write {', '.join(PER[:-1])} or {PER[-1]}"
    if item.from_ and item.until and item.until <= item.from_:
        yield "until", f"{item.until} must come after from, {item.from_}"
    if item.per == "once":
        yield from _once(item)
    elif item.months is not None:
        yield "months", "is for what comes once; use from and until"
    if item.fte <= 0:
        yield "fte", "must be more than 0"
    if not 0 <= item.share <= 1:
        yield "share", "must lie between 0 and 1; half of it is 0.5"
    if item.key and item.key not in KEYS:
        yield "key", f"'{item.key}' is unknown; write one of {', '.join(KEYS)}"
    if not 1 <= item.fiscal_month <= 12:
        yield "fiscal_month", f"{item.fiscal_month} is no month; write 1 to 12"


def _kind(item: CostItem) -> Iterator[tuple[str, str]]:
    if item.kind not in KINDS:
        near = get_close_matches(item.kind, KINDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"write one of {', '.join(KINDS)}"
        yield "kind", f"'{item.kind}' is unknown; {hint}"
    elif item.kind in CREDITS and item.amount > 0:
        yield "amount", f"a {item.kind} lowers the cost, so it must be negative"
    elif item.kind not in CREDITS and item.amount < 0:
        yield "amount", f"is negative, which only {' or '.join(CREDITS)} may be; check kind"


def _once(item: CostItem) -> Iterator[tuple[str, str]]:
    if item.from_ is None:
        yield "from", "is missing; what comes once has a first day"
    if item.until is None and item.months is None:
        yield "until", "is missing; what comes once needs until or months; for one day alone, write the next day"
    elif item.until and item.months is not None:
        yield "months", "and until cannot both be given; remove one"
    elif item.months is not None and not 1 <= item.months <= MOST_MONTHS:
        yield "months", f"{item.months} must be 1 to {MOST_MONTHS}"
    elif item.from_ and item.months and item.from_.year + item.months // 12 >= LAST_YEAR:
        yield "months", f"{item.months} reaches beyond the calendar"
