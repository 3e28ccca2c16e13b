from __future__ import annotations

from dataclasses import replace
from datetime import date
from fractions import Fraction

import pytest

from slurm_gpucost.costing.capital import Addition, Asset, depreciation
from slurm_gpucost.costing.interest import Interest, capital_recovery
from slurm_gpucost.costing.register import Capital, charge, faults

F = Fraction
SOUND = Asset("T1", "main", "a100", 8, F(300_000), date(2026, 1, 1), F(5), F(1000))
LOAN = Interest("loan", F(4000), date(2026, 1, 1), date(2027, 1, 1), "Bank", "contract 7")
YEAR = (date(2026, 1, 1), date(2027, 1, 1))


def test_a_sound_register_has_no_faults() -> None:
    fully = replace(
        SOUND,
        tag="T2",
        federal_share=F(1),
        funding="award 7",
        additions=(Addition(date(2027, 1, 1), F(5)),),
        retired=date(2028, 1, 1),
        convention="half-year",
        fiscal_month=7,
    )
    assert faults(Capital((SOUND, fully), "2cfr200", interest=(LOAN,))) == []
    assert faults(Capital((SOUND,), recovery_rate=F(5, 100))) == []


def test_all_faults_of_all_assets_come_in_one_go() -> None:
    bad = Asset(
        tag="",
        pool="",
        sku="",
        quantity=0,
        price=F(-1),
        in_service=date(2026, 1, 1),
        life_years=F(-5),
        residual=F(-2),
        federal_share=F(11, 10),
        convention="weekly",
        fiscal_month=13,
        retired=date(2025, 12, 31),
        at_retirement="spread",
    )
    late = replace(
        SOUND,
        residual=F("300000.01"),
        additions=(
            Addition(date(2031, 1, 1), F(1)),
            Addition(date(2025, 12, 31), F(1)),
            Addition(date(2030, 12, 31), F(0), F(2)),
        ),
    )
    found = faults(Capital((SOUND, bad, late)))
    assert [key for key, _ in found] == [
        *(f"assets.1.{k}" for k in ("tag", "pool", "quantity", "price", "residual", "federal_share", "funding")),
        *(f"assets.1.{k}" for k in ("at_retirement", "retired", "convention", "fiscal_month", "life_years")),
        "assets.2.tag",
        "assets.2.residual",
        *(f"assets.2.additions.{k}" for k in ("0.date", "1.date", "2.amount", "2.federal_share")),
    ]
    said = dict(found)
    assert said["assets.2.tag"] == "'T1' is the tag of assets.0 already; it would be charged twice"
    assert said["assets.2.residual"] == "300000.01 is more than the price, 300000"
    assert said["assets.1.life_years"] == "-5 must be more than 0"
    assert said["assets.1.convention"] == "'weekly' is unknown; write one of daily, monthly, half-year"
    assert "2031-01-01" in said["assets.2.additions.0.date"]


@pytest.mark.parametrize("years", [F(8000), F(10**30)])
@pytest.mark.parametrize("convention", ["daily", "monthly", "half-year"])
def test_a_life_beyond_the_calendar_is_a_fault_and_no_traceback(years: Fraction, convention: str) -> None:
    found = faults(Capital((replace(SOUND, life_years=years, convention=convention),)))
    assert [key for key, _ in found] == ["assets.0.life_years"]


def test_what_was_retired_cannot_grow() -> None:
    thing = replace(SOUND, retired=date(2027, 1, 1), additions=(Addition(date(2027, 1, 1), F(1)),))
    assert [key for key, _ in faults(Capital((thing,)))] == ["assets.0.additions.0.date"]


def test_nothing_is_retired_on_the_day_it_began() -> None:
    assert [key for key, _ in faults(Capital((replace(SOUND, retired=SOUND.in_service),)))] == ["assets.0.retired"]


def test_every_copy_of_a_tag_names_the_first() -> None:
    said = [sentence for _, sentence in faults(Capital((SOUND, SOUND, SOUND)))]
    assert len(said) == 2 and all("the tag of assets.0 already" in sentence for sentence in said)


def test_a_federal_share_names_its_award() -> None:
    assert [key for key, _ in faults(Capital((replace(SOUND, federal_share=F(1, 100)),)))] == ["assets.0.funding"]


def test_2cfr200_takes_documented_external_interest_only() -> None:
    own = replace(LOAN, lender="", document="")
    found = dict(faults(Capital((SOUND,), "2cfr200", F(5, 100), (LOAN, own))))
    assert list(found) == ["recovery_rate", "interest.1.lender", "interest.1.document"]
    assert "200.449" in dict(faults(Capital((), "2cfr200", F(5, 100))))["recovery_rate"]
    assert faults(Capital((SOUND,), "", interest=(own,))) == []


def test_interest_is_not_counted_twice_and_has_a_time_and_a_sign() -> None:
    wrong = replace(LOAN, amount=F(-1), until=LOAN.from_)
    found = faults(Capital((SOUND,), "a21", F(5), (wrong,)))
    assert [key for key, _ in found] == [
        "basis",
        "recovery_rate",
        "recovery_rate",
        "interest.0.amount",
        "interest.0.until",
    ]


def test_capital_recovery_needs_whole_years_and_nothing_that_it_does_not_know() -> None:
    odd = replace(SOUND, life_years=F("4.5"), additions=(Addition(date(2027, 1, 1), F(1)),), retired=date(2028, 1, 1))
    found = faults(Capital((odd,), recovery_rate=F(5, 100)))
    assert [key for key, _ in found] == ["assets.0.life_years", "assets.0.additions", "assets.0.at_retirement"]
    assert faults(Capital((odd,))) == []


def test_a_pool_charges_what_it_declared() -> None:
    assert charge(Capital((SOUND,)), SOUND, *YEAR) == depreciation(SOUND, *YEAR)
    monthly = replace(SOUND, convention="monthly")
    recovering = Capital((monthly,), recovery_rate=F(5, 100))
    assert charge(recovering, monthly, *YEAR) == capital_recovery(300_000, 1000, F(5, 100), 5)


def test_a_float_rate_raises() -> None:
    with pytest.raises(TypeError, match="recovery_rate"):
        Capital((), recovery_rate=0.05)  # type: ignore[arg-type]
