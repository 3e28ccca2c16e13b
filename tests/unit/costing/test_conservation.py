"""The balance against amounts made up device-hour by device-hour, each with its own price."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.allotment import largest_remainder, round_half_up
from slurm_gpucost.costing.conservation import Line, Time, Use, balance

STATES = ("attributed", "waived", "idle", "unavailable", "orphan", "unattributed")
HOURS = st.lists(st.tuples(st.sampled_from(["a100", "h100"]), st.sampled_from(STATES)), min_size=1, max_size=60)
MONEY = st.decimals(0, 100_000, places=2).map(Fraction)


@given(HOURS, MONEY, MONEY, st.decimals(0, 10, places=4))
def test_every_hour_of_every_device_is_in_one_term(
    hours: list[tuple[str, str]], a100: Fraction, h100: Fraction, price: Decimal
) -> None:
    costs = {"a100": a100, "h100": h100}
    count = Counter(hours)
    times, uses, exact = {}, [], []
    for sku in {sku for sku, _ in hours}:
        said = {state: Fraction(count[sku, state]) for state in STATES}
        held = said["attributed"] + said["waived"]
        times[sku] = Time(
            sum(said.values(), Fraction(0)), held, said["idle"], said["unavailable"], said["orphan"],
            said["unattributed"],
        )  # fmt: skip
        for _ in range(count[sku, "attributed"]):
            uses.append(Use(sku, Fraction(1), Fraction(1), Fraction(price)))
            exact.append(Fraction(price))
        uses.append(Use(sku, said["waived"], said["waived"], Fraction(0)))
    cents = [(n, 100 * amount) for n, amount in enumerate(exact)]
    amounts = largest_remainder(cents, round_half_up(sum((100 * amount for amount in exact), Fraction(0))))
    lines = [Line(Fraction(amount, 100), one) for amount, one in zip(amounts, exact, strict=True)]
    made = balance(costs, times, uses, lines)
    there = {sku: cost for sku, cost in costs.items() if sku in times}
    assert made.unexplained_cost == sum(costs.values()) - sum(there.values()), "what has no device has no term"
    assert made.unexplained_charge == 0
    assert abs(made.rounding) <= Fraction(1, 200), "lines are rounded so that their total is, once"
    per_hour = {sku: cost / sum(count[sku, state] for state in STATES) for sku, cost in there.items()}
    assert made.idle == sum(per_hour[sku] for sku, state in hours if state == "idle")
    assert made.attributed == sum(per_hour[sku] for sku, state in hours if state in ("attributed", "waived"))


@pytest.mark.parametrize("lost", ["attributed", "idle", "unavailable", "orphan", "unattributed"])
def test_a_lost_hour_of_any_kind_is_missed(lost: str) -> None:
    hours = dict.fromkeys(("attributed", "idle", "unavailable", "orphan", "unattributed"), Fraction(2))
    whole = Time(Fraction(10), **hours)
    assert balance({"a": Fraction(100)}, {"a": whole}, [], []).unexplained_cost == 0
    less = Time(Fraction(10), **{**hours, lost: Fraction(1)})
    assert balance({"a": Fraction(100)}, {"a": less}, [], []).unexplained_cost == 10


def test_a_lost_line_and_one_that_nobody_used_are_missed() -> None:
    times = {"a": Time(Fraction(4), attributed=Fraction(4))}
    uses = [Use("a", Fraction(1), Fraction(1), Fraction(3)), Use("a", Fraction(3), Fraction(3), Fraction(3))]
    one, other = Line(Fraction(3), Fraction(3)), Line(Fraction(9), Fraction(9))
    assert balance({"a": Fraction(8)}, times, uses, [one, other]).unexplained_charge == 0
    assert balance({"a": Fraction(8)}, times, uses, [one]).unexplained_charge == -9
    assert balance({"a": Fraction(8)}, times, uses, [one, other, one]).unexplained_charge == 3
