"""A PUE that changes: in the rate, in the cost of a month, and in the energy that is billed as measured."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from slurm_gpucost.costing.periods import month
from slurm_gpucost.costing.rated import energy_cost, means
from slurm_gpucost.domain.errors import ConfigError
from slurm_gpucost.services.rates import explain
from slurm_gpucost.settings import Settings, load
from slurm_gpucost.settings.inputs import inputs_of
from tests.unit.services.test_energy_bill import (
    CHEAP,
    DEAR,
    HELD,
    KWH,
    TARIFF,
    charged,
    fill,
    job,
    sums,
    two_parts,
    window,
)

F = Fraction
SITE = """
cluster = "alpha"
timezone = "Europe/Berlin"
currency = "EUR"
[pools.main]
pue = {pue}
planned_utilization = 1
tariff_per_kwh = "0.20"
[pools.main.skus.a100]
devices = 10
nameplate_watts = 1000
purchase_price = 1000
purchase_date = 2026-01-01
"""
CHANGING = "[{ since = 2025-01-01, pue = 1.6 }, { since = 2026-04-01, pue = 1.5 }, { since = 2026-10-01, pue = 1.2 }]"


def site(tmp_path: Path, pue: str) -> Settings:
    (tmp_path / "gpucost.toml").write_text(SITE.format(pue=pue))
    return load(tmp_path / "gpucost.toml")


def step(row: dict[str, Any], label: str) -> dict[str, Any]:
    return next(one for one in row["steps"] if one["label"] == label)


def test_a_month_has_the_pue_of_each_of_its_days(tmp_path: Path) -> None:
    (pool,) = site(tmp_path, CHANGING).pools
    days = [(date(2026, 1, 1) + timedelta(n)) for n in range(365)]
    by_day = [F("1.6") if d < date(2026, 4, 1) else F("1.5") if d < date(2026, 10, 1) else F("1.2") for d in days]
    # Each day by itself, of 23 or 25 hours where clocks change (29 March, 25 October).
    hours = [23 if d == date(2026, 3, 29) else 25 if d == date(2026, 10, 25) else 24 for d in days]
    kwh = [10 * h * p for h, p in zip(hours, by_day, strict=True)]
    (start, *_), (_, end, _) = month("2026-01", pool.timezone), month("2026-12", pool.timezone)
    assert energy_cost(pool.costs, "a100", start, end) == sum(kwh) * F("0.2")
    assert means(pool.costs, date(2026, 1, 31)) == (F(sum(kwh), 10 * sum(hours)), F("0.2"))


def test_a_rate_has_the_mean_of_the_twelve_months_and_says_so(tmp_path: Path) -> None:
    (row,) = explain(site(tmp_path, CHANGING), "2026-10")
    assert step(row, "Energy drawn")["value"] == "105120.00"  # 10 kW x 8,760 h x 1.2, for a year from October on
    assert "the mean of pue over the twelve months from then on" in step(row, "Energy drawn")["formula"]
    (plain,) = explain(site(tmp_path, "1.2"), "2026-10")
    assert step(plain, "Energy drawn")["formula"].endswith("h x pue")
    assert step(plain, "Rate")["value"] == step(row, "Rate")["value"]


def test_the_first_pue_holds_before_its_day_too(tmp_path: Path) -> None:
    (pool,) = site(tmp_path, CHANGING).pools
    assert means(pool.costs, date(2020, 1, 1)).pue == F("1.6")


def test_a_dear_hour_weighs_by_its_pue(tmp_path: Path) -> None:
    """Half of the energy at each price would be wrong where one of them has the greater PUE."""
    text = SITE.format(pue="[{ since = 2026-01-01, pue = 3 }, { since = 2026-07-01, pue = 1 }]")
    bands = "".join(
        f'[[pools.main.tariff]]\nsince = {since}\nbands = [{{ price = "{price}" }}]\n'
        for since, price in [("2026-01-01", "0.40"), ("2026-07-01", "0.10")]
    )
    (tmp_path / "gpucost.toml").write_text(text + bands)
    (pool,) = load(tmp_path / "gpucost.toml").pools
    first, second = 181 * 24 - 1, 184 * 24 + 1  # hours, with the clocks' changes
    mean = means(pool.costs, date(2026, 1, 1))
    assert mean.price == (3 * first * F("0.4") + second * F("0.1")) / (3 * first + second)
    assert mean.pue * mean.price * (first + second) == 3 * first * F("0.4") + second * F("0.1")


def test_energy_as_measured_has_the_pue_of_its_moment(tmp_path: Path) -> None:
    """T0 is 19:43:20 in Kolkata: the price falls after 1,000 s, and midnight is 15,400 s away."""
    text = two_parts(tmp_path, 0).path.read_text()
    day = "[{ since = 2026-01-01, pue = 1.5 }, { since = 2026-09-22, pue = 2 }]"
    assert text.count("pue = 1.5\n") == 1
    (tmp_path / "gpucost.toml").write_text(text.replace("pue = 1.5\n", f"pue = {day}\n"))
    found = fill(load(tmp_path / "gpucost.toml"), [job(1, 0, 20_000)], [window(0, 20_000, 100)])
    assert TARIFF in text
    assert sums(charged(found, 0, 20_000)) == {
        ("ann", "energy", HELD, DEAR): 100 * 1_000 * F("1.5") / KWH,
        ("ann", "energy", HELD, CHEAP): 100 * (14_400 * F("1.5") + 4_600 * 2) / KWH,
    }


def test_the_frozen_inputs_have_each_pue(tmp_path: Path) -> None:
    told = inputs_of(site(tmp_path, CHANGING).pools[0])
    assert (told["pools.main.pue"], told["pools.main.pue.2026-04-01"]) == ("1.6", "1.5")
    assert not [key for key in inputs_of(site(tmp_path, "1.6").pools[0]) if key.startswith("pools.main.pue.")]


def test_what_is_wrong_is_named_in_one_go(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        site(tmp_path, "[{ since = 2026-01-01, pue = 0.9 }, { pue = 1.2 }, { since = 2026-05-01, pue = 1, x = 1 }]")
    told = str(caught.value)
    assert "pools.main.pue.0.pue: must be at least 1" in told
    assert "pools.main.pue.1.since: is missing" in told
    assert "pools.main.pue.2.x: is no setting" in told
    with pytest.raises(ConfigError, match=r"pools\.main\.pue\.1\.since: 2026-01-01 is not after 2026-01-01"):
        site(tmp_path, "[{ since = 2026-01-01, pue = 1.3 }, { since = 2026-01-01, pue = 1.2 }]")
    with pytest.raises(ConfigError, match=r"pools\.main\.pue: names none"):
        site(tmp_path, "[]")
