from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.cards import Card, card_at, refusals, segments
from slurm_gpucost.costing.periods import Period, month

KOLKATA = ZoneInfo("Asia/Kolkata")
OCTOBER = month("2026-10", KOLKATA)
HOUR = 3_600_000


def card(effective_ms: int, version: int = 1) -> Card:
    return Card("main", version, effective_ms, "EUR", {"a100": Decimal(version)})


def test_a_price_that_changes_within_the_month_cuts_it_there() -> None:
    middle = OCTOBER.start_ms + 10 * 24 * HOUR
    made = segments([card(middle, 2), card(OCTOBER.start_ms - HOUR)], OCTOBER)
    assert [(part.period.start_ms, part.period.end_ms, part.card and part.card.version) for part in made] == [
        (OCTOBER.start_ms, middle, 1),
        (middle, OCTOBER.end_ms, 2),
    ]


def test_before_the_first_card_none_holds_and_one_from_the_next_month_on_changes_nothing() -> None:
    (whole,) = segments([card(OCTOBER.end_ms)], OCTOBER)
    assert whole == (OCTOBER, None)


@given(st.lists(st.integers(-50, 800), unique=True), st.integers(0, 743))
def test_each_moment_has_the_card_that_began_last(hours: list[int], moment: int) -> None:
    cards = [card(OCTOBER.start_ms + hour * HOUR, hour) for hour in hours]
    made = segments(cards, OCTOBER)
    assert made[0].period.start_ms == OCTOBER.start_ms and made[-1].period.end_ms == OCTOBER.end_ms
    assert all(one.period.end_ms == other.period.start_ms for one, other in pairwise(made))
    at_ms = OCTOBER.start_ms + moment * HOUR
    (part,) = [part for part in made if part.period.start_ms <= at_ms < part.period.end_ms]
    began = max((hour for hour in hours if hour <= moment), default=None)
    assert (part.card.version if part.card else None) == began
    assert part.card == card_at(cards, at_ms)


def test_cards_begin_on_the_zones_hours_one_after_the_other() -> None:
    published = [card(OCTOBER.start_ms, 3)]
    assert refusals([], "main", "EUR", OCTOBER.start_ms, KOLKATA) == []
    assert refusals(published, "main", "EUR", OCTOBER.start_ms + HOUR, KOLKATA) == []
    (half,) = refusals([], "main", "EUR", OCTOBER.start_ms + HOUR // 2, KOLKATA)
    assert "2026-10-01T00:30:00+05:30 is no full hour of Asia/Kolkata" in half
    for before_ms in (0, HOUR):
        (stands,) = refusals(published, "main", "EUR", OCTOBER.start_ms - before_ms, KOLKATA)
        assert "version 3 holds from 2026-10-01T00:00:00+05:30 on" in stands
    (other,) = refusals(published, "main", "USD", OCTOBER.start_ms + HOUR, KOLKATA)
    assert "published in EUR" in other


def test_a_period_is_what_it_was() -> None:
    assert segments([], Period(0, HOUR, KOLKATA)) == [(Period(0, HOUR, KOLKATA), None)]
