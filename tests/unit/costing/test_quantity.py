from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.allotment import largest_remainder, round_half_up
from slurm_gpucost.costing.quantity import ATTEMPT, LINE, Billed, Piece, Rounding, billable_ms, faults, line_ms

HOUR = 3_600_000
MINUTE = 60_000
OFF = Rounding()
ZERO, ONE, HALF = Fraction(0), Fraction(1), Fraction(1, 2)
WHOLE_HOURS = Rounding(LINE, HOUR)


def piece(start: int, end: int, devices: Fraction | int = 1, factor: Fraction | int = 1) -> Piece:
    return Piece(start, end, Fraction(devices), Fraction(factor))


def total(billed: list[Billed]) -> Fraction:
    return sum((b.device_ms + b.added for b in billed), ZERO)


def cents(device_ms: Fraction, price: str) -> int:
    return round_half_up(device_ms / HOUR * Fraction(price) * 100)


def test_nerc_rounds_the_months_total_up_and_not_each_job() -> None:
    # https://nerc-project.github.io/nerc-docs/get-started/cost-billing/how-pricing-works/: "199.2hrs ... rounded up"
    # to 200 h x 1.803 = $360.60; pods "summed up to project level rounded up to the whole hour".
    jobs = [[piece(n * HOUR, n * HOUR + 1_195_200 * 3)] for n in range(200)]  # 0.996 h each
    month = sum((total(billable_ms(job, WHOLE_HOURS)) for job in jobs), ZERO)
    assert month == Fraction("199.2") * HOUR
    assert line_ms(month, WHOLE_HOURS) == 200 * HOUR
    assert cents(line_ms(month, WHOLE_HOURS), "1.803") == 360_60
    # 600 jobs of 0.332 h are the same hours; each rounded for itself would be three times as many.
    jobs = [[piece(n * HOUR, n * HOUR + 1_195_200)] for n in range(600)]
    assert line_ms(sum((total(billable_ms(job, WHOLE_HOURS)) for job in jobs), ZERO), WHOLE_HOURS) == 200 * HOUR
    assert sum((total(billable_ms(job, Rounding(ATTEMPT, HOUR))) for job in jobs), ZERO) == 600 * HOUR


def test_nerc_h100_before_and_after_its_price_fell() -> None:
    # CCI-MOC/nerc-rates, rates.yaml: GPUH100 SU Rate 6.04 until 2025-05 (that month included), 4 from 2025-06.
    may, june = (line_ms(total(billable_ms([piece(0, 10 * HOUR)], WHOLE_HOURS)), WHOLE_HOURS) for _ in range(2))
    assert cents(may, "6.04") + cents(june, "4.00") == 100_40


def test_cents_of_equal_lines_and_of_halves() -> None:
    # 81.02 over 81 equal lines, 1.01 over a lease cut in two: no line needs rounding of its hours for that.
    lines = [(n, total(billable_ms([piece(0, HOUR)], OFF)) / HOUR * Fraction(8102, 81)) for n in range(81)]
    assert largest_remainder(lines, 8102) == [101, 101] + [100] * 79
    halves = billable_ms([piece(0, HOUR // 2), piece(HOUR // 2, HOUR)], OFF)
    assert largest_remainder([(n, b.device_ms / HOUR * 101) for n, b in enumerate(halves)], 101) == [51, 50]


def test_a_minimum_is_booked_where_the_attempt_ends() -> None:
    # 20 minutes across the end of a month, 2 devices in the first and 3 in the last part; at least an hour.
    month_end = 10 * MINUTE
    pieces = [piece(0, month_end, 2), piece(month_end, 20 * MINUTE, 2), piece(month_end, 20 * MINUTE)]
    billed = billable_ms(pieces, Rounding(ATTEMPT, MINUTE, HOUR))
    assert [b.device_ms for b in billed] == [20 * MINUTE, 20 * MINUTE, 10 * MINUTE]
    assert [b.added for b in billed] == [0, 2 * 40 * MINUTE, 40 * MINUTE]
    assert billable_ms(pieces, Rounding(ATTEMPT, MINUTE, HOUR), ended=False) == billable_ms(pieces, OFF)


def test_waived_time_is_not_rounded_and_takes_nothing_of_the_minimum() -> None:
    hourly = Rounding(ATTEMPT, HOUR, HOUR)
    assert billable_ms([piece(0, 5 * MINUTE, factor=0)], hourly) == [Billed(ZERO, ZERO)]
    assert billable_ms([piece(7, 7)], hourly) == [Billed(ZERO, ZERO)]
    assert billable_ms([], hourly) == []
    # Nor has a holding of no length a part in what is added.
    assert total(billable_ms([piece(0, HOUR // 2), piece(HOUR // 2, HOUR // 2, 5)], hourly)) == HOUR
    # Half an hour billed, then an outage: the minimum's other half is booked where the billed time ended.
    pieces = [piece(0, HOUR // 2), piece(HOUR // 2, 3 * HOUR, factor=0)]
    assert billable_ms(pieces, hourly) == [Billed(Fraction(HOUR, 2), Fraction(HOUR, 2)), Billed(ZERO, ZERO)]


@pytest.mark.parametrize(("ms", "seconds"), [(1, 60), (60_000, 60), (60_001, 120), (120_000, 120), (149_999, 180)])
def test_steps_of_a_minute_with_a_minimum_of_one(ms: int, seconds: int) -> None:
    assert total(billable_ms([piece(5, 5 + ms)], Rounding(ATTEMPT, MINUTE, MINUTE))) == seconds * 1000


def test_a_line_of_nothing_costs_no_minimum_and_a_share_is_rounded_as_what_it_is() -> None:
    least = Rounding(LINE, MINUTE, HOUR)
    assert line_ms(ZERO, least) == 0
    assert line_ms(Fraction(1, 7), least) == HOUR
    assert line_ms(Fraction(1, 7), Rounding(ATTEMPT, MINUTE, HOUR)) == Fraction(1, 7)
    assert line_ms(HOUR + Fraction(1, 7), least) == HOUR + MINUTE


@pytest.mark.parametrize(
    "wrong",
    [Piece(0, 1, 0.5, ONE), Piece(0, 1, ONE, 1.0), Piece(0.0, 1, ONE, ONE), Piece(True, 1, ONE, ONE)],  # type: ignore[arg-type]
)
def test_a_float_raises(wrong: Piece) -> None:
    with pytest.raises(TypeError, match="must be an int"):
        billable_ms([wrong], OFF)
    with pytest.raises(TypeError, match="must be an int"):
        line_ms(1.5, OFF)  # type: ignore[arg-type]


def test_all_faults_at_once() -> None:
    assert faults(OFF) == faults(WHOLE_HOURS) == faults(Rounding(ATTEMPT, MINUTE, HOUR)) == []
    assert faults(Rounding("job", 0, -1)) == [
        ("per", "'job' is neither attempt nor line; leave it out for no rounding"),
        ("step_ms", "0 is no whole number of milliseconds from 1 on"),
        ("minimum_ms", "-1 is no whole number of milliseconds from 0 on"),
    ]
    assert faults(Rounding(step_ms=HOUR)) == [("per", "say what is rounded: attempt or line")]
    assert faults(Rounding(ATTEMPT, 0.5)) == [("step_ms", "0.5 is no whole number of milliseconds from 1 on")]  # type: ignore[arg-type]


PIECES = st.lists(
    st.builds(
        lambda start, length, devices, factor: Piece(start, start + length, devices, factor),
        st.integers(-50, 50),
        st.integers(0, 40),
        st.fractions(0, 4, max_denominator=8),
        st.sampled_from([ZERO, HALF, ONE]),
    ),
    max_size=6,
)
ROUNDINGS = st.builds(Rounding, st.sampled_from(["", ATTEMPT]), st.integers(1, 30), st.integers(0, 60))


def cut(pieces: list[Piece], at: int, random: Any) -> list[Piece]:
    """Each piece in two at that moment, or side by side into two holdings; in any order."""
    found: list[Piece] = []
    for one in pieces:
        if one.start_ms < at < one.end_ms:
            found += [one._replace(end_ms=at), one._replace(start_ms=at)]
        else:
            found += [one._replace(devices=one.devices / 3), one._replace(devices=one.devices * 2 / 3)]
    random.shuffle(found)
    return found


@given(PIECES, st.integers(-50, 90), st.randoms())
def test_without_rounding_splitting_changes_nothing(pieces: list[Piece], at: int, random: Any) -> None:
    assert total(billable_ms(cut(pieces, at, random), OFF)) == total(billable_ms(pieces, OFF))
    assert all(b.added == 0 for b in billable_ms(pieces, OFF))


@given(PIECES, ROUNDINGS, st.integers(-50, 90), st.randoms())
def test_an_attempt_is_rounded_once_however_it_is_cut(
    pieces: list[Piece], rounding: Rounding, at: int, random: Any
) -> None:
    assert total(billable_ms(cut(pieces, at, random), rounding)) == total(billable_ms(pieces, rounding))


@given(PIECES, ROUNDINGS)
def test_rounding_is_what_counting_every_millisecond_gives(pieces: list[Piece], rounding: Rounding) -> None:
    """Oracle: the rate of holding at each millisecond; the attempt goes on as in its last billed one."""
    rate: Counter[int] = Counter()
    for one in pieces:
        for ms in range(one.start_ms, one.end_ms):
            rate[ms] += one.devices * one.factor  # type: ignore[assignment]
    billed = sorted(ms for ms, devices in rate.items() if devices)
    expected: Any = sum(rate.values())
    if billed and rounding.per:
        duration = len(billed)
        while duration < rounding.minimum_ms or duration % rounding.step_ms:
            duration += 1
        expected += rate[billed[-1]] * (duration - len(billed))
    assert total(billable_ms(pieces, rounding)) == expected
