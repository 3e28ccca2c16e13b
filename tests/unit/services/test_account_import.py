"""A portal's export in the ledger: whole or not at all; what it does not say any more; dates in any order."""

from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_gpucost.costing.accounts import FIELDS
from slurm_gpucost.costing.periods import month, month_at
from slurm_gpucost.domain.errors import ConfigError
from slurm_gpucost.domain.evidence import AccountFact, AccountReport
from slurm_gpucost.ledger import accounts, migrations, reports
from slurm_gpucost.ledger.queries import ask
from slurm_gpucost.ledger.store import Ledger, open_ledger
from slurm_gpucost.services import account_import
from slurm_gpucost.services.account_import import Source
from slurm_gpucost.services.audit import audit
from slurm_gpucost.services.bill import bill
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.settings import load
from slurm_gpucost.sources.portal import ACCOUNT
from tests.unit.builders import T0, accounting, config
from tests.unit.services.test_quantities import fill

NAMES = {field: field for field in FIELDS} | {ACCOUNT: "slurm_account_name", "description": "project"}
HEAD = "slurm_account_name,class,tax_exempt,contact\n"


def take(
    ledger: Ledger, tmp_path: Path, text: str, now: int, from_ms: int | None = None, cluster: str = ""
) -> dict[str, Any]:
    file = tmp_path / "export.csv"
    file.write_text(HEAD + text)
    return account_import.run(ledger, Source(file, cluster, from_ms), NAMES, ("internal", "partner"), now)


def facts(ledger: Ledger, at_ms: int) -> dict[tuple[str, str, str], str]:
    rows = ask(ledger.connection, "account_facts", now_ms=at_ms)
    return {(row["cluster"], row["account"], row["field"]): row["value"] for row in rows}


def test_what_a_later_file_does_not_say_is_taken_back_and_a_repetition_is_nothing_new(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "l.db") as ledger:
        first = take(ledger, tmp_path, "chem,partner,Yes,a@x\nphys,,,p@x\n", 10)
        assert (first["accounts"], len(first["changed"])) == (2, 4)
        assert take(ledger, tmp_path, "phys,,,p@x\nchem,partner,yes,a@x\n", 20)["changed"] == []
        changed = take(ledger, tmp_path, "chem,partner,,b@x\n", 30)["changed"]
        assert [(one["field"], one["value"]) for one in changed] == [("contact", "b@x"), ("tax_exempt", "")]
        assert facts(ledger, 50) == {
            ("", "chem", "class"): "partner", ("", "chem", "contact"): "b@x", ("", "phys", "contact"): "p@x"
        }  # fmt: skip


def test_facts_hold_from_their_day_on_whenever_they_were_imported(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "l.db") as ledger:
        take(ledger, tmp_path, "chem,partner,,b@x\n", 10, from_ms=200)
        take(ledger, tmp_path, "chem,internal,,a@x\n", 20, from_ms=100)
        contacts = {at: facts(ledger, at).get(("", "chem", "contact")) for at in (99, 100, 199, 200)}
        assert contacts == {99: None, 100: "a@x", 199: "a@x", 200: "b@x"}


def test_what_the_portal_says_tonight_leaves_what_was_said_of_days_to_come(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "l.db") as ledger:
        take(ledger, tmp_path, "chem,internal,,\n", 10)
        take(ledger, tmp_path, "chem,partner,,\n", 20, from_ms=100)
        assert take(ledger, tmp_path, "chem,internal,,\n", 30)["changed"] == []
        classes = {at: facts(ledger, at).get(("", "chem", "class")) for at in (9, 10, 99, 100)}
        assert classes == {9: None, 10: "internal", 99: "internal", 100: "partner"}


def test_with_a_fault_nothing_is_taken_and_every_fault_names_file_and_line(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "l.db") as ledger:
        with pytest.raises(ConfigError) as error:
            take(ledger, tmp_path, "chem,partner,,\nphys,partnr,maybe,\n", 10)
        assert [fault.removeprefix(f"{tmp_path}/export.csv: ") for fault in error.value.faults] == [
            "line 3: class: there is no class 'partnr'; did you mean partner?",
            "line 3: tax_exempt: 'maybe' is neither Yes nor No",
        ]
        assert facts(ledger, 50) == {}
        (tmp_path / "latin").write_bytes(b"slurm_account_name\n\xff\n")
        with pytest.raises(ConfigError, match="UTF-8"):
            account_import.run(ledger, Source(tmp_path / "latin", "", 0), NAMES, (), 10)


def test_where_each_fact_comes_from_is_kept(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "l.db") as ledger:
        take(ledger, tmp_path, "phys,,,p@x\nchem,partner,,\n", 10, cluster="t")
        with ledger.transaction() as db:
            reports.add_accounts(db, [AccountReport("t", "chem", 30, "chemistry", "")])
        rows = ask(ledger.connection, "account_facts", now_ms=50)
        assert [
            (r["account"], r["field"], r["source"], r["from_ms"], Path(r["file"]).name, r["line"]) for r in rows
        ] == [
            ("chem", "class", "portal", 10, "export.csv", 3),
            ("chem", "description", "sacctmgr", 30, "", 0),
            ("phys", "contact", "portal", 10, "export.csv", 2),
        ]


said = st.lists(
    st.tuples(
        st.sampled_from(["", "t"]), st.sampled_from(["a", "b"]), st.integers(0, 4), st.sampled_from(["", "x", "y", "z"])
    ),
    max_size=5,
    unique_by=lambda one: one[:3],
)


@settings(deadline=None)  # it makes ledgers, and a busy machine takes its time
@given(said, st.integers(0, 5))
def test_any_order_of_import_gives_the_same(said: Any, at: int) -> None:
    """One value a moment, imported in any order: at each moment the one that began last holds."""
    wanted = {}
    for cluster, account in {one[:2] for one in said}:
        held = [(since, value) for c, a, since, value in said if (c, a) == (cluster, account) and since <= at]
        if held and max(held)[1]:
            wanted[cluster, account, "contact"] = max(held)[1]
    for order in itertools.islice(itertools.permutations(said), 24):
        db = sqlite3.connect(":memory:")
        for statement in migrations.statements("0006_accounts"):
            db.execute(statement)
        for now, (cluster, account, since, value) in enumerate(order):
            fact = AccountFact(cluster, account, "contact", since, now, value, "f", 1)
            accounts.add_facts(db, [fact], dated=True)
            assert accounts.add_facts(db, [fact._replace(imported_at_ms=99)], dated=True) == [], "repeated"
        rows = ask(db, "account_facts", now_ms=at)
        assert {(r["cluster"], r["account"], r["field"]): r["value"] for r in rows} == wanted
        db.close()


def test_an_invoice_is_by_the_class_that_was_imported_when_its_month_began(tmp_path: Path) -> None:
    site = config(tmp_path)
    more = '[classes.partner]\nsurcharge = "0.25"\ntax = "0.19"\n'
    site.path.write_text(site.path.read_text() + more)
    site = fill(load(site.path), [accounting(0, 3600)])
    when = month_at(T0, site.timezone)
    begins = month(when, site.timezone).start_ms
    with open_ledger(site.ledger) as ledger:
        take(ledger, tmp_path, "lab,partner,,\n", T0, from_ms=begins)
        take(ledger, tmp_path, "ops,partner,,\n", T0, from_ms=begins + 1)
    with open_queries(site) as queries:
        (invoice,) = bill(site, queries, when)
        assert [line["item"] for line in invoice["lines"]] == ["usage", "surcharge"]
        assert (invoice["class"], invoice["tax_rate"]) == ("partner", "0.19")
        wrong = [one["what"] for one in audit(site, queries, when, T0)["differences"]]
        assert not {"surcharge", "tax", "charge"} & set(wrong)
    site.path.write_text(site.path.read_text().removesuffix(more))
    with open_queries(load(site.path)) as queries, pytest.raises(ConfigError, match=r"no class 'partner'; declare it"):
        bill(load(site.path), queries, when)
