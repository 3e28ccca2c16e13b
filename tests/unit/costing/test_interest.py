from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.capital import Asset
from slurm_gpucost.costing.interest import Interest, capital_recovery, interest, recovery, recovery_factor
from slurm_gpucost.domain.units import decimal_text

F = Fraction
RATES = st.fractions(0, F(1, 2), max_denominator=1000)
LOAN = Interest("loan", F(365), date(2026, 1, 1), date(2027, 1, 1), "Bank", "contract 7")
DATES = st.dates(date(2025, 6, 1), date(2027, 6, 1))


def test_the_factor_at_5_percent_over_5_years() -> None:
    """The factor (A/P, 5 %, 5) of tables of discrete compounding, which print it as 0.2310 or 0.23097."""
    assert decimal_text(recovery_factor(F(5, 100), 5), 9) == "0.230974798"
    assert decimal_text(capital_recovery(300_000, 0, F(5, 100), 5), 2) == "69292.44"


def test_without_interest_it_is_straight_line() -> None:
    assert capital_recovery(300_000, 0, 0, 5) == 60_000
    assert capital_recovery(300_000, 50_000, 0, 5) == 50_000


@given(RATES, st.integers(1, 30), st.integers(0, 10**6), st.integers(0, 100))
def test_the_payments_pay_the_debt_down_to_the_residual(rate: Fraction, years: int, price: int, percent: int) -> None:
    residual = F(price * percent, 100)
    payment = capital_recovery(price, residual, rate, years)
    debt = F(price)
    for _ in range(years):
        debt = debt * (1 + rate) - payment
    assert debt == residual


@given(st.integers(1, 300), st.integers(1, 30))
def test_the_factor_as_decimal_floating_point_has_it(permille: int, years: int) -> None:
    with localcontext() as context:
        context.prec = 60
        i = Decimal(permille) / 1000
        expected = i / (1 - (1 + i) ** -years)
        exact = recovery_factor(F(permille, 1000), years)
        assert abs(Decimal(exact.numerator) / Decimal(exact.denominator) - expected) < Decimal("1e-40")


@pytest.mark.parametrize(
    ("rate", "years", "says"),
    [(F(-1, 100), 5, "negative"), (F(5, 100), F("4.5"), "whole years"), (F(5, 100), 0, "whole years")],
)
def test_what_has_no_factor_is_refused(rate: Fraction, years: Fraction, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        capital_recovery(1000, 0, rate, years)


def test_floats_raise() -> None:
    with pytest.raises(TypeError, match="rate"):
        recovery_factor(0.05, 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="price"):
        capital_recovery(300_000.0, 0, F(5, 100), 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="amount"):
        replace(LOAN, amount=1.5)  # type: ignore[arg-type]


def test_each_year_of_the_life_recovers_the_same() -> None:
    machine = Asset("T1", "main", "", 1, F(300_000), date(2026, 1, 1), F(5), convention="monthly")
    years = [recovery(machine, F(5, 100), date(y, 1, 1), date(y + 1, 1, 1)) for y in range(2025, 2032)]
    assert years == [0, *[capital_recovery(300_000, 0, F(5, 100), 5)] * 5, 0]
    sold = replace(machine, residual=F(30_000))
    assert recovery(sold, F(5, 100), date(2027, 1, 1), date(2028, 1, 1)) == capital_recovery(
        300_000, 30_000, F(5, 100), 5
    )
    owned = replace(machine, federal_share=F(1, 4), retired=date(2027, 1, 1), at_retirement="stop")
    years = [recovery(owned, F(5, 100), date(y, 1, 1), date(y + 1, 1, 1)) for y in range(2025, 2032)]
    assert [decimal_text(year, 2) for year in years if year] == ["51969.33"]  # 69,292.44 x 3/4, and then nothing
    assert years[1] and not any(years[2:])


@given(st.lists(DATES, min_size=2, max_size=6).map(sorted))
def test_documented_interest_is_365_over_365_days(cuts: list[date]) -> None:
    parts = [interest([LOAN], a, b) for a, b in pairwise(cuts)]
    inside = sum(
        date(2026, 1, 1) <= cuts[0] + timedelta(days=n) < date(2027, 1, 1) for n in range((cuts[-1] - cuts[0]).days)
    )
    assert sum(parts, F(0)) == inside
