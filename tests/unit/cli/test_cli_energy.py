"""A pool with a two-part rate, from windows to ``gpucost invoice``."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest

from slurm_gpucost.costing.periods import month_at
from tests.unit.cli.conftest import Run
from tests.unit.services.test_energy_bill import fill, job, two_parts, window


@pytest.fixture
def billed(gpucost: Run, tmp_path: Path) -> list[str]:
    rows = [job(1, 100, 1_100), job(2, 0, 500, "n2", user="bob"), job(3, 1_200, 1_300, state="NODE_FAIL")]
    site = fill(two_parts(tmp_path), rows, [window(0, 600, 100), window(600, 1_300, 100)])
    return ["--config", str(site.path), "invoice", "--month", month_at(rows[0].start_ms, site.timezone)]


def test_the_invoice_says_kwh_and_emissions(gpucost: Run, billed: list[str]) -> None:
    (invoice,) = json.loads(gpucost(*billed, "--json").stdout)
    shown = [
        (line["user"], line["item"], line["gpu_hours"], line["held_gpu_hours"], line["kwh"], line["unit_price"])
        for line in invoice["lines"]
        if line["kwh"] is not None
    ]
    nothing = "0.000000"
    assert shown == [  # W x s x PUE 1.5 / 3.6e6
        ("ann", "energy", nothing, nothing, "0.004167", "0.1"),
        ("ann", "energy", nothing, nothing, "0.037500", "0.3"),
        ("ann", "host_energy", nothing, nothing, "0.002500", "0.1"),
        ("ann", "host_energy", nothing, nothing, "0.022500", "0.3"),
        ("ann", "waived_energy", nothing, nothing, "0.006667", "0"),
        ("bob", "host_energy", nothing, nothing, "0.012500", "0.3"),
        ("bob", "imputed_energy", nothing, nothing, "0.020833", "0.3"),
    ]
    assert {line["kwh"] for line in invoice["lines"] if Decimal(line["gpu_hours"])} == {None}
    assert invoice["energy_kwh"] == "0.106667"
    assert invoice["kg_co2e"] == "0.042667"  # x 400 g
    assert Decimal(invoice["total"]) == sum(Decimal(line["amount"]) for line in invoice["lines"])


def test_statements_add_up_to_it(gpucost: Run, billed: list[str]) -> None:
    (invoice,) = json.loads(gpucost(*billed, "--json").stdout)
    both = [json.loads(gpucost(*billed, "-u", user, "--json").stdout)[0] for user in ("ann", "bob")]
    for key in ("energy_kwh", "kg_co2e", "total"):
        assert sum(Decimal(one[key]) for one in both) == Decimal(invoice[key])


def test_the_page_and_the_csv(gpucost: Run, billed: list[str]) -> None:
    page = gpucost(*billed).stdout
    assert "Energy:   0.106667 kWh at the site's meter, 0.045833 of it measured; 0.042667 kg CO2e\n" in page
    (line,) = (one for one in page.splitlines() if "imputed energy" in one)
    assert "mean-power-of-sku, held time (rule 6)" in line and "0.020833" in line
    rows = list(csv.DictReader(io.StringIO(gpucost(*billed, "--csv", "-").stdout)))
    assert sum(Decimal(row["kwh"] or 0) for row in rows) == Decimal("0.106667")


def test_the_price_of_the_hour_says_that_energy_is_not_in_it(gpucost: Run, billed: list[str]) -> None:
    (made,) = json.loads(gpucost(*billed[:2], "rates", "explain", "--month", billed[-1], "--json").stdout)
    step = next(one for one in made["steps"] if one["label"] == "Energy")
    assert step["value"] == "0.00" and step["sources"][0]["key"] == "pools.main.rate_parts"
    assert "Energy drawn" not in {one["label"] for one in made["steps"]}
    assert any("energy is not in this price" in note for note in made["notes"])


def test_a_published_price_that_bears_energy_keeps_it_in(gpucost: Run, billed: list[str], tmp_path: Path) -> None:
    config = tmp_path / "gpucost.toml"
    two = config.read_text()
    one = two.replace("rate_parts = 2", "rate_parts = 1").replace("host_watts_per_gpu = 60", "host_watts_per_gpu = 0")
    one = one.replace("emission_grams_per_kwh = 400\n", "").replace("load_factor = 0.5", "load_factor = 1")
    config.write_text(one)
    words = ["--config", str(config), "rates", "publish", "--from", f"{billed[-1]}-01T00", "--why", "one part"]
    assert gpucost(*words).exit_code == 0
    config.write_text(two)
    (invoice,) = json.loads(gpucost(*billed, "--json").stdout)
    assert {line["kwh"] for line in invoice["lines"]} == {None}, "it is told, and billed on no line"
    assert (invoice["energy_kwh"], invoice["kg_co2e"]) == ("0.106666", "0.042666")
    told = "Energy:   0.106666 kWh at the site's meter, 0.045833 of it measured; 0.042666 kg CO2e; it is in the price"
    assert f"{told} of the hour\n" in gpucost(*billed).stdout


def test_what_is_wrong_is_named_in_one_go(gpucost: Run, billed: list[str], tmp_path: Path) -> None:
    config = tmp_path / "gpucost.toml"
    two = config.read_text()
    config.write_text(two.replace("rate_parts = 2", "rate_parts = 3").replace("load_factor = 0.5", "load_factor = 1.5"))
    told = gpucost("--config", str(config), "config", "check")
    assert told.exit_code != 0
    assert "pools.main.rate_parts: must be 1 or 2" in told.stderr
    assert "pools.main.skus.a100.load_factor: must be at most 1" in told.stderr
    since = "since = 2026-02-01, grams"
    grams = f"emission_grams_per_kwh = [{{ {since} = 1 }}, {{ {since} = -1 }}, {{ grams = 1 }}]"
    config.write_text(two.replace("emission_grams_per_kwh = 400", grams))
    told = gpucost("--config", str(config), "config", "check")
    assert [line.split(": ")[2] for line in told.stderr.splitlines()] == [
        f"pools.main.emission_grams_per_kwh.{key}" for key in ("1.grams", "2.since")
    ]
    config.write_text(two.replace("emission_grams_per_kwh = 400", grams.replace("-1 }, { grams = 1 }", "1 }")))
    told = gpucost("--config", str(config), "config", "check")
    assert "emission_grams_per_kwh.1.since: 2026-02-01 is not after 2026-02-01" in told.stderr
