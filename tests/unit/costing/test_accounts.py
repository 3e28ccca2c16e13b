"""Facts of accounts: which word counts; and classes on invoices, against sums by other means."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.accounts import (
    CONFIG,
    PORTAL,
    SACCTMGR,
    AccountClass,
    Accounts,
    Holder,
    Told,
    faults,
    holder,
)
from slurm_gpucost.costing.free import Free
from slurm_gpucost.costing.invoices import invoices, statement
from slurm_gpucost.costing.lines import Charge, Terms
from tests.unit.costing.test_invoices import HOUR, KOLKATA, QUANTITIES, held, terms


def told(at: int, source: str, where: str, cluster: str = "", account: str = "lab", **values: Any) -> Told:
    return Told(account, cluster, at, source, where, {key.rstrip("_"): value for key, value in values.items()})


def test_of_an_account_that_nobody_knows_the_class_is_known() -> None:
    facts = Accounts([]).facts_at("c", "lab", 5)
    assert {field: tuple(fact) for field, fact in facts.items()} == {"class": ("internal", "default")}


def test_facts_are_merged_field_by_field_each_with_its_source() -> None:
    known = Accounts([
        told(0, CONFIG, "toml: accounts.0", contact="ann"),
        told(10, CONFIG, "toml: accounts.1", class_="partner"),
        told(20, PORTAL, "coldfront.csv: line 2", class_="other", contact="portal", funder="award 1"),
        told(30, SACCTMGR, "sacctmgr", description="a lab", funder="nobody"),
        told(0, CONFIG, "toml: accounts.2", account="ops", class_="other"),
    ])  # fmt: skip
    assert {field: tuple(fact) for field, fact in known.facts_at("c", "lab", 40).items()} == {
        "class": ("partner", "toml: accounts.1.class"),
        "contact": ("ann", "toml: accounts.0.contact"),
        "funder": ("award 1", "coldfront.csv: line 2.funder"),
        "description": ("a lab", "sacctmgr.description"),
    }
    assert [known.facts_at("c", "lab", at)["class"].value for at in (9, 10)] == ["internal", "partner"]
    assert "funder" not in known.facts_at("c", "lab", 19)
    assert known.names() == [("", "lab"), ("", "ops")]


def test_the_one_cluster_goes_before_all_and_the_later_day_before_the_earlier() -> None:
    known = Accounts([
        told(50, CONFIG, "all, late", class_="b"),
        told(10, CONFIG, "c, early", "c", class_="c"),
        told(0, CONFIG, "all, always", class_="a"),
        told(60, CONFIG, "c, late", "c", class_="d"),
    ])  # fmt: skip
    values = {
        (cluster, at): known.facts_at(cluster, "lab", at)["class"].value for cluster in "cx" for at in (5, 55, 65)
    }
    assert values == {("c", 5): "a", ("c", 55): "c", ("c", 65): "d", ("x", 5): "a", ("x", 55): "b", ("x", 65): "b"}


def test_what_was_exempt_can_be_so_no_more() -> None:
    known = Accounts([told(0, CONFIG, "x", tax_exempt=True), told(10, CONFIG, "y", tax_exempt=False)])
    classes = {"internal": AccountClass(tax=Fraction(19, 100))}
    assert [holder(known.facts_at("c", "lab", at), classes).tax for at in (9, 10)] == [0, Fraction(19, 100)]


def test_a_class_that_is_not_declared_is_refused() -> None:
    facts = Accounts([told(0, PORTAL, "coldfront.csv: line 2", class_="gold")]).facts_at("c", "lab", 0)
    with pytest.raises(ValueError, match=r"coldfront.csv: line 2.class: there is no class 'gold'"):
        holder(facts, {"internal": AccountClass()})


@pytest.mark.parametrize(
    ("one", "keys"),
    [
        (AccountClass(), []),
        (AccountClass("x", Fraction(-2), Fraction(2)), ["surcharge", "tax", "funder"]),
        (AccountClass("x", Fraction(25), Fraction(-1), "", "uni"), ["surcharge", "tax", "funder"]),
        (AccountClass("x", Fraction(-1, 5), Fraction(0), "", "uni"), []),
    ],
)
def test_all_faults_of_a_class(one: AccountClass, keys: list[str]) -> None:
    assert [key for key, _ in faults(one)] == keys


def with_class(of: AccountClass, free: list[Free] | None = None, **other: Any) -> Terms:
    plain = terms()
    return Terms(
        plain.currency,
        2,
        plain.parts,
        KOLKATA,
        free=lambda _c, _a: free or [],
        holder=lambda _c, _a: Holder(of, **other),
    )


def test_surcharge_and_tax_by_hand() -> None:
    # 3 h at 1.2345 is 3.7035, 25 % of it 0.925875; together 4.629375, so 4.63: 3.70 + 0.93. 19 % of 4.63: 0.8797.
    of = AccountClass("partner", Fraction(1, 4), Fraction(19, 100), "Partners")
    (invoice,) = invoices([held("ann", 3 * HOUR)], with_class(of, contact="ap@uni", tax_id="DE1"))
    assert [(line["item"], line["rule"], line["gpu_hours"], line["held_gpu_hours"], line["unit_price"], line["amount"])
            for line in invoice["lines"]] == [
        ("usage", "held time (rule 6)", "3.000000", "3.000000", "1.2345", "3.70"),
        ("surcharge", "class partner: 25 % surcharge", "3.000000", "0.000000", "0.308625", "0.93"),
    ]  # fmt: skip
    keys = ("class", "class_label", "contact", "tax_id", "net_total", "tax_rate", "tax_total", "total")
    assert [invoice[key] for key in keys] == [
        "partner", "Partners", "ap@uni", "DE1", "4.63", "0.19", "0.88", "5.51",
    ]  # fmt: skip
    exempt = invoices([held("ann", 3 * HOUR)], with_class(of, tax_exempt=True))[0]
    assert [exempt[key] for key in ("net_total", "tax_rate", "tax_total", "total")] == ["4.63", "0", "0.00", "4.63"]


def test_a_subsidy_takes_off_and_names_who_pays() -> None:
    of = AccountClass("campus", Fraction(-1, 5), funder="award 0317")
    (invoice,) = invoices([held("ann", 10 * HOUR)], with_class(of))
    line = invoice["lines"][1]
    assert (line["rule"], line["unit_price"], line["amount"]) == (
        "class campus: 20 % subsidy, paid by award 0317", "-0.2469", "-2.47",
    )  # fmt: skip
    assert invoice["total"] == "9.88"


def test_what_is_free_bears_no_surcharge() -> None:
    of = AccountClass("partner", Fraction(1, 2))
    (invoice,) = invoices([held("ann", 3 * HOUR)], with_class(of, [Free("start", Fraction(1))]))
    assert [(line["item"], line["gpu_hours"]) for line in invoice["lines"]] == [
        ("usage", "3.000000"), ("free", "-1.000000"), ("surcharge", "2.000000"),
    ]  # fmt: skip
    (none,) = invoices([held("ann", HOUR)], with_class(of, [Free("start", Fraction(1))]))
    assert [line["item"] for line in none["lines"]] == ["usage", "free"]


def test_a_statement_is_net_and_speaks_of_no_tax() -> None:
    of = AccountClass("partner", Fraction(1, 4), Fraction(1, 5))
    (invoice,) = invoices([held("ann", HOUR), held("bob", 2 * HOUR)], with_class(of, contact="ap@uni"))
    bob = statement(invoice, "bob")
    assert bob is not None
    assert [line["item"] for line in bob["lines"]] == ["usage", "surcharge"]
    assert not {"contact", "tax_id", "tax_exempt", "net_total", "tax_rate", "tax_total"} & bob.keys()
    assert Fraction(bob["total"]) == sum(Fraction(line["amount"]) for line in bob["lines"])


def test_tax_is_rounded_half_up_once() -> None:
    # 10 % of 0.25 is 0.025.
    of = AccountClass("partner", tax=Fraction(1, 10))
    (invoice,) = invoices([held("ann", HOUR, price=Decimal("0.25"))], with_class(of))
    assert (invoice["tax_total"], invoice["total"]) == ("0.03", "0.28")


@given(
    QUANTITIES,
    st.fractions(-1, 10).map(lambda part: Fraction(round(part * 1000), 1000)),
    st.integers(0, 1000).map(lambda part: Fraction(part, 1000)),
)
def test_lines_add_up_to_the_net_total_and_so_do_statements(rows: list[Charge], part: Fraction, tax: Fraction) -> None:
    of = AccountClass("x", part, tax, funder="uni" if part < 0 else "")
    for invoice in invoices(rows, with_class(of)):
        mine = [row for row in rows if row.account == invoice["account"]]
        owed = sum((row.quantity / HOUR * Fraction(row.key.unit_price) for row in mine), Fraction(0))
        net, total = Fraction(invoice["net_total"]), Fraction(invoice["total"])
        assert abs(net - owed * (1 + part)) <= Fraction(1, 200)
        assert sum(Fraction(line["amount"]) for line in invoice["lines"]) == net
        assert abs(Fraction(invoice["tax_total"]) - net * tax) <= Fraction(1, 200)
        assert total == net + Fraction(invoice["tax_total"])
        parts = [statement(invoice, user) for user in {line["user"] for line in invoice["lines"]}]
        assert sum(Fraction(one["total"]) for one in parts if one) == net
