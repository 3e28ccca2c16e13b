from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import pytest
from typer.testing import Result

Run = Callable[..., Result]


def test_a_config_with_no_ledger_yet(made: Run) -> None:
    result = made("config", "check")
    assert result.exit_code == 0
    assert "no faults; cluster t, Europe/Berlin, EUR" in result.stdout
    assert "500 x a100" in result.stdout and "not there yet" in result.stdout


def test_all_faults_in_one_go(made: Run, tmp_path: Path) -> None:
    config = tmp_path / "gpucost.toml"
    text = config.read_text().replace('"Europe/Berlin"', '"Nowhere"', 1).replace("devices = 500", "devices = 0")
    config.write_text(text + 'colour = "red"\n')
    result = made("config", "check")
    assert result.exit_code == 2 and result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 3 and all(line.startswith(f"gpucost: {config}: ") for line in lines)
    for key in ("timezone", "pools.main.skus.a100.devices", "pools.main.skus.a100.colour"):
        assert sum(f": {key}: " in line for line in lines) == 1
    told = made("config", "check", "--json")
    assert told.exit_code == 2
    assert [f"gpucost: {fault}" for fault in json.loads(told.stdout)["faults"]] == lines


def test_a_gpu_that_no_sku_prices_is_a_finding(unpriced: Run) -> None:
    result = unpriced("config", "check")
    assert result.exit_code == 1
    assert "finding: " in result.stdout and "gres/gpu:h300 is used and no SKU prices it" in result.stdout
    told = unpriced("config", "check", "--json")
    assert told.exit_code == 1
    answer = json.loads(told.stdout)
    assert answer["faults"] == [] and len(answer["findings"]) == 1


def test_no_findings(site: Run) -> None:
    assert site("config", "check").exit_code == 0


def test_status(unpriced: Run) -> None:
    result = unpriced("status")
    assert result.exit_code == 0
    assert "attempts" in result.stdout and "gres/gpu:h300 is used" in result.stdout
    answer = json.loads(unpriced("status", "--json").stdout)
    assert answer["counts"]["attempts"] == 4
    assert any("h300" in finding for finding in answer["findings"])


def test_rebuild_says_what_it_made(site: Run) -> None:
    assert site("rebuild").stdout == "3 jobs: 3 attempts, 3 leases\n"
    assert json.loads(site("rebuild", "--json").stdout) == {"jobs": 3, "attempts": 3, "leases": 3}


def test_rates_explain(made: Run) -> None:
    result = made("rates", "explain", "--month", "2026-12")
    assert result.exit_code == 0
    assert result.stdout.startswith("a100 in pool main, 2026-12: 0.5697 EUR per GPU-hour\n")
    assert "gpucost.toml: pools.main.tariff_per_kwh" in " ".join(result.stdout.split())
    rows = json.loads(made("rates", "explain", "--json").stdout)
    assert [(row["sku"], row["month"], row["unit_price"]) for row in rows] == [("a100", "2026-11", "0.5697")]
    assert made("rates", "explain", "--month", "2026-13").exit_code == 2


def test_rates_explain_as_a_page(made: Run, tmp_path: Path) -> None:
    words = ("rates", "explain", "--month", "2026-12", "--html")
    assert made(*words, "rates.html").stdout == "rates.html: the rates of 2026-12, 1 in all\n"
    page = (tmp_path / "rates.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>\n") and "Made 2026-11-23 14:05:30+01:00 by" in page
    assert "pools.main.tariff_per_kwh" in page and "0.5697 EUR per GPU-hour" in page
    assert made(*words, "-").stdout == page
    both = made(*words, "again.html", "--json")
    assert json.loads(both.stdout)[0]["sku"] == "a100"
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page
    refused = made(*words, "-", "--json")
    assert refused.exit_code == 2 and refused.stderr.startswith("gpucost: --html -: ") and refused.stdout == ""
    nowhere = made(*words, "nowhere/rates.html")
    assert nowhere.exit_code == 1 and "its directory does not exist" in nowhere.stderr


def test_the_page_says_who_published(site: Run) -> None:
    assert site("rates", "publish", "--from", "2026-12-01", "--why", "x").exit_code == 0
    page = site("rates", "explain", "--month", "2026-12", "--html", "-").stdout
    assert "Version 1, from 2026-12-01T00:00:00+01:00 on. Published 2026-11-23T14:05:30" in page


def test_only_a_page_needs_what_makes_pages(made: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("jinja2", "slurm_gpucost.documents.web"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it fails
    monkeypatch.delattr("slurm_gpucost.documents.web", raising=False)
    assert made("rates", "explain").exit_code == 0
    assert made("rates", "explain", "--html", "-").exit_code == 1


def test_demo_hands_its_directory_over(gpucost: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path | None] = []

    def play(directory: Path | None, out: TextIO) -> None:
        asked.append(directory)
        out.write("played\n")

    monkeypatch.setattr("slurm_gpucost.services.demo.run", play)
    assert gpucost("demo", "--directory", "here").stdout == "played\n"
    assert gpucost("demo").exit_code == 0
    assert asked == [Path("here"), None]
