from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.free import (
    ACCOUNT,
    AMOUNT,
    CHEAPEST,
    DEAREST,
    HOURS,
    SHARE,
    USER,
    Free,
    Line,
    Used,
    faults,
    owed,
    rerated,
    used,
)

HOUR = 3_600_000
ZERO = Fraction(0)


def line(user: str, hours: Any, price: Any = 1, sku: str = "a100") -> Line:
    return Line((sku, user), user, sku, Fraction(hours) * HOUR, Fraction(price))


def taken(found: list[Used]) -> dict[Any, str]:
    return {(u.free, *u.key): f"{u.device_ms / HOUR} h, {u.amount}" for u in found}


def test_boston_university_takes_over_100_dollars_a_month() -> None:
    # nerc-docs, billing-process-for-bu.md: "$100 per month of an investigator's total usage"; CCI-MOC/nerc-rates,
    # BU Subsidy 100. Here of NERC's own two examples, 360.60 and 46.80, and of both together.
    subsidy = [Free("subsidy", Fraction(100), AMOUNT, USER)]
    gpu, cpu = line("pi", 200, "1.803"), line("pi", 5 * 720, "0.013", sku="cpu")
    assert sum(owed([gpu], subsidy).values()) == Fraction("260.60")
    assert sum(owed([cpu], subsidy).values()) == 0
    assert sum(owed([gpu, cpu], subsidy).values()) == Fraction("307.40")


def test_per_account_all_get_the_same_part_per_user_each_has_it() -> None:
    lines = [line("ann", 6), line("bob", 6), line("cem", 12)]
    assert taken(used(lines, [Free("f", Fraction(10))])) == {
        ("f", "a100", "ann"): "5/2 h, 5/2",
        ("f", "a100", "bob"): "5/2 h, 5/2",
        ("f", "a100", "cem"): "5 h, 5",
    }
    lines[2] = line("cem", 6)
    assert owed(lines, [Free("f", Fraction(5), per=USER)]) == {("a100", user): 1 for user in ("ann", "bob", "cem")}


def test_the_declared_order_decides_which_hours_are_free() -> None:
    lines = [line("ann", 10, 4, sku="h100"), line("ann", 10, 2), line("ann", 10, 3, sku="l40")]

    def left(order: str) -> Any:
        return sum(owed(lines, [Free("f", Fraction(15), order=order)]).values())

    assert (left(SHARE), left(DEAREST), left(CHEAPEST)) == (45, 15 + 20, 40 + 15)
    # As an amount it is the same to pay in any order; what is free then differs in hours.
    amounts = [Free("f", Fraction(15), AMOUNT, order=order) for order in (SHARE, DEAREST, CHEAPEST)]
    assert {sum(owed(lines, [free]).values()) for free in amounts} == {90 - 15}
    hours = [sum(u.device_ms / HOUR for u in used(lines, [free])) for free in amounts]
    assert hours == [30 * Fraction(15, 90), Fraction(15, 4), Fraction(15, 2)]


def test_allotments_are_used_up_one_after_the_other_for_their_skus() -> None:
    lines = [line("ann", 10, 4, sku="h100"), line("bob", 10, 2)]
    found = used(lines, [Free("old ones", Fraction(4), skus=("a100",)), Free("credit", Fraction(30), AMOUNT)])
    assert taken(found) == {
        ("old ones", "a100", "bob"): "4 h, 8",
        ("credit", "a100", "bob"): "45/13 h, 90/13",
        ("credit", "h100", "ann"): "75/13 h, 300/13",
    }
    assert owed(lines, []) == {("h100", "ann"): 40, ("a100", "bob"): 20}


def test_what_costs_nothing_uses_nothing_up() -> None:
    assert owed([line("ann", 5, 0, sku="old"), line("ann", 5, 2)], [Free("f", Fraction(5))]) == {
        ("old", "ann"): 0,
        ("a100", "ann"): 0,
    }


def test_a_late_fact_moves_what_was_free_and_only_the_difference_is_charged() -> None:
    free = [Free("f", Fraction(10))]
    before = [line("ann", 8, 2), line("bob", 8, 2)]
    charged = owed(before, free)
    assert charged == {("a100", "ann"): 6, ("a100", "bob"): 6}
    # A job of cem's is told of after the close: its 16 hours get half of what is free.
    late = [*before, line("cem", 16, 2)]
    assert rerated(charged, late, free) == {("a100", "ann"): 5, ("a100", "bob"): 5, ("a100", "cem"): 22}
    assert rerated(owed(late, free), late, free) == {}
    # And a job that was taken back gives the hours back.
    assert rerated(owed(late, free), before, free) == {
        ("a100", "ann"): -5, ("a100", "bob"): -5, ("a100", "cem"): -22,
    }  # fmt: skip
    assert rerated({("a100", "dan"): Fraction(3)}, [], free) == {("a100", "dan"): -3}


def test_a_float_or_less_than_nothing_raises() -> None:
    good = line("ann", 1)
    for wrong in (good._replace(device_ms=1.0), good._replace(price=0.5)):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="must be an int"):
            used([wrong], [])
    with pytest.raises(TypeError, match="quantity must be an int or a Fraction, not float"):
        used([good], [Free("f", 0.5)])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is less than nothing"):
        owed([line("ann", -1)], [])


def test_all_faults_at_once() -> None:
    assert faults([Free("a", Fraction(1)), Free("b", Fraction(1), AMOUNT, USER, DEAREST)]) == []
    assert faults([Free("a", Fraction(1)), Free("a", Fraction(0), "hours", "group", "size"), Free("", 0.5)]) == [  # type: ignore[arg-type]
        ("1.name", "an allotment before is called 'a' already"),
        ("1.quantity", "the quantity 0 is not above 0"),
        ("1.unit", "'hours' is none of gpu_hours, amount"),
        ("1.per", "'group' is none of account, user"),
        ("1.order", "'size' is none of share, dearest, cheapest"),
        ("2.name", "an allotment needs a name: invoices show it"),
        ("2.quantity", "the quantity must be exact, not a float"),
    ]


LINES = st.lists(
    st.builds(
        line,
        st.sampled_from("abc"),
        st.integers(0, 6),
        st.integers(0, 4),
        st.sampled_from(["x", "y"]),
    ),
    max_size=6,
)
FREES = st.lists(
    st.builds(
        Free,
        st.sampled_from(["f", "g"]),
        st.integers(1, 12).map(Fraction),
        st.sampled_from([HOURS, AMOUNT]),
        st.sampled_from([ACCOUNT, USER]),
        st.sampled_from([SHARE, DEAREST, CHEAPEST]),
        st.sampled_from([(), ("x",)]),
    ),
    max_size=3,
)


@given(LINES, FREES)
def test_what_is_free_is_what_giving_it_out_bit_by_bit_gives(lines: list[Line], frees: list[Free]) -> None:
    """Oracle: prices are given out one after the other, and what all lines of a price want is cut by one factor."""
    to_pay: list[list[Any]] = [[one.user, one.sku, one.price, one.device_ms / HOUR] for one in lines if one.price]
    for free in frees:
        for who in sorted({one[0] for one in to_pay}) if free.per == USER else [None]:
            mine = [one for one in to_pay if who in (None, one[0]) and (not free.skus or one[1] in free.skus)]
            purse = free.quantity
            prices = sorted({one[2] for one in mine}, reverse=free.order == DEAREST)
            for group in [prices] if free.order == SHARE else [[price] for price in prices]:
                those = [one for one in mine if one[2] in group]
                wants = sum((one[3] * (one[2] if free.unit == AMOUNT else 1) for one in those), ZERO)
                gives = min(wants, purse)
                for one in those:
                    one[3] -= one[3] * gives / wants if wants else 0
                purse -= gives
    assert sum(owed(lines, frees).values(), ZERO) == sum((one[2] * one[3] for one in to_pay), ZERO)


@given(LINES, LINES, FREES, st.randoms())
def test_rerating_is_the_difference_of_totals_in_any_order(
    first: list[Line], late: list[Line], frees: list[Free], random: Any
) -> None:
    everything = [*first, *late]
    random.shuffle(everything)
    charged = owed(first, frees)
    added = rerated(charged, everything, frees)
    after = {key: charged.get(key, ZERO) + added.get(key, ZERO) for key in {*charged, *added}}
    final = owed([*first, *late], frees)
    assert {key: amount for key, amount in after.items() if amount} == {k: v for k, v in final.items() if v}
    # Told one by one, with a closing after each, it comes to the same.
    charged, known = {}, []
    for one in everything:
        known.append(one)
        for key, amount in rerated(charged, known, frees).items():
            charged[key] = charged.get(key, ZERO) + amount
    assert {key: amount for key, amount in charged.items() if amount} == {k: v for k, v in final.items() if v}


@given(LINES, FREES, st.integers(2, 5), st.randoms())
def test_splitting_lines_changes_nothing(lines: list[Line], frees: list[Free], pieces: int, random: Any) -> None:
    split = [one._replace(device_ms=one.device_ms / pieces) for one in lines for _ in range(pieces)]
    random.shuffle(split)
    assert owed(split, frees) == owed(lines, frees)
    assert used(split, frees) == used(lines, frees)


@given(LINES, FREES)
def test_nobody_owes_less_than_nothing_and_no_allotment_gives_more_than_it_has(
    lines: list[Line], frees: list[Free]
) -> None:
    assert all(amount >= 0 for amount in owed(lines, frees).values())
    for free in frees[:1]:
        gave = [u.amount if free.unit == AMOUNT else u.device_ms / HOUR for u in used(lines, [free])]
        holders = len({one.user for one in lines}) if free.per == USER else 1
        assert sum(gave) <= free.quantity * holders
