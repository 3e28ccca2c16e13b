"""Everything that is wrong with an asset, in one go. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from slurm_gpucost.costing.capital import AT_RETIREMENT, Asset, end_of_life
from slurm_gpucost.costing.exact import number_text
from slurm_gpucost.costing.lives import CONVENTIONS

Fault = tuple[str, str]
"""A key relative to the object, like ``additions.0.date``, and what is wrong, as one sentence."""


def asset_faults(asset: Asset) -> Iterator[Fault]:
    """All faults of one asset, keys relative to it."""
    if not asset.tag:
        yield "tag", "is missing; write the asset's number in the register"
    if not asset.pool:
        yield "pool", "is missing"
    if asset.quantity < 1:
        yield "quantity", f"{asset.quantity} must be at least 1"
    if asset.price < 0:
        yield "price", f"{number_text(asset.price)} cannot be negative"
    if asset.residual < 0:
        yield "residual", f"{number_text(asset.residual)} cannot be negative"
    elif asset.residual > asset.price >= 0:
        yield "residual", f"{number_text(asset.residual)} is more than the price, {number_text(asset.price)}"
    if not 0 <= asset.federal_share <= 1:
        yield "federal_share", f"{number_text(asset.federal_share)} must lie between 0 and 1"
    if asset.federal_share > 0 and not asset.funding:
        yield (
            "funding",
            "is missing; name the award that paid the federal share (2 CFR 200.313(d)(1) wants it on record)",
        )
    if asset.at_retirement not in AT_RETIREMENT:
        yield "at_retirement", f"'{asset.at_retirement}' is unknown; write {' or '.join(AT_RETIREMENT)}"
    if asset.retired and asset.retired <= asset.in_service:
        yield "retired", f"{asset.retired} must come after in_service, {asset.in_service}"
    over, life = _over(asset)
    yield from life
    yield from _additions(asset, over)


def _over(asset: Asset) -> tuple[date | None, list[Fault]]:
    """The end of the life, None where it cannot be told because of the faults that come with it."""
    found: list[Fault] = []
    if asset.convention not in CONVENTIONS:
        found.append(("convention", f"'{asset.convention}' is unknown; write one of {', '.join(CONVENTIONS)}"))
    if not 1 <= asset.fiscal_month <= 12:
        found.append(("fiscal_month", f"{asset.fiscal_month} is no month; write 1 to 12"))
    if asset.life_years <= 0:
        found.append(("life_years", f"{number_text(asset.life_years)} must be more than 0"))
    if not found:
        try:
            return end_of_life(asset), []
        except ValueError:
            found.append(("life_years", f"{number_text(asset.life_years)} reaches beyond the calendar"))
    return None, found


def _additions(asset: Asset, over: date | None) -> Iterator[Fault]:
    for i, addition in enumerate(asset.additions):
        key = f"additions.{i}."
        if addition.amount <= 0:
            yield f"{key}amount", f"{number_text(addition.amount)} must be more than 0"
        if not 0 <= addition.federal_share <= 1:
            yield f"{key}federal_share", f"{number_text(addition.federal_share)} must lie between 0 and 1"
        if addition.date < asset.in_service:
            yield f"{key}date", f"{addition.date} is before in_service, {asset.in_service}; add it to the price"
        elif asset.retired and addition.date >= asset.retired:
            yield f"{key}date", f"{addition.date} must be before the asset was retired, {asset.retired}"
        elif over and addition.date >= over:
            yield f"{key}date", f"{addition.date} is after the end of the life, {over}; make it an asset of its own"
