from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.showback import CARRIERS, INSTITUTION, OWNERS, USERS, Shown, shown

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
    with pytest.raises(ValueError, match="write institution, users or owners"):
        shown(F(1), F(1), {}, "nobody")


def test_owners_carry_what_they_left_unused_and_the_institution_the_rest() -> None:
    # 100 for 10 hours, of which 4 were held: 60 are idle. Of 8 hours that were open 2 were of the lab's share and 1 of
    # ann's: 15 and 7.5 of the 60; what ann held stands beside what she carries.
    unused = {"lab": F(2), "ann": F(1)}
    made = shown(F(100), F(10), {"ann": F(3), "bob": F(1)}, OWNERS, unused, F(8))
    assert _plain(made) == (10, {"ann": F("37.5"), "bob": 10, "lab": 15}, F("37.5"))
    made = shown(F(100), F(10), {}, OWNERS, unused, F(10))
    assert _plain(made) == (None, {"lab": 20, "ann": 10}, 70)
    for carrier in (INSTITUTION, USERS):
        assert shown(F(100), F(10), {"ann": F(4)}, carrier, unused, F(8)) == shown(
            F(100), F(10), {"ann": F(4)}, carrier
        )
    assert shown(F(100), F(10), {"ann": F(4)}, OWNERS) == shown(F(100), F(10), {"ann": F(4)}, INSTITUTION)


@given(
    st.fractions(0, 10**6),
    st.fractions(0, 100),
    st.dictionaries(st.sampled_from("abc"), st.fractions(0, 60)),
    st.sampled_from(CARRIERS),
    st.dictionaries(st.sampled_from("cde"), st.fractions(0, 60)),
    st.fractions(0, 60),
)
def test_all_of_the_cost_is_somewhere_and_nobody_gets_any_back(
    cost: Fraction, existed: Fraction, held: dict[str, Fraction], carrier: str, unused: dict[str, Fraction], ours: F
) -> None:
    made = shown(cost, existed, held, carrier, unused, ours + sum(unused.values(), F(0)))
    assert sum(made.amounts.values(), F(0)) + made.kept == cost
    assert made.kept >= 0
    assert all(amount >= 0 for amount in made.amounts.values())
