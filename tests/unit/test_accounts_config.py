"""[classes.NAME] and [[accounts]]: what can be said, and every fault by file and key, in one go."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from slurm_gpucost.costing.accounts import AccountClass, Accounts
from slurm_gpucost.settings.inputs import account_inputs
from tests.unit.test_billing_config import faults, site


def test_nothing_said_is_the_internal_class(tmp_path: Path) -> None:
    found = site(tmp_path, "")
    assert (found.classes, found.accounts) == ({"internal": AccountClass("internal")}, ())


SAID = """
[classes.partner]
surcharge = 0.25
tax = "0.19"
label = "Partner universities"
[classes.campus]
surcharge = -0.2
funder = "award 0317"
[[rules]]
name = "partners first"
factor = 1
account_class = ["partner", "*"]
[[rules]]
name = "all else"
factor = 1
[[accounts]]
name = "physics"
class = "campus"
contact = "physics@uni.example"
[[accounts]]
name = "physics"
cluster = "c"
since = 2026-10-25
class = "partner"
tax_exempt = true
"""


def test_classes_and_accounts_as_said(tmp_path: Path) -> None:
    found = site(tmp_path, SAID)
    assert found.classes == {
        "internal": AccountClass(),
        "partner": AccountClass("partner", Fraction(1, 4), Fraction(19, 100), "Partner universities"),
        "campus": AccountClass("campus", Fraction(-1, 5), Fraction(0), "", "award 0317"),
    }
    known = Accounts(found.accounts)
    midnight = 1_792_879_200_000  # 2026-10-25 in Berlin, still summer time: 22:00 UTC of the 24th
    before, after = (known.facts_at("c", "physics", midnight - 1 + more) for more in (0, 1))
    path = tmp_path / "gpucost.toml"
    assert before["class"] == ("campus", f"{path}: accounts.0.class")
    assert after["class"] == ("partner", f"{path}: accounts.1.class")
    assert after["contact"].value == "physics@uni.example"
    assert known.facts_at("other", "physics", midnight)["class"].value == "campus"


def test_what_the_log_of_changes_holds(tmp_path: Path) -> None:
    found = site(tmp_path, SAID)
    assert account_inputs(found.classes, found.accounts) == {
        "classes.internal": "surcharge 0, tax 0",
        "classes.partner": "surcharge 0.25, tax 0.19, label Partner universities",
        "classes.campus": "surcharge -0.2, tax 0, funder award 0317",
        "accounts.physics": "always: class campus, contact physics@uni.example",
        "accounts.c.physics": "from 2026-10-24T22:00:00+00:00: class partner, tax_exempt true",
    }


def test_everything_that_is_wrong_is_named_in_one_go(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        """
[classes.partner]
surcharge = -2
tax = -0.19
[classes.campus]
surcharge = 0.1
funder = "uni"
taxes = 1
[[rules]]
name = "x"
factor = 1
account_class = "parner"
[[rules]]
name = "all"
factor = 1
[[accounts]]
name = "a"
class = "partnr"
[[accounts]]
name = "a"
class = "internal"
[[accounts]]
name = "b"
[[accounts]]
class = "gold"
since = "soon"
tax_exempt = "no"
""",
    )
    assert found == [
        "classes.partner.surcharge: -2 is not between -1 and 10; 25 % is 0.25",
        "classes.partner.tax: -0.19 is not between 0 and 1; 19 % is 0.19",
        "classes.partner.funder: is missing: a surcharge below 0 is a subsidy, and somebody pays it",
        "classes.campus.taxes: is no setting; did you mean tax?",
        "classes.campus.funder: pays nothing: it is for a surcharge below 0",
        "rules.0.account_class: there is no class 'parner'; did you mean partner?",
        "accounts.0.class: there is no class 'partnr'; did you mean partner?",
        "accounts.1: account 'a' stands already as accounts.0, from the same day on",
        "accounts.2: says nothing of 'b': give one of class, contact, tax_exempt, tax_id, funder, federal",
        "accounts.3.name: is missing: The account, as sacct prints it.",
        "accounts.3.since: must be a date like 2026-01-31",
        "accounts.3.tax_exempt: must be true or false",
        "accounts.3.class: there is no class 'gold'; there are campus, internal, partner",
    ]


def test_the_tables_must_be_tables(tmp_path: Path) -> None:
    assert "classes.x: must be a table, written [classes.x]" in faults(tmp_path, "[classes]\nx = 1\n")
    assert "accounts: must be tables, each written [[accounts]]" in faults(tmp_path, "[accounts]\n")
