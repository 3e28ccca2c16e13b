"""The oracle is the cost model's worked example, calculated by hand; the page itself is checked against the code."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.rates import Asset, PoolCosts, derive, end_of_life

F = Fraction
# 4 devices of 15,000, 5 years, 2,000 left; 800 W; PUE 1.5; 0.20 a kWh; 70 %; 6,000 of staff over 10 devices.
A100 = Asset("a100", 4, F(15000), date(2024, 3, 1), F(5), F(2000), F(800))
COSTS = PoolCosts("main", F("1.5"), F("0.2"), F("0.7"), [("staff", F(6000))], 10)
BY_HAND = {
    "Depreciation": F(10400),  # 4 x 13,000 / 5
    "Energy drawn": F(42048),  # 4 x 0.8 kW x 8,760 h x 1.5
    "Energy": F("8409.6"),  # x 0.20
    "Staff": F(2400),  # 6,000 x 4 / 10
    "Annual cost": F("21209.6"),
    "Annual capacity": F(35040),
    "Planned GPU-hours": F(24528),
    "Rate": F(212096, 245280),
    "Posted price": F("0.8647"),  # 0.864709...
}


def test_the_worked_example_step_by_step() -> None:
    derivation = derive(A100, COSTS, date(2026, 10, 1), "EUR")
    steps = {step.label: step.value for step in derivation.steps}
    assert {label: steps[label] for label in BY_HAND} == BY_HAND
    assert (str(derivation.posted), derivation.rate) == ("0.8647", BY_HAND["Rate"])


def test_the_page_for_finance_shows_these_figures() -> None:
    page = (Path(__file__).parents[3] / "docs" / "cost-model.md").read_text(encoding="utf-8")
    for label, value in BY_HAND.items():
        digits = {"Rate": 6, "Posted price": 4}.get(label, 2)
        shown = f"{Decimal(value.numerator) / Decimal(value.denominator):,.{digits}f}"
        assert f"| {shown} |" in page, label


def test_every_cost_names_the_settings_it_comes_from() -> None:
    steps = {step.label: step.sources for step in derive(A100, COSTS, date(2026, 10, 1), "EUR").steps}
    assert "pools.main.skus.a100.purchase_price" in steps["Depreciation"]
    assert "pools.main.skus.a100.nameplate_watts" in steps["Energy drawn"]
    assert steps["Energy"] == ("pools.main.tariff_per_kwh",)
    assert "pools.main.yearly_costs.staff" in steps["Staff"]
    assert steps["Planned GPU-hours"] == ("pools.main.planned_utilization",)


@pytest.mark.parametrize(
    ("first_day", "depreciation"), [(date(2029, 2, 1), 10400), (date(2029, 3, 1), 0), (date(2030, 1, 1), 0)]
)
def test_a_written_off_device_bears_no_depreciation_and_it_is_said(first_day: date, depreciation: int) -> None:
    derivation = derive(A100, COSTS, first_day, "EUR")
    step = next(s for s in derivation.steps if s.label == "Depreciation")
    assert step.value == depreciation
    assert bool(derivation.notes) == (depreciation == 0)
    assert ("2029-03-01" in step.formula) == (depreciation == 0)


@pytest.mark.parametrize(
    ("bought", "years", "end"),
    [
        (date(2024, 3, 1), F(5), date(2029, 3, 1)),
        (date(2024, 10, 15), F("4.5"), date(2029, 4, 15)),
        (date(2024, 2, 29), F(1), date(2025, 2, 28)),
    ],
)
def test_end_of_life(bought: date, years: Fraction, end: date) -> None:
    assert end_of_life(replace(A100, purchase_date=bought, life_years=years)) == end


@given(st.integers(2024, 2028), st.integers(1, 12))
def test_no_month_of_the_life_is_dearer_than_another(year: int, month: int) -> None:
    assert derive(A100, COSTS, date(year, month, 1), "EUR").rate == BY_HAND["Rate"]


@given(st.fractions(F(1, 10), 1, max_denominator=1000), st.integers(1, 5000))
def test_selling_all_planned_hours_recovers_the_annual_cost(plan: Fraction, devices: int) -> None:
    costs = replace(COSTS, planned_utilization=plan, pool_devices=devices)
    derivation = derive(replace(A100, devices=devices), costs, date(2026, 1, 1), "EUR")
    annual = F(devices) * (F(13000, 5) + F("0.8") * 8760 * F("1.5") * F("0.2")) + 6000
    assert derivation.rate * devices * 8760 * plan == annual
    assert 2 * abs(F(derivation.posted) - derivation.rate) <= F(1, 10_000)


@given(st.integers(1, 500), st.integers(1, 500))
def test_yearly_costs_are_shared_without_rest(mine: int, others: int) -> None:
    costs = replace(COSTS, pool_devices=mine + others)
    made = [derive(replace(A100, devices=n), costs, date(2026, 1, 1), "EUR") for n in (mine, others)]
    parts = [next(step.value for step in d.steps if step.label == "Staff") for d in made]
    assert sum(parts, F(0)) == 6000


def test_the_posted_price_rounds_a_half_up() -> None:
    # 8,760 h x 1 device x 100 %: a yearly cost of 0.438 makes 0.00005 an hour.
    free = replace(A100, devices=1, purchase_price=F(0), residual_value=F(0), nameplate_watts=F(0))
    costs = PoolCosts("main", F(1), F(0), F(1), [("all", F("0.438"))], 1)
    assert derive(free, costs, date(2026, 1, 1), "EUR").posted == Decimal("0.0001")
