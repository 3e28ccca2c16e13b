from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.allotment import largest_remainder, round_half_up

AMOUNTS = st.lists(st.fractions(min_value=0, max_value=10_000, max_denominator=10_000), min_size=1, max_size=30)


def shares(amounts: list[Fraction]) -> list[int]:
    return largest_remainder(list(enumerate(amounts)), round_half_up(sum(amounts, Fraction(0))))


def test_81_equal_lines_of_81_02_get_two_extra_cents() -> None:
    cents = shares([Fraction(8102, 81)] * 81)
    assert cents == [101, 101] + [100] * 79


def test_two_halves_of_1_01_are_0_51_and_0_50() -> None:
    assert shares([Fraction(101, 2)] * 2) == [51, 50]


def test_a_half_is_rounded_away_from_zero() -> None:
    assert [round_half_up(Fraction(n, 2)) for n in (-3, -1, 0, 1, 3)] == [-2, -1, 0, 1, 2]


@given(st.decimals(min_value=-1_000_000, max_value=1_000_000, places=4))
def test_rounding_is_what_decimal_calls_half_up(value: Decimal) -> None:
    with localcontext() as context:
        context.prec = 40
        assert round_half_up(Fraction(value)) == int(value.quantize(Decimal(1), ROUND_HALF_UP))


@given(AMOUNTS)
def test_parts_add_up_and_none_is_off_by_a_unit(amounts: list[Fraction]) -> None:
    parts = shares(amounts)
    assert 2 * abs(sum(parts) - sum(amounts, Fraction(0))) <= 1
    assert all(abs(part - amount) < 1 for part, amount in zip(parts, amounts, strict=True))
    assert all(part == a for part, a in zip(parts, amounts, strict=True) if a.denominator == 1)


@given(AMOUNTS)
def test_no_smaller_remainder_gets_the_unit_that_a_larger_one_misses(amounts: list[Fraction]) -> None:
    raised = [a - a.__floor__() for a, p in zip(amounts, shares(amounts), strict=True) if p > a]
    lowered = [a - a.__floor__() for a, p in zip(amounts, shares(amounts), strict=True) if p < a]
    assert not raised or not lowered or min(raised) >= max(lowered)


@given(AMOUNTS, st.randoms())
def test_the_order_of_the_lines_does_not_matter(amounts: list[Fraction], random: object) -> None:
    keyed = list(enumerate(amounts))
    total = round_half_up(sum(amounts, Fraction(0)))
    expected = {key: part for (key, _), part in zip(keyed, largest_remainder(keyed, total), strict=True)}
    random.shuffle(keyed)  # type: ignore[attr-defined]
    assert {k: p for (k, _), p in zip(keyed, largest_remainder(keyed, total), strict=True)} == expected
