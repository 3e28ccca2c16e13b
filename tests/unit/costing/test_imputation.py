from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.hosts import Held
from slurm_gpucost.costing.imputation import Imputed, Nameplate, Observed, impute, imputed_windows, power

PLATE = Nameplate(Fraction(700), Fraction(3, 5))
QUANTITIES = st.integers(1, 10**15)


def test_the_mean_of_the_same_sku_goes_before_the_nameplate() -> None:
    # 900 kJ in 50 minutes of h100s: 300 W. a100s do not count.
    seen = {"h100": Observed(900_000_000, 3_000_000), "a100": Observed(1, 10**9)}
    assert impute(seen, 60_000, "h100", PLATE) == Imputed(Fraction(18_000_000), "mean-power-of-sku")


def test_the_nameplate_times_the_load_factor_where_nothing_was_measured() -> None:
    # 700 W x 0.6 for a minute.
    for seen in ({}, {"h100": Observed(0, 0)}, {"a100": Observed(1, 1)}):
        assert impute(seen, 60_000, "h100", PLATE) == Imputed(Fraction(25_200_000), "nameplate-x-load-factor")


def test_measured_zero_is_a_measurement() -> None:
    assert impute({"h100": Observed(0, 5)}, 1000, "h100", PLATE) == Imputed(Fraction(0), "mean-power-of-sku")


def test_nothing_unmeasured_is_nothing_imputed_and_not_marked() -> None:
    assert impute({}, 0, "h100", None) == Imputed(Fraction(0), "")


@given(QUANTITIES, QUANTITIES, st.lists(st.fractions(0, 10**9), min_size=1, max_size=6))
def test_the_unmeasured_draw_together_what_so_much_measured_time_draws(
    energy: int, time: int, unmeasured: list[Fraction]
) -> None:
    seen = {"h100": Observed(energy, time)}
    parts = [impute(seen, one, "h100", PLATE).energy_mj for one in unmeasured]
    assert sum(parts) * time == energy * sum(unmeasured)
    assert all(isinstance(part, Fraction) for part in parts)


@given(st.sets(st.integers(0, 10**7), min_size=2, max_size=8), st.fractions(Fraction(1, 8), 8))
def test_windows_hold_what_is_imputed_in_all(edges: set[int], gpus: Fraction) -> None:
    seen = {"h100": Observed(7_777, 13)}
    gaps = [Held(low, high, gpus) for low, high in pairwise(sorted(edges))][::2]
    windows = list(imputed_windows(gaps, power(seen, "h100", PLATE)))
    assert [(one.start_ms, one.end_ms) for one in windows] == [(gap.start_ms, gap.end_ms) for gap in gaps]
    time = sum((gap.gpus * (gap.end_ms - gap.start_ms) for gap in gaps), Fraction(0))
    assert sum(one.energy_mj for one in windows) == impute(seen, time, "h100", PLATE).energy_mj


def test_without_either_rule_it_is_refused_with_what_to_state() -> None:
    with pytest.raises(
        ValueError, match="h100: nothing was measured in the period; state its nameplate_watts and a load"
    ):
        impute({}, 1, "h100")


@pytest.mark.parametrize("plate", [Nameplate(Fraction(-1), Fraction(1)), Nameplate(Fraction(1), Fraction(11, 10))])
def test_a_nameplate_that_makes_no_sense_is_refused(plate: Nameplate) -> None:
    with pytest.raises(ValueError, match="load_factor is between 0 and 1"):
        impute({}, 1, "h100", plate)


def test_what_is_negative_or_a_float_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be negative"):
        impute({"h100": Observed(-5, 10)}, 1, "h100", PLATE)
    with pytest.raises(ValueError, match="cannot be negative"):
        impute({}, -1, "h100", PLATE)
    for seen, time, plate in (
        ({"h100": Observed(0.5, 10)}, 1, PLATE),  # type: ignore[arg-type]
        ({"h100": Observed(5, 10.0)}, 1, PLATE),  # type: ignore[arg-type]
        ({}, 1.0, PLATE),
        ({}, 1, Nameplate(Fraction(700), 0.6)),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match="not float"):
            impute(seen, time, "h100", plate)  # type: ignore[arg-type]
