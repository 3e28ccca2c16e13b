"""The price of an hour where accounts own devices: by hand, from the golden example of eight devices."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.bands import Band
from slurm_gpucost.costing.capital import Asset
from slurm_gpucost.costing.interest import Interest
from slurm_gpucost.costing.items import CostItem
from slurm_gpucost.costing.pools import Devices, PoolCosts, Source
from slurm_gpucost.costing.rates import Derivation, derive
from slurm_gpucost.costing.register import Capital
from slurm_gpucost.costing.shares import Share
from slurm_gpucost.costing.tariff import Tariff, Version

F = Fraction
OCTOBER = date(2026, 10, 1)
# Eight devices, four of them owned. Operating one costs o = 4,380 a year: 2,190 of staff, and 0.5 kW x 8,760 h x 0.50 =
# 2,190 of energy. Depreciation of one of the institution's four is d = 13,140 / 5 = 2,628 a year. At u = 0.8:
#
#     posted = (4 o + 4 d) / (4 x 8,760 x u) = (17,520 + 10,512) / 28,032 = 1.0000
#     operating price = 8 o / (8 x 8,760) = 0.5000
OURS = Asset("HPC-1", "main", "a100", 4, F(52560), date(2026, 1, 1), F(5), convention="monthly")
THEIRS = replace(OURS, tag="PHYS-1", price=F(60000), owner="physics")
STAFF = CostItem("staff", "staff", F(17520), "year")
HALF = Share("main", "physics", "a100", F(4), date(2026, 1, 1))


def model(*shares: Share, **other: Any) -> PoolCosts:
    made = PoolCosts(
        "main",
        (Devices("a100", 8, F(500), F(35040)),),
        Capital((OURS, THEIRS)),
        (STAFF,),
        F(1),
        Tariff((Version(date.min, (Band(F("0.5")),)),)),
        ZoneInfo("Europe/Berlin"),
        F("0.8"),
        shares=shares,
        sources={"shares:a100": (Source("pools.main.shares.0.devices"),)},
    )
    return replace(made, **other)


def derived(*shares: Share, **other: Any) -> Derivation:
    return derive(model(*shares, **other), "a100", OCTOBER, "EUR")


def steps(made: Derivation) -> dict[str, Fraction]:
    return {step.label: step.value for step in made.steps}


def test_four_of_eight_devices_step_by_step() -> None:
    made = derived(HALF)
    by_hand = {
        "Depreciation of HPC-1": F(10512),
        "Depreciation of PHYS-1": F(0),
        "Annual cost": F(45552),  # 8 o + 4 d
        "Operating cost": F(35040),  # 8 o
        "Operating price": F("0.5"),
        "Owned devices": F(4),
        "Paid by owners": F(17520),  # 4 o
        "Institution's cost": F(28032),  # 4 o + 4 d
        "Annual capacity": F(35040),  # 4 x 8,760
        "Planned GPU-hours": F(28032),
        "Rate": F(1),
        "Posted price": F(1),
    }
    assert {label: steps(made)[label] for label in by_hand} == by_hand
    assert (str(made.posted), str(made.operating), str(made.annual_cost)) == ("1.0000", "0.5000", "28032")
    told = {step.label: step for step in made.steps}
    assert told["Depreciation of PHYS-1"].formula == "60000, bought by physics: no depreciation"
    assert told["Owned devices"].sources == (Source("pools.main.shares.0.devices"),)
    assert told["Rate"].formula == "institution's cost / planned GPU-hours"
    assert told["Annual capacity"].formula == "(devices - owned devices) x 8760 h"


def test_where_all_are_owned_only_guests_pay_the_price() -> None:
    # 8 o / (8 x 8,760 x 0.8) = 0.625; nobody is charged the institution's depreciation then, and that is said.
    made = derived(replace(HALF, devices=F(8)))
    assert (str(made.posted), str(made.operating)) == ("0.6250", "0.5000")
    assert made.notes == ("all devices are owned: 10512.00 EUR/year of capital are in no price",)
    assert derived(replace(HALF, devices=F(8)), capital=Capital((THEIRS,))).notes == ()


@pytest.mark.parametrize(("start", "until"), [(date(2026, 10, 2), None), (date(2026, 1, 1), OCTOBER)])
def test_a_share_that_does_not_hold_on_the_day_changes_no_price(start: date, until: date | None) -> None:
    # (8 o + 4 d) / (8 x 8,760 x 0.8) = 45,552 / 56,064; the owner's days of other months still have a price
    made = derived(replace(HALF, from_=start, until=until))
    assert (str(made.posted), str(made.operating)) == ("0.8125", "0.5000")
    assert steps(made)["Owned devices"] == 0
    later = derive(model(replace(HALF, from_=date(2026, 10, 2))), "a100", OCTOBER, "EUR", date(2026, 10, 2))
    assert str(later.posted) == "1.0000", "published from that day on"


def test_without_shares_nothing_is_said_of_them() -> None:
    for shares in ((), (replace(HALF, sku="h100"),)):
        made = derived(*shares)
        assert made.operating is None
        assert not {"Operating cost", "Operating price", "Owned devices"} & steps(made).keys()
        assert steps(made)["Rate"] == F(45552, 56064)


@pytest.mark.parametrize(
    ("denominator", "hours", "posted"),
    [("planned", 28032, "1.0000"), ("capacity", 35040, "0.8000"), ("budgeted", 17520, "1.6000")],
)
def test_the_declared_hours_are_those_of_the_institutions_devices(denominator: str, hours: int, posted: str) -> None:
    made = derived(HALF, denominator=denominator)
    assert str(made.posted) == posted
    (spread,) = [step for step in made.steps if step.label.endswith("GPU-hours")]
    assert spread.value == hours
    if denominator == "budgeted":
        assert spread.formula == "budgeted_hours x (devices - owned devices) / devices"


def test_what_is_paid_to_lenders_is_no_operating_cost() -> None:
    loan = Interest("loan", F(3650), date(2026, 1, 1), date(2027, 1, 1))
    made = derived(HALF, capital=Capital((OURS, THEIRS), interest=(loan,)))
    assert str(made.operating) == "0.5000"
    assert steps(made)["Annual cost"] == 45552 + 3650
    recovered = derived(HALF, capital=Capital((OURS, THEIRS), recovery_rate=F("0.05")))
    assert str(recovered.operating) == "0.5000"
    assert steps(recovered)["Depreciation of PHYS-1"] == 0 < steps(recovered)["Depreciation of HPC-1"]


def test_energy_that_is_billed_as_measured_is_in_neither_price() -> None:
    # 2,190 / 8,760, and (4 x 2,190 + 4 x 2,628) / 28,032 = 0.6875
    made = derived(HALF, rate_parts=2)
    assert (str(made.operating), str(made.posted)) == ("0.2500", "0.6875")


def test_no_planned_hours_are_refused() -> None:
    with pytest.raises(ValueError, match="no budgeted GPU-hours"):
        derived(HALF, devices=(Devices("a100", 8, F(500)),), denominator="budgeted")


@given(st.fractions(0, 8, max_denominator=4), st.fractions(F(1, 10), 1, max_denominator=100))
def test_owners_and_planned_hours_together_recover_the_annual_cost(owned: Fraction, plan: Fraction) -> None:
    shares = (replace(HALF, devices=owned),) if owned else ()
    made = derived(*shares, planned_utilization=plan)
    sold = made.rate * made.capacity_hours * plan
    if owned < 8:
        assert sold + owned * 4380 == 45552
    else:
        assert sold == 8 * 4380
