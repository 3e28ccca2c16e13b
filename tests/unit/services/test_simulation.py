"""What if: by hand, on the worked example of the cost model."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.domain.errors import ConfigError, UsageError
from slurm_gpucost.services.rates import explain
from slurm_gpucost.services.simulation import simulate
from slurm_gpucost.settings import load, template


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("what-if") / "gpucost.toml"
    gpus = [("a100", 4, Decimal(15000)), ("old", 6, Decimal(0))]
    text = template(timezone="Europe/Berlin", currency="EUR", cluster="c", gpus=gpus, purchase_date=date(2024, 3, 1))
    path.write_text(
        text.replace("staff = 0", "staff = 6000")
        .replace("nameplate_watts = 400", "nameplate_watts = 800", 1)
        .replace("residual_value = 0", "residual_value = 2000", 1)
        .replace("pue = 1.56", "pue = 1.5")
    )
    return path


def test_a_dearer_tariff_by_hand(config: Path) -> None:
    # 21,209.60 a year for 24,528 planned hours; 0.30 a kWh add 42,048 x 0.10 = 4,204.80
    row, _ = simulate(load(config), load(config, ["pools.main.tariff_per_kwh = 0.30"]), "2026-10", Fraction("1.5"))
    assert (row["unit_price"], row["then"], row["annual_cost"]) == ("0.8647", "1.0361", "25414.40")
    assert row["change_percent"] == "19.82"
    assert row["break_even_percent"] == "48.35"  # 25,414.40 / (35,040 x 1.50)
    assert row["by_utilization"][-1] == {"utilization_percent": "100.00", "unit_price": "0.7253"}


def test_nothing_changed_changes_nothing(config: Path) -> None:
    for row, shown in zip(
        simulate(load(config), load(config), "2026-10"), explain(load(config), "2026-10"), strict=True
    ):
        assert row["unit_price"] == row["then"] == shown["unit_price"]
        assert (row["cloud_price"], row["break_even_percent"]) == (None, None)


@given(st.integers(1, 100), st.integers(1, 1000))
def test_at_the_break_even_an_hour_costs_what_the_cloud_asks(config: Path, percent: int, cents: int) -> None:
    part, cloud = Fraction(percent, 100), Fraction(cents, 100)
    row, _ = simulate(load(config), load(config), "2026-10", cloud, [part])
    ours, breaks_even = Fraction(row["by_utilization"][0]["unit_price"]), Fraction(row["break_even_percent"])
    if abs(breaks_even - percent) > 1:
        assert (ours < cloud) == (percent > breaks_even), "dearer below it, cheaper above it"


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ("pools.main.tarif_per_kwh=1", ConfigError, "did you mean tariff_per_kwh"),
        ("pools.main.pue=0.5", ConfigError, "pools.main.pue: must be at least 1"),
        ("luck", UsageError, "write KEY=VALUE"),
        ("pools.main.assets.0.price=1\npools.main.pue=", UsageError, "write KEY=VALUE"),
    ],
)
def test_a_change_that_is_none(config: Path, change: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        load(config, [change])


def test_an_entry_of_a_list_is_named_by_its_number(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "g.toml"
    listed = '\n[[pools.main.assets]]\ntag = "racks"\nprice = 5000\nin_service = 2025-01-01\n'
    path.write_text(config.read_text() + listed)
    (*_, racks) = load(path, ["pools.main.assets.0.price=9000"]).pools[0].costs.capital.assets
    assert (racks.tag, racks.price) == ("racks", Fraction(9000))
    with pytest.raises(UsageError, match="assets has the entries 0 to 0, and no '1'"):
        load(path, ["pools.main.assets.1.price=9000"])
