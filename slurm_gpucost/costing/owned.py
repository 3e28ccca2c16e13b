"""What shares of devices make of a period's lines. Pure, exact, in device-ms.

- **share**: the owner pays the operating price of all hours of the share, used or not.
- **covered**: what the owner's accounts use is theirs already, up to the hours of the share in the whole period; what
  they use beyond is billed as everybody's. Lines share it in proportion to their quantities.
- **guests**: what is left to pay for hours of the SKU is spread over the hours that were open to it: the institution's,
  and those of shares that their owners left unused. Of what falls to a share its owner gets the declared part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from slurm_gpucost.costing.exact import exact_decimal
from slurm_gpucost.costing.free import Free, used
from slurm_gpucost.costing.free import Line as Use
from slurm_gpucost.costing.lines import (
    COVERED,
    GUEST,
    NIL,
    PRICE_DECIMALS,
    SHARE,
    LineKey,
    Lines,
    Owner,
    Priced,
    left_to_pay,
)
from slurm_gpucost.costing.shares import Owning, Share, owned_ms
from slurm_gpucost.domain.units import HOUR_MS

Parts = Mapping[tuple[str, int], Priced]
"""Each pool's period, cut where prices change, by pool and beginning."""


class Entry(NamedTuple):
    """A part of a line; parts of a line add up."""

    owner: Owner
    key: LineKey
    device_ms: Fraction


class Hours(NamedTuple):
    """Of one share in a period, in device-ms."""

    share: Share
    owned: Fraction
    taken: Mapping[Any, Fraction]
    """What of it the owner's accounts used, by the key of the use."""

    @property
    def unused(self) -> Fraction:
        """What was open to others."""
        return self.owned - sum(self.taken.values(), NIL)


def spread(uses: Iterable[Use], owned: Mapping[Share, Fraction]) -> list[Hours]:
    """Who uses the hours of which share. Each use has a key of its own, which begins with its (cluster, account).

    Where one share of an account follows another within the period, the earlier one is used first.
    """
    left = {one.key: one for one in uses}
    found: list[Hours] = []
    for share in sorted(owned, key=lambda one: (one.sku, one.from_, one.account)):
        mine = [one for (who, *_), one in left.items() if who[1] in share.everyone and one.sku == share.sku]
        taken = {one.key: one.device_ms for one in used(mine, [Free(share.account, owned[share] / HOUR_MS)])}
        for key, device_ms in taken.items():
            left[key] = left[key]._replace(device_ms=left[key].device_ms - device_ms)
        found.append(Hours(share, owned[share], taken))
    return found


def open_ms(existed: Fraction, hours: Iterable[Hours]) -> Fraction:
    """The device-ms of a SKU that were open to others than owners: the institution's, and what owners left unused."""
    return existed - sum((one.owned - one.unused for one in hours), NIL)


def hours_of(lines: Lines, owning: Owning, parts: Parts) -> list[Hours]:
    """The hours of every share, and which lines they cover: keys are (owner, what it has to pay for)."""
    owned = {
        share: sum((owned_ms(share, part.period) for part in _of_pool(share.pool, parts)), NIL)
        for share in owning.shares
    }
    uses = (
        Use((owner, what), what.user, what.sku, device_ms, Fraction(what.unit_price))
        for owner, those in lines.items()
        for what, device_ms in left_to_pay(those).items()
    )
    return spread(uses, owned) if owned else []


def covered(hours: Iterable[Hours], owning: Owning) -> Iterator[Entry]:
    """What shares take off their owners' lines."""
    for one in hours:
        for (owner, what), device_ms in one.taken.items():
            yield Entry(owner, what._replace(kind=COVERED, rule=owning.text(one.share)), -device_ms)


def operating(owning: Owning, parts: Parts) -> Iterator[Entry]:
    """What owners pay for their shares, used or not."""
    for share in owning.shares:
        for part in _of_pool(share.pool, parts):
            if device_ms := owned_ms(share, part.period):
                price = part.operating[share.sku]
                yield Entry(*_whose(owning, share, part.period.start_ms, SHARE, price), device_ms)


def guests(lines: Lines, hours: Iterable[Hours], owning: Owning, parts: Parts) -> Iterator[Entry]:
    """What owners get of what others pay, by price segment. ``lines``: with what is covered and free.

    Nobody is credited for what the own accounts pay, nor for more hours than were left unused.
    """
    by_sku: defaultdict[str, list[Hours]] = defaultdict(list)
    for one in hours:
        if one.owned:
            by_sku[one.share.sku].append(one)
    for sku, those in by_sku.items():
        paid = _paid(lines, sku)
        of_pool = [part.period for part in _of_pool(those[0].share.pool, parts)]
        existed = sum(owning.devices[sku].device_ms(*period) for period in of_pool)
        open_to_all = open_ms(Fraction(existed), those)
        own: defaultdict[str, set[str]] = defaultdict(set)
        for one in those:
            own[one.share.account] |= one.share.everyone
        for one in those:
            theirs: defaultdict[LineKey, Fraction] = defaultdict(Fraction)
            for (account, at), device_ms in paid.items():
                if account not in own[one.share.account]:
                    theirs[at] += device_ms
            over = max(open_to_all, sum(theirs.values(), NIL))
            for at, device_ms in theirs.items():
                price = Fraction(at.unit_price) * one.share.guests_pay_owner
                if price and one.unused:
                    decimal = exact_decimal(price, PRICE_DECIMALS)
                    where = _whose(owning, one.share, at.start_ms, GUEST, decimal)
                    yield Entry(*where, -device_ms * one.unused / over)


def _paid(lines: Lines, sku: str) -> dict[tuple[str, LineKey], Fraction]:
    """By account and price: the hours of a SKU that are left to pay."""
    sums: defaultdict[tuple[str, LineKey], Fraction] = defaultdict(Fraction)
    for (_, account), found in lines.items():
        for what, device_ms in left_to_pay(found).items():
            if what.sku == sku:
                sums[account, what._replace(user="")] += device_ms
    return sums


def _of_pool(pool: str, parts: Parts) -> list[Priced]:
    return [part for (name, _), part in sorted(parts.items(), key=lambda one: one[0]) if name == pool]


def _whose(owning: Owning, share: Share, start_ms: int, kind: str, price: Decimal) -> tuple[Owner, LineKey]:
    """A line of the owner's account, and of no user."""
    key = LineKey(share.pool, share.sku, "", start_ms, kind, owning.text(share), price)
    return (owning.cluster, share.account), key
