"""The oracle is the cost model's worked example, calculated by hand; the page itself is checked against the code."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.bands import Band
from slurm_gpucost.costing.capital import Asset
from slurm_gpucost.costing.items import CostItem
from slurm_gpucost.costing.pools import Devices, PoolCosts, Source, parts, yearly
from slurm_gpucost.costing.rates import Derivation
from slurm_gpucost.costing.rates import derive as derive_rate
from slurm_gpucost.costing.register import Capital
from slurm_gpucost.costing.tariff import Tariff, Version

F = Fraction
# 4 devices of 15,000, 5 years, 2,000 left; 800 W; PUE 1.5; 0.20 a kWh; 70 %; 6,000 of staff over 10 devices.
BOUGHT = Asset("a100", "main", "a100", 4, F(60000), date(2024, 3, 1), F(5), F(8000), convention="monthly")
STAFF = CostItem("staff", "staff", F(6000), "year")


def model(**other: Any) -> PoolCosts:
    made = PoolCosts(
        "main",
        (Devices("a100", 4, F(800)), Devices("other", 6, F(0))),
        Capital((BOUGHT,)),
        (STAFF,),
        F("1.5"),
        Tariff((Version(date.min, (Band(F("0.2")),)),)),
        ZoneInfo("Europe/Berlin"),
        F("0.7"),
        sources={
            "asset:a100": (Source("pools.main.skus.a100.purchase_price"),),
            "item:staff": (Source("pools.main.yearly_costs.staff"),),
            "tariff": (Source("pools.main.tariff_per_kwh"),),
        },
    )
    return replace(made, **other)


def derive(first_day: date, costs: PoolCosts | None = None) -> Derivation:
    return derive_rate(costs or model(), "a100", first_day, "EUR")


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
    derivation = derive(date(2026, 10, 1))
    steps = {step.label: step.value for step in derivation.steps}
    assert {label: steps[label] for label in BY_HAND} == BY_HAND
    assert (str(derivation.posted), derivation.rate) == ("0.8647", BY_HAND["Rate"])


def test_every_cost_names_the_settings_it_comes_from() -> None:
    steps = {step.label: [source.key for source in step.sources] for step in derive(date(2026, 10, 1)).steps}
    assert steps["Depreciation"] == ["pools.main.skus.a100.purchase_price"]
    assert "pools.main.skus.a100.nameplate_watts" in steps["Energy drawn"]
    assert steps["Energy"] == ["pools.main.tariff_per_kwh"]
    assert steps["Staff"] == ["pools.main.yearly_costs.staff"]
    assert steps["Planned GPU-hours"] == ["pools.main.planned_utilization"]


@pytest.mark.parametrize(
    ("first_day", "depreciation"), [(date(2029, 2, 1), 10400), (date(2029, 3, 1), 0), (date(2030, 1, 1), 0)]
)
def test_a_written_off_device_bears_no_depreciation_and_it_is_said(first_day: date, depreciation: int) -> None:
    derivation = derive(first_day)
    step = next(s for s in derivation.steps if s.label == "Depreciation")
    assert step.value == depreciation
    assert [("written off since 2029-03-01" in note) for note in derivation.notes] == [True] * (depreciation == 0)


@pytest.mark.parametrize("first_day", [date(2020, 1, 1), date(2024, 2, 29)])
def test_before_it_was_bought_the_price_is_the_same_and_the_date_is_doubted(first_day: date) -> None:
    derivation = derive(first_day)
    assert derivation.rate == BY_HAND["Rate"]
    assert ["bought (2024-03-01); check that date" in note for note in derivation.notes] == [True]


@given(st.dates(date(2024, 3, 1), date(2029, 2, 28)))
def test_no_month_of_the_life_is_dearer_than_another(first_day: date) -> None:
    assert derive(first_day).rate == BY_HAND["Rate"]


@given(st.fractions(F(1, 10), 1, max_denominator=1000), st.integers(1, 5000))
def test_selling_all_planned_hours_recovers_the_annual_cost(plan: Fraction, count: int) -> None:
    bought = replace(BOUGHT, quantity=count, price=count * BOUGHT.price / 4, residual=count * BOUGHT.residual / 4)
    costs = model(planned_utilization=plan, devices=(Devices("a100", count, F(800)),), capital=Capital((bought,)))
    derivation = derive(date(2026, 1, 1), costs)
    annual = F(count) * (F(13000, 5) + F("0.8") * 8760 * F("1.5") * F("0.2")) + 6000
    assert derivation.rate * count * 8760 * plan == annual
    assert 2 * abs(F(derivation.posted) - derivation.rate) <= F(1, 10_000)


COUNTS = st.integers(1, 500)


@given(COUNTS, COUNTS, st.sampled_from(["count", "power"]), st.sampled_from([None, 1]))
def test_what_skus_share_is_split_without_rest(mine: int, others: int, key: str, decimals: int | None) -> None:
    both = (Devices("a100", mine, F(800)), Devices("other", others, F(300)))
    room = Asset("racks", "main", "", 1, F(50000), date(2024, 1, 1), F(10), convention="monthly")
    costs = model(devices=both, capital=Capital((room,)), key=key, decimals=decimals)
    found = [{part.label: part.amount for part in yearly(costs, one.sku, date(2026, 1, 1))} for one in both]
    assert sum(one["Staff"] for one in found) == 6000
    assert sum(one["Depreciation of racks"] for one in found) == 5000
    if key == "power" and decimals is None:
        assert found[0]["Staff"] == F(6000 * 800 * mine, 800 * mine + 300 * others)


def test_what_is_listed_by_purchase_price_is_split_by_it() -> None:
    dear = Asset("h100", "main", "other", 6, F(180_000), date(2024, 1, 1), F(5), convention="monthly")
    costs = model(capital=Capital((BOUGHT, dear)), key="price")
    assert next(p.amount for p in yearly(costs, "a100", date(2026, 1, 1)) if p.label == "Staff") == 6000 * F(60, 240)


@given(st.dates(date(2023, 1, 1), date(2031, 1, 1)), st.integers(0, 800), st.integers(0, 800))
def test_the_cost_of_a_time_is_that_of_its_parts(start: date, first: int, then: int) -> None:
    middle, end = start + timedelta(first), start + timedelta(first + then)
    whole = [part.amount for part in parts(model(), "a100", start, end)]
    split = zip(parts(model(), "a100", start, middle), parts(model(), "a100", middle, end), strict=True)
    assert whole == [one.amount + other.amount for one, other in split]


def test_the_posted_price_rounds_a_half_up() -> None:
    # 8,760 h x 1 device x 100 %: a yearly cost of 0.438 makes 0.00005 an hour.
    costs = model(
        devices=(Devices("a100", 1, F(0)),),
        capital=Capital(()),
        items=(CostItem("all", "other", F("0.438"), "year"),),
        pue=F(1), planned_utilization=F(1),
    )  # fmt: skip
    assert derive(date(2026, 1, 1), costs).posted == Decimal("0.0001")
