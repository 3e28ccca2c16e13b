"""A pool's capital as one input, and everything that is wrong with it, in one go. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from slurm_gpucost.costing.asset_faults import Fault, asset_faults
from slurm_gpucost.costing.capital import Asset, depreciation
from slurm_gpucost.costing.exact import keep_exact, number_text
from slurm_gpucost.costing.interest import Interest, recovery

FEDERAL = "2cfr200"
BASES = ("", FEDERAL)
"""The rules a pool's costs obey: none but the site's own, or the cost principles of 2 CFR 200, subpart E."""


@dataclass(frozen=True)
class Capital:
    """A pool's assets, and how their financing counts."""

    assets: tuple[Asset, ...]
    basis: str = ""
    recovery_rate: Fraction | None = None
    """A year's interest for capital recovery, 0.05 for 5 %; None: depreciation."""
    interest: tuple[Interest, ...] = ()

    def __post_init__(self) -> None:
        if self.recovery_rate is not None:
            keep_exact(self, "recovery_rate")


def charge(capital: Capital, asset: Asset, start: date, end: date) -> Fraction:
    """What an asset costs in [start, end), as its pool has it: depreciation or capital recovery, without interest.

    What an owner bought costs the institution nothing.
    """
    if asset.owner:
        return Fraction(0)
    if capital.recovery_rate is None:
        return depreciation(asset, start, end)
    return recovery(asset, capital.recovery_rate, start, end)


def faults(capital: Capital) -> list[Fault]:
    """All faults, in the order of the input; none means that every function of the model can use it."""
    return [*_financing(capital), *_assets(capital), *_interest(capital)]


def _financing(capital: Capital) -> Iterator[Fault]:
    if capital.basis not in BASES:
        yield "basis", f"'{capital.basis}' is no basis; write {FEDERAL}, or leave it out"
    rate = capital.recovery_rate
    if rate is None:
        return
    if capital.basis == FEDERAL:
        yield (
            "recovery_rate",
            "capital recovery charges interest on own money, which 2 CFR 200.449(a) does not allow; remove it and list "
            "what lenders are paid under interest",
        )
    if not 0 <= rate <= 1:
        yield "recovery_rate", f"{number_text(rate)} must lie between 0 and 1; 5 % is 0.05"
    if capital.interest:
        yield "recovery_rate", "capital recovery holds interest already; remove either it or the entries under interest"


def _assets(capital: Capital) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for i, asset in enumerate(capital.assets):
        key = f"assets.{i}."
        if asset.tag in seen:
            yield (
                f"{key}tag",
                f"'{asset.tag}' is the tag of assets.{seen[asset.tag]} already; it would be charged twice",
            )
        seen.setdefault(asset.tag, i)
        for part, sentence in asset_faults(asset):
            yield key + part, sentence
        if capital.recovery_rate is not None:
            for part, sentence in _recovery(asset):
                yield key + part, sentence


def _recovery(asset: Asset) -> Iterator[Fault]:
    if asset.life_years > 0 and asset.life_years.denominator != 1:
        yield (
            "life_years",
            f"{number_text(asset.life_years)} must be whole years, for capital recovery compounds yearly",
        )
    if asset.additions:
        yield "additions", "capital recovery knows none; make each an asset of its own"
    if asset.retired and asset.at_retirement == "expense":
        yield "at_retirement", "capital recovery knows 'stop' only, for it has no book value to charge"


def _interest(capital: Capital) -> Iterator[Fault]:
    for i, paid in enumerate(capital.interest):
        key = f"interest.{i}."
        if paid.amount < 0:
            yield f"{key}amount", f"{number_text(paid.amount)} cannot be negative"
        if paid.until <= paid.from_:
            yield f"{key}until", f"{paid.until} must come after from, {paid.from_}"
        if capital.basis == FEDERAL:
            if not paid.lender:
                yield f"{key}lender", "is missing: 2 CFR 200.449 allows what an outside lender is paid, not own money"
            if not paid.document:
                yield f"{key}document", f"is missing: name what shows the interest, for {FEDERAL} takes none without"
