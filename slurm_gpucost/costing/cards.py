"""Published rates: which price holds when. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from slurm_gpucost.costing.periods import Period, iso
from slurm_gpucost.costing.tres import Prices


@dataclass(frozen=True)
class Card:
    """The posted prices of a pool from a moment on, until the next card of that pool."""

    pool: str
    version: int
    effective_ms: int
    currency: str
    prices: Mapping[str, Decimal]
    """Per GPU-hour, by SKU."""
    rate_parts: int = 1
    """2: these prices bear no energy, which is billed as measured."""
    tres: Prices | None = None
    """By which attempts of the pool are billed instead."""
    operating: Mapping[str, Decimal] = field(default_factory=dict)
    """What operating a device costs an hour, by SKU; of those that had shares when it was published."""


class Segment(NamedTuple):
    """A part of a period in which one card holds; None: before the first one."""

    period: Period
    card: Card | None


def segments(cards: Iterable[Card], period: Period) -> list[Segment]:
    """The period, cut where another card begins to hold. ``cards`` are those of one pool."""
    ordered = sorted(cards, key=lambda card: card.effective_ms)
    holds = [card for card in ordered if card.effective_ms <= period.start_ms]
    later = [card for card in ordered if period.start_ms < card.effective_ms < period.end_ms]
    found: list[Segment] = []
    card = holds[-1] if holds else None
    start = period.start_ms
    for follower in [*later, None]:
        end = follower.effective_ms if follower else period.end_ms
        found.append(Segment(Period(start, end, period.zone), card))
        start, card = end, follower
    return found


def card_at(cards: Iterable[Card], at_ms: int) -> Card | None:
    """The card that holds at a moment."""
    held = [card for card in cards if card.effective_ms <= at_ms]
    return max(held, key=lambda card: card.effective_ms, default=None)


def refusals(cards: Iterable[Card], pool: str, currency: str, effective_ms: int, zone: ZoneInfo) -> list[str]:
    """Why a card cannot be published to hold from then on; nothing where it can."""
    latest = max(cards, key=lambda card: card.effective_ms, default=None)
    found: list[str] = []
    local = datetime.fromtimestamp(effective_ms // 1000, UTC).astimezone(zone)
    if effective_ms % 1000 or local.minute or local.second:
        found.append(
            f"pool {pool}: {iso(effective_ms, zone)} is no full hour of {zone.key}: rates change on clock hours"
        )
    if latest is not None and effective_ms <= latest.effective_ms:
        found.append(
            f"pool {pool}: version {latest.version} holds from {iso(latest.effective_ms, zone)} on, and what is "
            "published stands; choose a later hour"
        )
    if latest is not None and latest.currency != currency:
        found.append(f"pool {pool}: was published in {latest.currency}; a pool's currency does not change")
    return found
