"""The electricity bill, from the config to ``gpucost energy``, the audit and the log of changes."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from slurm_gpucost.settings import Settings
from tests.unit.cli.conftest import Run
from tests.unit.services.test_electricity import BOUGHT, metered


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    return metered(tmp_path)


def test_energy_against_the_bill(gpucost: Run, site: Settings) -> None:
    words = ("--config", str(site.path), "energy", "--month", "2026-09")
    (row,) = json.loads(gpucost(*words, "--json").stdout)
    assert (row["pool"], row["basis"], row["total"]["kwh"]) == ("main", "meter", "0.500000")
    assert sum(Decimal(part["kwh"]) for part in row["parts"].values()) == Decimal("0.5")
    page = gpucost(*words).stdout
    assert "  bill       0.500000 kWh 0.125000 EUR  the authority\n" in page
    assert "Emitted: 0.200000 kg CO2e.\n" in page
    other = gpucost(*words[:-1], "2026-08")
    assert "no bill is known" in other.stdout and "difference" not in other.stdout


def test_a_changed_bill_changes_the_cost_in_the_audit_and_is_noted(gpucost: Run, site: Settings) -> None:
    config = ("--config", str(site.path))
    audit = (*config, "audit", "--month", "2026-09", "--json")
    before = json.loads(gpucost(*audit).stdout)
    assert gpucost(*config, "config", "record", "--why", "first").exit_code == 0
    amount = BOUGHT.partition("amount")[2].splitlines()[0]
    site.path.write_text(site.path.read_text().replace(f"amount{amount}", 'amount = "10.125"'))
    after = json.loads(gpucost(*audit).stdout)
    (old,), (new,) = before["pools"], after["pools"]
    assert Decimal(new["cost"]) - Decimal(old["cost"]) == 10
    assert before["differences"] == after["differences"] == []
    assert new["charged"] == old["charged"]
    noted = gpucost(*config, "config", "record", "--why", "the utility sent a correction", "--json").stdout
    assert "pools.main.meter.2026-09" in noted and "10.125" in noted
