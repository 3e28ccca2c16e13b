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


EXPORT = [
    {"id": 7, "project": "Dark matter", "resource": "HPC", "status": "Active", "allocation_users": None,
     "allocation_attributes": [{"allocation_attribute_type": name, "value": value} for name, value in (
         ("slurm_account_name", "Physics"), ("class", "partner"), ("Sponsor", "NSF 1"), ("federal", "Yes"))]},
    {"id": 8, "project": "Old", "resource": "HPC", "status": "Expired", "allocation_users": None,
     "allocation_attributes": []},
]  # fmt: skip
IMPORTS = SAID.replace('class = "partner"\n', "") + '[accounts_import]\nfunder = "Sponsor"\n'


@pytest.fixture
def importing(site: Run, tmp_path: Path) -> Run:
    path = tmp_path / "gpucost.toml"
    path.write_text(path.read_text() + IMPORTS)
    (tmp_path / "export.json").write_text(json.dumps(EXPORT))
    return site


def known(run: Run, *words: str) -> dict[str, tuple[Any, str]]:
    result = run("accounts", "list", "-A", "physics", *words, "--json")
    assert result.exit_code == 0, result.output
    (row,) = [row for row in json.loads(result.stdout) if row["cluster"] == "t"]
    return {fact["field"]: (fact["value"], fact["source"]) for fact in row["facts"]}


def test_an_export_is_known_from_its_day_on_with_its_line(importing: Run, tmp_path: Path) -> None:
    result = importing("accounts", "import", "export.json", "--since", "2026-10-01")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[:2] == [
        "export.json: accounts: 1, new facts: 8", "  passed over: allocations, 1 not active"
    ]  # fmt: skip
    assert "  physics: funder NSF 1" in result.stdout.splitlines()
    line = f"{tmp_path / 'export.json'}: line 1"
    config = f"{tmp_path / 'gpucost.toml'}: accounts.0"
    assert known(importing) == {
        "class": ("partner", f"{line}.class"), "contact": ("ap@uni.example", f"{config}.contact"),
        "funder": ("NSF 1", f"{line}.funder"), "federal": (True, f"{line}.federal"),
        "description": ("Dark matter", f"{line}.description"),
    }  # fmt: skip
    assert known(importing, "--at", "2026-09-30T23:59:59")["class"] == ("internal", "default")
    assert known(importing, "--at", "2026-10-01")["class"][0] == "partner"
    again = importing("accounts", "import", "export.json", "--json")
    assert json.loads(again.stdout)["changed"] == []


def test_an_export_with_faults_is_refused_whole(importing: Run, tmp_path: Path) -> None:
    wrong = json.loads(json.dumps(EXPORT).replace('"partner"', '"partnr"').replace('"Yes"', '"maybe"'))
    (tmp_path / "export.json").write_text(json.dumps(wrong))
    result = importing("accounts", "import", "export.json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        "gpucost: export.json: line 1 (allocation 7): class: there is no class 'partnr'; did you mean partner?",
        "gpucost: export.json: line 1 (allocation 7): federal: 'maybe' is neither Yes nor No",
    ]
    assert known(importing)["class"] == ("internal", "default")
    missing = importing("accounts", "import", "nowhere.json")
    assert missing.exit_code == 1 and "nowhere.json: No such file" in missing.stderr


def test_an_unknown_name_in_accounts_import_is_a_fault(importing: Run, tmp_path: Path) -> None:
    path = tmp_path / "gpucost.toml"
    path.write_text(path.read_text() + 'sponsor = "x"\n')
    result = importing("config", "check")
    assert result.exit_code == 2 and "accounts_import.sponsor: is no setting" in result.stderr
