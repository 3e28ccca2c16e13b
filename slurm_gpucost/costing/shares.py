"""Shares: devices of a SKU that an account owns, from a day to a day. Pure, exact."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

from slurm_gpucost.costing.counts import Counts
from slurm_gpucost.costing.exact import keep_exact, number_text
from slurm_gpucost.costing.periods import Period, midnight

NIL = Fraction(0)
FIRST, LAST = date(1970, 1, 1), date(9998, 12, 31)
"""The days that months can be asked of."""


@dataclass(frozen=True)
class Share:
    """So many devices of a SKU are an account's in [from, until), midnights of the pool's zone. A float raises
    TypeError.
    """

    pool: str
    account: str
    """Who owns them, and pays what they cost to operate."""
    sku: str
    devices: Fraction
    from_: date
    until: date | None = None
    """None: for ever."""
    guests_pay_owner: Fraction = NIL
    """0 to 1: the part of what guests pay for hours of the share that its owner gets."""
    accounts: tuple[str, ...] = ()
    """Further accounts whose use is the owner's."""

    def __post_init__(self) -> None:
        keep_exact(self, "devices", "guests_pay_owner")

    @property
    def everyone(self) -> frozenset[str]:
        """The accounts whose use is the owner's."""
        return frozenset((self.account, *self.accounts))

    def holds(self, day: date) -> bool:
        """Whether they are owned on a day."""
        return self.from_ <= day and (self.until is None or day < self.until)

    def meets(self, other: Share) -> bool:
        """Whether there is a day on which both hold."""
        later = max(self.from_, other.from_)
        return self.holds(later) and other.holds(later)


@dataclass(frozen=True)
class Owning:
    """All shares of a site."""

    cluster: str = ""
    """Whose account pays. What an account of that name uses on another cluster is the owner's, too."""
    shares: tuple[Share, ...] = ()
    devices: Mapping[str, Counts] = field(default_factory=dict)
    """How many there are, by SKU."""

    def text(self, share: Share) -> str:
        """What lines call it; one text whatever the day."""
        there = self.devices[share.sku]
        of_all = "" if there.later else f" of {there.first}"
        return f"{number_text(share.devices)}{of_all} devices of {share.account}"


def owned_on(shares: Iterable[Share], sku: str, day: date) -> Fraction:
    """How many devices of a SKU are owned on a day."""
    return sum((one.devices for one in shares if one.sku == sku and one.holds(day)), NIL)


def owned_ms(share: Share, period: Period) -> Fraction:
    """Device-ms of a period that are the owner's; the share's days are of the period's zone."""
    start = max(period.start_ms, midnight(share.from_, period.zone))
    end = period.end_ms if share.until is None else min(period.end_ms, midnight(share.until, period.zone))
    return share.devices * max(end - start, 0)


def faults(shares: Sequence[Share], devices: Mapping[str, Counts], begins: date) -> Iterator[tuple[str, str]]:
    """All faults of a pool's shares: keys like ``1.until``, and one sentence each.

    ``devices``: how many there are, by SKU; ``begins``: the first day that the pool has prices for.
    """
    over = list(_over(shares, devices))
    for n, one in enumerate(shares):
        if one.sku not in devices:
            yield f"{n}.sku", f"'{one.sku}' is no SKU of the pool; there are {', '.join(sorted(devices))}"
        if one.until is not None and one.until <= one.from_:
            yield f"{n}.until", f"{one.until} must come after from, {one.from_}"
        elif one.until is not None and one.until <= max(begins, FIRST):
            yield f"{n}.until", f"no month reaches the share: it ends {one.until}, prices begin {max(begins, FIRST)}"
        elif one.from_ > LAST:
            yield f"{n}.from", f"no month reaches the share: it begins {one.from_}"
        yield from ((f"{n}.devices", sentence) for number, sentence in over if number == n)
        for before, other in enumerate(shares[:n]):
            if other.sku == one.sku and one.meets(other) and (both := one.everyone & other.everyone):
                yield (
                    f"{n}.accounts",
                    f"{', '.join(sorted(both))}: in shares.{before} at the same time, so nobody could say whose "
                    "hours are used first; end that share where this one of all the devices begins",
                )


def _over(shares: Sequence[Share], devices: Mapping[str, Counts]) -> Iterator[tuple[int, str]]:
    """Days on which more is owned than there is, each told of the last share that begins then, else that holds."""
    for sku, counts in devices.items():
        mine = [(n, one) for n, one in enumerate(shares) if one.sku == sku]
        for day in sorted({one.from_ for _, one in mine} | {since for since, _ in counts.later}):
            owned, there = owned_on(shares, sku, day), counts.on(day)
            if owned > there:
                begin = [n for n, one in mine if one.from_ == day]
                yield (
                    max(begin or [n for n, one in mine if one.holds(day)]),
                    (f"{number_text(owned)} of {there} devices would be owned on {day}"),
                )
