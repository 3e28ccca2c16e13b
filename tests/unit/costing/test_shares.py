"""Shares: which devices are owned when, and everything that can be wrong with them."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.counts import Counts
from slurm_gpucost.costing.periods import Period, month
from slurm_gpucost.costing.shares import Owning, Share, faults, owned_ms, owned_on

F = Fraction
BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3_600_000
ALWAYS = date.min


def share(account: str = "physics", devices: Any = 4, start: str = "2026-01-01", **other: Any) -> Share:
    given = {"pool": "main", "sku": "a100", **other}
    return Share(account=account, devices=F(devices), from_=date.fromisoformat(start), **given)


def test_hours_of_a_share_begin_and_end_at_midnight_of_the_pools_zone() -> None:
    # The clock goes back on 25 October 2026: that day has 25 hours.
    october = month("2026-10", BERLIN)
    assert owned_ms(share(), october) == 4 * 745 * HOUR
    assert owned_ms(share(start="2026-10-25", until=date(2026, 10, 26)), october) == 4 * 25 * HOUR
    assert owned_ms(share(start="2026-10-31", devices="2.5"), october) == 60 * HOUR
    assert owned_ms(share(start="2026-11-01"), october) == owned_ms(share(until=date(2026, 10, 1)), october) == 0


@given(st.dates(date(2026, 9, 1), date(2026, 12, 1)), st.integers(0, 120), st.integers(0, 1000))
def test_a_cut_of_the_time_changes_no_hours(start: date, days: int, part: int) -> None:
    whole = month("2026-10", BERLIN)
    middle = whole.start_ms + (whole.end_ms - whole.start_ms) * part // 1000
    one = share(start=start.isoformat(), until=start + timedelta(days + 1))
    halves = Period(whole.start_ms, middle, BERLIN), Period(middle, whole.end_ms, BERLIN)
    assert owned_ms(one, whole) == sum(owned_ms(one, half) for half in halves)


def test_what_is_owned_on_a_day() -> None:
    those = [share(until=date(2026, 3, 1)), share("bio", "2.5", "2026-02-01"), share(sku="h100", devices=1)]
    owned = {
        day: owned_on(those, "a100", date.fromisoformat(day)) for day in ("2025-12-31", "2026-02-28", "2026-03-01")
    }
    assert owned == {"2025-12-31": 0, "2026-02-28": F("6.5"), "2026-03-01": F("2.5")}


def test_lines_say_how_much_of_what_is_whose() -> None:
    assert Owning("c", (), {"a100": Counts(8)}).text(share(devices="2.5")) == "2.5 of 8 devices of physics"


def test_a_float_is_refused() -> None:
    with pytest.raises(TypeError, match="devices must be an int or a Fraction, not float"):
        Share("main", "physics", "a100", 2.5, date(2026, 1, 1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("those", "found"),
    [
        ([share(), share("bio", start="2026-06-01")], []),
        ([share(sku="h100")], [("0.sku", "'h100' is no SKU of the pool; there are a100")]),
        ([share(until=date(2026, 1, 1))], [("0.until", "2026-01-01 must come after from, 2026-01-01")]),
        (
            [share(), share("bio", "4.5", "2026-06-01")],
            [("1.devices", "8.5 of 8 devices would be owned on 2026-06-01")],
        ),
        ([share("bio", "4.5", "2026-06-01"), share(until=date(2026, 6, 1))], []),
        (
            [share("bio", "4.5", "2025-06-01"), share(until=date(2026, 6, 1))],
            [("1.devices", "8.5 of 8 devices would be owned on 2026-01-01")],
        ),
        (
            [share(accounts=("astro", "x")), share("astro", start="2026-03-01", accounts=("y", "x"))],
            [
                (
                    "1.accounts",
                    "astro, x: in shares.0 at the same time, so nobody could say whose hours are used first; end that "
                    "share where this one of all the devices begins",
                )
            ],
        ),
        ([share(until=date(2026, 3, 1)), share(start="2026-03-01")], []),
        ([share(), share(start="2026-02-01", until=date(2026, 2, 1))], [("1.until", None)]),
        ([share(start="2026-02-01", until=date(2026, 2, 1)), share()], [("0.until", None)]),
        ([share(start="1960-01-01", until=date(1969, 1, 1))], [("0.until", None)]),
        ([share(start="9999-01-01")], [("0.from", "no month reaches the share: it begins 9999-01-01")]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(those: list[Share], found: list[tuple[str, str | None]]) -> None:
    made = list(faults(those, {"a100": Counts(8)}, ALWAYS))
    assert [key for key, _ in made] == [key for key, _ in found]
    assert all(sentence in (told, None) for (_, told), (_, sentence) in zip(made, found, strict=True))


def test_a_share_that_ends_before_the_first_price_is_reached_by_no_month() -> None:
    one = share(until=date(2026, 6, 1))
    assert list(faults([one], {"a100": Counts(8)}, date(2026, 5, 31))) == []
    assert list(faults([one], {"a100": Counts(8)}, date(2026, 6, 1))) == [
        ("0.until", "no month reaches the share: it ends 2026-06-01, prices begin 2026-06-01")
    ]


DAYS = st.dates(date(2026, 1, 1), date(2026, 2, 10))
SHARES = st.lists(
    st.builds(
        lambda account, devices, start, length: share(
            account, F(devices, 2), start.isoformat(), until=start + timedelta(length) if length else None
        ),
        st.sampled_from("abc"), st.integers(1, 12), DAYS, st.integers(0, 30),
    ),
    max_size=5,
)  # fmt: skip


@given(SHARES, st.lists(st.tuples(DAYS, st.integers(1, 12)), max_size=2, unique_by=lambda one: one[0]))
def test_there_is_no_fault_exactly_where_every_day_is_well(those: list[Share], later: list[tuple[date, int]]) -> None:
    """Oracle: every day is looked at by itself."""
    there = Counts(8, tuple(sorted(later)))
    ill = False
    for n in range(80):
        day = date(2026, 1, 1) + timedelta(n)
        hold = [one for one in those if one.from_ <= day and (one.until is None or day < one.until)]
        count = [8, *(devices for since, devices in sorted(later) if since <= day)][-1]
        ill |= sum(one.devices for one in hold) > count or len({one.account for one in hold}) < len(hold)
    assert bool(list(faults(those, {"a100": there}, ALWAYS))) == ill
