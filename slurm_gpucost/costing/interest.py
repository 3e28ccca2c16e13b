"""Interest in the cost of capital: what lenders are paid, or capital recovery. Pure, exact."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from slurm_gpucost.costing.capital import Asset, share_of_life
from slurm_gpucost.costing.exact import exact, keep_exact


@dataclass(frozen=True)
class Interest:
    """Interest of a period as an amount, each day of [from, until) the same; a float raises TypeError."""

    name: str
    amount: Fraction
    from_: date
    until: date
    lender: str = ""
    """Who is paid; '' for the institution's own money."""
    document: str = ""
    """What shows it: a contract, a bank statement."""

    def __post_init__(self) -> None:
        keep_exact(self, "amount")


def interest(payments: Iterable[Interest], start: date, end: date) -> Fraction:
    """The interest in [start, end): additive over any split of the time."""
    total = Fraction(0)
    for paid in payments:
        days = (min(end, paid.until) - max(start, paid.from_)).days
        total += paid.amount * Fraction(max(days, 0), (paid.until - paid.from_).days)
    return total


def recovery_factor(rate: Fraction | int, years: Fraction | int) -> Fraction:
    """i(1+i)^n / ((1+i)^n - 1), the equal payment a year per 1 borrowed; 1/n without interest.

    ``rate`` is 0.05 for 5 %; ``years`` whole compounding periods of a year. ValueError for a negative rate and for
    years that are not whole or below 1. Source: the factor (A/P, i, n) of any table of discrete compounding; ASTM
    E917 calls it uniform capital recovery.
    """
    i, n = exact(rate, "rate"), exact(years, "years")
    if i < 0:
        raise ValueError(f"a rate of interest cannot be negative ({i})")
    if n < 1 or n.denominator != 1:
        raise ValueError(f"capital recovery knows whole years only, not {n}")
    growth: Fraction = (1 + i) ** int(n)
    return i * growth / (growth - 1) if i else 1 / n


def capital_recovery(
    price: Fraction | int, residual: Fraction | int, rate: Fraction | int, years: Fraction | int
) -> Fraction:
    """What a year must bring so that price and interest are paid when the life ends and the residual comes back.

    (price - residual / (1+i)^n) x recovery factor, in the currency a year. Errors as :func:`recovery_factor`.
    """
    i, factor = exact(rate, "rate"), recovery_factor(rate, years)
    discounted: Fraction = exact(residual, "residual") / (1 + i) ** int(years)
    return (exact(price, "price") - discounted) * factor


def recovery(asset: Asset, rate: Fraction | int, start: date, end: date) -> Fraction:
    """Capital recovery in [start, end), instead of depreciation: each year of the life bears the same.

    The years pass as the asset's convention has them; the federal share bears nothing; a retirement stops it. For
    an asset without additions. ValueError where its life is not whole years.
    """
    years = asset.life_years
    own = (1 - asset.federal_share) * capital_recovery(asset.price, asset.residual, rate, years)
    return own * years * share_of_life(asset, start, end)
