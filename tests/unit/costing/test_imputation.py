from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.imputation import Nameplate, Observed, Power, power

PLATE = Nameplate(Fraction(700), Fraction(3, 5))
QUANTITIES = st.integers(1, 10**15)


def test_the_mean_of_the_same_sku_goes_before_the_nameplate() -> None:
    # 900 kJ in 50 minutes of h100s: 300 W. a100s do not count.
    seen = {"h100": Observed(900_000_000, 3_000_000), "a100": Observed(1, 10**9)}
    assert power(seen, "h100", PLATE) == Power(Fraction(300), "mean-power-of-sku")


@pytest.mark.parametrize("seen", [{}, {"h100": Observed(0, 0)}, {"a100": Observed(1, 1)}])
def test_the_nameplate_times_the_load_factor_where_nothing_was_measured(seen: dict[str, Observed]) -> None:
    assert power(seen, "h100", PLATE) == Power(Fraction(420), "nameplate-x-load-factor")


def test_measured_zero_is_a_measurement() -> None:
    assert power({"h100": Observed(0, 5)}, "h100", PLATE) == Power(Fraction(0), "mean-power-of-sku")


@given(QUANTITIES, QUANTITIES, st.lists(st.fractions(0, 10**9), min_size=1, max_size=6))
def test_the_unmeasured_draw_together_what_so_much_measured_time_draws(
    energy: int, time: int, unmeasured: list[Fraction]
) -> None:
    watts = power({"h100": Observed(energy, time)}, "h100", PLATE).watts
    assert isinstance(watts, Fraction)
    assert sum(watts * one for one in unmeasured) * time == energy * sum(unmeasured)


def test_without_either_rule_it_is_refused_with_what_to_state() -> None:
    with pytest.raises(
        ValueError, match="h100: nothing was measured in the period; state its nameplate_watts and a load"
    ):
        power({}, "h100", None)


@pytest.mark.parametrize("plate", [Nameplate(Fraction(-1), Fraction(1)), Nameplate(Fraction(1), Fraction(11, 10))])
def test_a_nameplate_that_makes_no_sense_is_refused(plate: Nameplate) -> None:
    with pytest.raises(ValueError, match="load_factor is between 0 and 1"):
        power({}, "h100", plate)


def test_what_is_negative_or_a_float_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be negative"):
        power({"h100": Observed(-5, 10)}, "h100", PLATE)
    for seen, plate in (
        ({"h100": Observed(0.5, 10)}, PLATE),  # type: ignore[arg-type]
        ({"h100": Observed(5, 10.0)}, PLATE),  # type: ignore[arg-type]
        ({}, Nameplate(Fraction(700), 0.6)),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match="not float"):
            power(seen, "h100", plate)
