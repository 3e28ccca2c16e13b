from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.showback import CARRIERS, INSTITUTION, USERS, Shown, shown

F = Fraction


def _plain(made: Shown) -> Any:
    return made.unit, dict(made.amounts), made.kept


def test_by_hand() -> None:
    # 100 for 10 hours that existed, of which 4 were held: 10 an hour, or 25 where users carry what was idle.
    made = shown(F(100), F(10), {"ann": F(3), "bob": F(1)}, INSTITUTION)
    assert _plain(made) == (10, {"ann": 30, "bob": 10}, 60)
    made = shown(F(100), F(10), {"ann": F(3), "bob": F(1)}, USERS)
    assert _plain(made) == (25, {"ann": 75, "bob": 25}, 0)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_what_nobody_held_nobody_is_shown(carrier: str) -> None:
    made = shown(F(100), F(10), {}, carrier)
    assert _plain(made) == (None, {}, 100)


def test_an_unknown_carrier_is_refused() -> None:
    with pytest.raises(ValueError, match="write institution or users"):
        shown(F(1), F(1), {}, "owners")


@given(
    st.fractions(0, 10**6),
    st.fractions(0, 100),
    st.dictionaries(st.sampled_from("abc"), st.fractions(0, 60)),
    st.sampled_from(CARRIERS),
)
def test_all_of_the_cost_is_somewhere_and_nobody_gets_any_back(
    cost: Fraction, existed: Fraction, held: dict[str, Fraction], carrier: str
) -> None:
    made = shown(cost, existed, held, carrier)
    assert sum(made.amounts.values(), F(0)) + made.kept == cost
    assert made.kept >= 0
    assert all(amount >= 0 for amount in made.amounts.values())
