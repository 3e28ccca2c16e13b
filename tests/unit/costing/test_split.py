from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.split import faults, shares, split
from slurm_gpucost.domain.units import decimal_text

F = Fraction
WEIGHTS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3), st.fractions(0, 10**6, max_denominator=1000), min_size=1, max_size=12
).filter(lambda weights: any(weights.values()))
DECIMALS = st.none() | st.integers(0, 6)


def test_uw_madison_schedule_vii() -> None:
    """UW-Madison, Procedure 403.A, Appendix 1, Schedule VII: www.bussvc.wisc.edu/acct/policy/rpa/calc/rpa2app7.html."""
    hours = {"A": F(4278), "B": F(4685)}
    by_hours = shares(hours, decimals=1)
    assert by_hours == {"A": F("0.477"), "B": F("0.523")}  # 4,278 / 8,963 = 47.7295... %
    lines = {
        "Autoclave": (900, by_hours),
        "Controller": (8000, by_hours),
        "Microscope": (1125, shares({"A": F(100), "B": F(0)})),
        "Server": (1700, shares({"A": F(20), "B": F(80)})),
    }
    parts = {name: split(amount, taken) for name, (amount, taken) in lines.items()}
    assert {name: (part["A"], part["B"]) for name, part in parts.items()} == {
        "Autoclave": (F("429.30"), F("470.70")),
        "Controller": (3816, 4184),
        "Microscope": (1125, 0),
        "Server": (340, 1360),
    }
    totals = {dept: sum((part[dept] for part in parts.values()), F(0)) for dept in hours}
    assert totals == {"A": F("5710.30"), "B": F("6014.70")}
    assert sum(totals.values()) == 11_725
    rates = {dept: totals[dept] / hours[dept] for dept in hours}
    assert [decimal_text(rate, 3) for rate in rates.values()] == ["1.335", "1.284"]
    # The schedule rounds twice, 1.33481 to 1.335 to 1.34. Rounded once it is 1.33, which is what we would post.
    assert [decimal_text(F(decimal_text(rate, 3)), 2) for rate in rates.values()] == ["1.34", "1.28"]
    assert [decimal_text(rate, 2) for rate in rates.values()] == ["1.33", "1.28"]


def test_thirds_total_a_hundred_percent() -> None:
    assert shares({"c": F(1), "a": F(1), "b": F(1)}, 1) == {"c": F("0.333"), "a": F("0.334"), "b": F("0.333")}
    assert shares({"c": F(1), "a": F(1), "b": F(1)}) == dict.fromkeys("abc", F(1, 3))


@given(WEIGHTS, DECIMALS)
def test_shares_total_one_and_none_is_off_by_a_unit(weights: dict[str, Fraction], decimals: int | None) -> None:
    total = sum(weights.values(), F(0))
    found = shares(weights, decimals)
    assert list(found) == list(weights)
    assert sum(found.values(), F(0)) == 1
    for taker, share in found.items():
        unit = F(0) if decimals is None else F(1, 100 * 10**decimals)
        assert share == weights[taker] / total or abs(share - weights[taker] / total) < unit
        assert decimals is None or (share / unit).denominator == 1
        assert weights[taker] or not share


@given(WEIGHTS, DECIMALS, st.randoms(use_true_random=False), st.fractions(F(1, 100), 100, max_denominator=100))
def test_neither_order_nor_unit_of_the_weights_matters(
    weights: dict[str, Fraction], decimals: int | None, random: object, unit: Fraction
) -> None:
    mixed = [(taker, weight * unit) for taker, weight in weights.items()]
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert shares(dict(mixed), decimals) == shares(weights, decimals)


@given(WEIGHTS, DECIMALS, st.fractions(-(10**9), 10**9, max_denominator=10**4))
def test_the_parts_total_the_amount(weights: dict[str, Fraction], decimals: int | None, amount: Fraction) -> None:
    assert sum(split(amount, shares(weights, decimals)).values(), F(0)) == amount


@pytest.mark.parametrize(
    ("key", "weights", "decimals", "found"),
    [
        ("fixed", {"a": F(60), "b": F("39.9")}, None, [("", "the percentages total 99.9 %, not 100 %")]),
        ("fixed", {"a": F(60), "b": F(41)}, None, [("", "the percentages total 101 %, not 100 %")]),
        ("fixed", {"a": F(60), "b": F(40)}, None, []),
        ("fixed", {"a": F(120), "b": F(-20)}, None, [("b", "a share cannot be negative (-20)")]),
        ("count", {}, None, [("", "there is nobody to share the cost")]),
        ("count", {"a": F(0)}, None, [("", "the shares total nothing, so nobody would bear the cost")]),
        ("weight", {"a": F(1)}, -1, [("key", ""), ("decimals", "-1 must be 0 to 9")]),
    ],
)
def test_faults(key: str, weights: dict[str, Fraction], decimals: int | None, found: list[tuple[str, str]]) -> None:
    got = list(faults(key, weights, decimals))
    assert [k for k, _ in got] == [k for k, _ in found]
    assert all(said == expected for (_, said), (_, expected) in zip(got, found, strict=True) if expected)


@pytest.mark.parametrize(
    ("weights", "decimals", "says"),
    [({}, None, "nobody to share"), ({"a": F(0)}, None, "total nothing"), ({"a": F(-1), "b": F(2)}, 1, "negative")],
)
def test_what_has_no_shares_is_refused(weights: dict[str, Fraction], decimals: int | None, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        shares(weights, decimals)


def test_what_cannot_be_split_raises() -> None:
    with pytest.raises(TypeError, match="the weight of a"):
        shares({"a": 0.5})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="amount"):
        split(1.5, {"a": F(1)})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="total 1"):
        split(1, {"a": F(1, 2)})
