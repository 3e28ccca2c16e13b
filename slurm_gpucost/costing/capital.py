"""What assets cost, day by day: straight-line depreciation from the asset register. Pure, exact.

The part of a price that the federal government bore is not depreciated (2 CFR 200.436(c)(2)); straight line is what
2 CFR 200.436(d)(2) expects without evidence for another pace. Amounts are in the currency, of all pieces of an asset.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from math import ceil

from slurm_gpucost.costing import lives
from slurm_gpucost.costing.exact import keep_exact

AT_RETIREMENT = ("expense", "stop")


@dataclass(frozen=True)
class Addition:
    """Something added to an asset later on, depreciated over what is left of the asset's life."""

    date: date
    amount: Fraction
    federal_share: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        keep_exact(self, "amount", "federal_share")


@dataclass(frozen=True)
class Asset:
    """A line of the asset register. Numbers may be given as int; a float raises TypeError."""

    tag: str
    pool: str
    sku: str
    """'': shared by the pool's SKUs, like its network."""
    quantity: int
    price: Fraction
    """Of all pieces, as are residual and additions."""
    in_service: date
    life_years: Fraction
    residual: Fraction = Fraction(0)
    funding: str = ""
    federal_share: Fraction = Fraction(0)
    """0 to 1: the part of price and residual that bears no depreciation. Additions have their own."""
    convention: str = "daily"
    """See :mod:`slurm_gpucost.costing.lives`."""
    fiscal_month: int = 1
    """The month in which the fiscal year begins; counts for the half-year convention only."""
    additions: tuple[Addition, ...] = ()
    retired: date | None = None
    """The day it went out of service, if that was before the end of its life; that day bears no depreciation."""
    at_retirement: str = "expense"
    """``expense``: what is left of the base is charged on the day of retirement, as a loss in the year in which it
    occurs (2 CFR 200.443(a)); if the sale brings something else than the residual, the difference is a cost item.
    ``stop``: nobody is charged any more (UW-Madison Procedure 403.A, Schedule VIII, has it so)."""
    owner: str = ""
    """The account that bought it; '': the institution did."""

    def __post_init__(self) -> None:
        keep_exact(self, "price", "life_years", "residual", "federal_share")


def base(asset: Asset) -> Fraction:
    """All that is ever depreciated: price less residual, and additions, without their federal shares."""
    return sum((amount for _, amount in _layers(asset)), Fraction(0))


def end_of_life(asset: Asset) -> date:
    """The first day that bears no depreciation, were it not retired earlier. ValueError beyond the calendar."""
    try:
        return date.fromordinal(ceil(_end(asset)))
    except OverflowError as error:
        raise ValueError(f"the life of {asset.tag} is too long: {error}") from None


def depreciation(asset: Asset, start: date, end: date) -> Fraction:
    """The cost in [start, end), of an asset without faults. ValueError if ``end`` is before ``start``.

    Additive over any split of the time. A retirement or an addition changes nothing before its day.
    """
    if end < start:
        raise ValueError(f"a period cannot end ({end}) before it begins ({start})")
    return _accumulated(asset, end) - _accumulated(asset, start)


def book_value(asset: Asset, on: date) -> Fraction:
    """What came in up to ``on`` and no day before ``on`` has borne, without federal shares; 0 before service.

    At the end of the life the residual is left. So it is after a retirement with ``expense``; with ``stop`` what
    was never charged is left as well.
    """
    if on < asset.in_service:
        return Fraction(0)
    own = (1 - asset.federal_share) * asset.price
    added = sum(((1 - a.federal_share) * a.amount for a in asset.additions if a.date <= on), Fraction(0))
    return own + added - _accumulated(asset, on)


def share_of_life(asset: Asset, start: date, end: date) -> Fraction:
    """The part of the life (0 to 1) that [start, end) bears; nothing from a retirement on."""
    over = _end(asset)
    return _share(asset, asset.in_service, _until(asset, end), over) - _share(
        asset, asset.in_service, _until(asset, start), over
    )


def _accumulated(asset: Asset, on: date) -> Fraction:
    """What the days before ``on`` have borne."""
    if asset.retired and on > asset.retired and asset.at_retirement == "expense":
        return base(asset)
    over, until = _end(asset), _until(asset, on)
    return sum((amount * _share(asset, begin, until, over) for begin, amount in _layers(asset)), Fraction(0))


def _layers(asset: Asset) -> Iterator[tuple[date, Fraction]]:
    yield asset.in_service, (1 - asset.federal_share) * (asset.price - asset.residual)
    for addition in asset.additions:
        yield addition.date, (1 - addition.federal_share) * addition.amount


def _share(asset: Asset, begin: date, until: Fraction, over: Fraction) -> Fraction:
    if until <= begin.toordinal():
        return Fraction(0)
    if until >= over:
        return Fraction(1)
    how = (asset.convention, asset.fiscal_month, begin)
    return lives.passed(*how, until) / lives.passed(*how, over)


def _until(asset: Asset, day: date) -> Fraction:
    return Fraction(min(day, asset.retired or day).toordinal())


def _end(asset: Asset) -> Fraction:
    return lives.end(asset.convention, asset.fiscal_month, asset.in_service, asset.life_years)
