from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Run = Callable[..., Result]
Ask = Callable[..., Any]
SAID = """
[classes.partner]
surcharge = 0.25
tax = 0.19
label = "Partner universities"
[[accounts]]
name = "physics"
class = "partner"
contact = "ap@uni.example"
[[accounts]]
name = "physics"
since = 2026-12-01
contact = "later@uni.example"
[[accounts]]
name = "physics"
cluster = "old"
federal = true
[[accounts]]
name = "new"
tax_exempt = true
"""


@pytest.fixture
def classed(site: Run, tmp_path: Path) -> Run:
    path = tmp_path / "gpucost.toml"
    path.write_text(path.read_text() + SAID)
    return site


def test_each_fact_with_its_source(classed: Run, tmp_path: Path) -> None:
    """Of accounts that were used and of those that the config names alone; what holds later is not shown yet."""
    result = classed("accounts", "list", "--json")
    assert result.exit_code == 0, result.output
    path = tmp_path / "gpucost.toml"
    found = {
        (row["cluster"], row["account"], fact["field"]): (fact["value"], fact["source"])
        for row in json.loads(result.stdout)
        for fact in row["facts"]
    }
    physics = {
        "class": ("partner", f"{path}: accounts.0.class"),
        "contact": ("ap@uni.example", f"{path}: accounts.0.contact"),
    }
    assert found == {
        ("t", "bio", "class"): ("internal", "default"),
        ("t", "new", "class"): ("internal", "default"),
        ("t", "new", "tax_exempt"): (True, f"{path}: accounts.3.tax_exempt"),
        **{("t", "physics", field): fact for field, fact in physics.items()},
        **{("old", "physics", field): fact for field, fact in physics.items()},
        ("old", "physics", "federal"): (True, f"{path}: accounts.2.federal"),
    }


def test_the_page_of_one_account(classed: Run, tmp_path: Path) -> None:
    shown = classed("accounts", "list", "-A", "new").stdout.splitlines()
    assert shown[0].split() == ["Cluster", "Account", "Fact", "Value", "Source"]
    assert [line.split(maxsplit=4) for line in shown[2:]] == [
        ["t", "new", "class", "internal", "default"],
        ["t", "new", "tax_exempt", "yes", f"{tmp_path / 'gpucost.toml'}: accounts.3.tax_exempt"],
    ]


def test_an_account_that_nobody_knows_is_refused(classed: Run) -> None:
    result = classed("accounts", "list", "-A", "physic")
    assert result.exit_code == 2
    assert "-A physic: neither the ledger nor the config knows such an account; did you mean physics?" in result.stderr


def test_without_a_ledger_there_is_what_the_config_says(made: Run, tmp_path: Path) -> None:
    assert "no account is known" in made("accounts", "list").stderr
    path = tmp_path / "gpucost.toml"
    path.write_text(path.read_text() + SAID)
    assert "physics" in made("accounts", "list").stdout


def test_the_invoice_says_class_and_tax(classed: Run) -> None:
    text = classed("invoice", "--month", "2026-10", "-A", "physics").stdout
    assert "\nClass:    partner (Partner universities)\nContact:  ap@uni.example\n" in text
    assert "\nNet total " in text and "\nTax 19 % " in text and "class partner: 25 % surcharge" in text
    statement = classed("invoice", "--month", "2026-10", "-u", "alice").stdout
    assert "Class:" in statement and "Tax" not in statement and "ap@uni" not in statement
    answer = json.loads(classed("audit", "--month", "2026-10", "--json").stdout)
    assert not {"surcharge", "tax", "invoice", "line", "charge"} & {one["what"] for one in answer["differences"]}
    changed = json.loads(classed("config", "record", "--json").stdout)
    assert "accounts.physics" in {one["key"] for one in changed}
