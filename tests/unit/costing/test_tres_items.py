from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction as F

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.tres import MAX, SUM, Prices, hourly
from slurm_gpucost.costing.tres_bill import Item, frozen, items, thawed, told, unit_of
from slurm_gpucost.costing.tres_text import allocated, billing_weights

NAMES = ("cpu", "mem", "gres/gpu", "gres/gpu:a100", "license/a")
PRICE = st.decimals(0, 20, places=3).map(F)
GROUP = st.dictionaries(st.sampled_from(NAMES), PRICE, max_size=4)
PRICES = st.builds(
    Prices,
    st.lists(GROUP, max_size=3).map(tuple),
    st.sampled_from([SUM, MAX]),
    GROUP,
    st.booleans(),
    PRICE,
)
TRES = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 5000).map(F))


@given(TRES, PRICES)
def test_lines_add_up_to_the_hour(tres: dict[str, F], prices: Prices) -> None:
    made = items(tres, prices)
    assert sum((one.quantity * F(one.price) for one in made), F(0)) == hourly(tres, prices).amount
    if prices.truncate:
        assert {(one.tres, one.quantity.denominator) for one in made} <= {("billing", 1)}


@given(PRICES)
def test_what_is_published_is_read_as_it_was(prices: Prices) -> None:
    said = json.loads(json.dumps(frozen(prices)))
    assert thawed(said) == prices
    assert told(thawed(said)) == told(prices)


def test_the_group_that_counts_is_on_lines_and_what_is_not_held_is_not() -> None:
    prices = Prices(({"gres/gpu": F("0.12"), "cpu": F("0.03")}, {"mem": F("0.004")}), MAX, {"license/a": F(1)})
    assert items(allocated("cpu=4,gres/gpu=2,mem=480G"), prices) == (Item("mem", F(480), Decimal("0.004")),)
    assert items(allocated("cpu=4,mem=1G,license/a=2"), prices) == (
        Item("cpu", F(4), Decimal("0.03")),
        Item("license/a", F(2), Decimal(1)),
    )
    assert items({}, prices) == ()


@pytest.mark.parametrize(
    ("tres", "unit"),
    [
        ("cpu", "cpu-hours"), ("mem", "GB-hours"), ("bb/datawarp", "GB-hours"), ("node", "node-hours"),
        ("billing", "billing-hours"), ("gres/gpu", "GPU-hours"), ("gres/gpu:a100", "GPU-hours"),
        ("gres/shard", "shard-hours"), ("license/matlab", "licence-hours"),
    ],
)  # fmt: skip
def test_units(tres: str, unit: str) -> None:
    assert unit_of(tres) == unit


def test_a_list_as_people_read_it() -> None:
    groups = ({"gres/gpu": F("0.12"), "cpu": F("0.03")}, {"mem": F("0.004")})
    assert told(Prices(groups, MAX)) == "max(gres/gpu x 0.12 + cpu x 0.03, mem x 0.004)"
    assert told(Prices(groups)) == "gres/gpu x 0.12 + cpu x 0.03 + mem x 0.004"
    assert told(Prices(groups[1:], MAX, {"license/a": F(2)})) == "max(mem x 0.004) + license/a x 2"
    assert told(Prices((), MAX, {"license/a": F(2)})) == "license/a x 2"
    weights = billing_weights("CPU=1,Mem=0.25G", "MAX_TRES")._replace(unit_price=F("0.5"))
    assert told(weights) == "(max(cpu x 1, mem x 0.25)), in whole units, x 0.5 a unit"
