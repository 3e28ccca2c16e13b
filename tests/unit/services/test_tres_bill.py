"""Prices per TRES from config and ledger to invoice and audit: published examples, oracles, nothing billed twice."""

from __future__ import annotations

import io
import json
import tempfile
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st

from slurm_gpucost.costing.lines import Charge, Priced, amount
from slurm_gpucost.costing.periods import Period
from slurm_gpucost.domain.errors import ConfigError
from slurm_gpucost.domain.evidence import AccountingRow, NodeReport, Poll
from slurm_gpucost.ledger import asked, ingest, projector
from slurm_gpucost.ledger.projector import project_dirty
from slurm_gpucost.ledger.reports import add_nodes
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.services import demo
from slurm_gpucost.services.audit import audit
from slurm_gpucost.services.bill import bill, charges, priced_parts, unpriced
from slurm_gpucost.services.publishing import publish
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.services.rates import explain
from slurm_gpucost.services.showback import showback
from slurm_gpucost.settings import Settings, load
from slurm_gpucost.sources.identity import Identity
from tests.unit.builders import T0, accounting

F = Fraction
MONTH = "2026-09"
HOUR = 3600
LOOKED = 900_000
"""Seconds after T0 when the accounting was last asked: after the month's end."""
HELD = "held time (rule 6)"
HEAD = """cluster = "c"
timezone = "UTC"
currency = "EUR"
[ledger]
path = "{ledger}"
[pools.main.skus.a100]
devices = 8
purchase_price = 12000
purchase_date = 2026-01-01
nodes = "n[1-2]"
gpus_per_node = 4
"""
# A node of 48 CPUs and 512 GB with 4 GPUs. https://campus.kennesaw.edu/... /vhpc/vhpc_billing.php
BLOCKS = "blocked_cpus_per_gpu = 12\nblocked_gib_per_gpu = 128\nblocked_whole_gpus = true\n"
KENNESAW = """
[pools.main.tres]
combine = "max"
groups = [{ "gres/gpu" = "0.12", cpu = "0.03" }, { mem = "0.004" }]
"""
SIDE = """
[pools.side.skus.h100]
devices = 4
purchase_price = 30000
purchase_date = 2026-01-01
nodes = "m1"
gpus_per_node = 4
"""


local = datetime.fromisoformat


def weights(more: str = "", lic: str = "license/licA=1.5") -> str:
    """https://slurm.schedmd.com/tres.html, "Billing Weights", at 1 a unit and hour."""
    text = f'"CPU=1.0,Mem=0.25G,GRES/gpu=2.0,{lic}"'
    return f"[pools.main.tres]\nunit_price = 1\nbilling_weights = {text}\n{more}\n"


def site(tmp_path: Path, *tables: str) -> Settings:
    path = tmp_path / "gpucost.toml"
    path.write_text(HEAD.format(ledger=tmp_path / "ledger.db") + "\n".join(tables))
    return load(path)


def fill(site: Settings, rows: Iterable[AccountingRow], gpus: dict[str, str] | None = None) -> Settings:
    """A ledger; ``gpus``: what the controller told of nodes' Gres."""
    with open_ledger(site.ledger) as ledger:
        with ledger.transaction() as db:
            if gpus:
                add_nodes(db, [NodeReport("c", name, T0 - 900_000, gres) for name, gres in gpus.items()])
            ingest.add_accounting(db, [row._replace(observed_at_ms=T0 + LOOKED * 1000) for row in rows])
            asked.add_poll(db, Poll("sacct", "c", T0 + LOOKED * 1000, None, None, 1, 1, 1, 1, ""))
        project_dirty(ledger, site.shards)
        while projector.project_nodes(ledger.connection):
            pass
    return site


def job(n: int, tres: str, start: int = 0, end: int | None = HOUR, node: str = "n1", **other: Any) -> AccountingRow:
    return accounting(start, end, job_id=n, tres=tres, node_list=node, **other)


def invoiced(site: Settings) -> list[dict[str, Any]]:
    with open_queries(site) as queries:
        found: list[dict[str, Any]] = json.loads(json.dumps(bill(site, queries, MONTH)))
        return found


def lines(site: Settings, *items: str) -> list[dict[str, Any]]:
    return [line for one in invoiced(site) for line in one["lines"] if not items or line["item"] in items]


def owes(site: Settings) -> dict[str, Decimal]:
    found: Counter[str] = Counter()
    for line in lines(site):
        found[line["user"]] += Decimal(line["amount"])  # type: ignore[assignment]
    return dict(found)  # type: ignore[arg-type]


def audited(site: Settings, change: Any = None) -> dict[str, Any]:
    invoices = invoiced(site)
    if change:
        change(invoices)
    with open_queries(site) as queries:
        return audit(site, queries, MONTH, T0 + LOOKED * 1000, invoices)


def test_the_cases_that_a_site_publishes(tmp_path: Path) -> None:
    two, four = (f"gres/gpu={n},gres/gpu:a100={n}" for n in (2, 4))
    rows = [
        job(1, "cpu=1,mem=5G,node=1", user="one cpu"),
        job(2, "cpu=1,gres/gpu=1,gres/gpu:a100=1,mem=16G,node=1", user="one gpu"),
        job(3, f"cpu=4,{two},mem=480G,node=1", 2 * HOUR, 3 * HOUR, user="memory"),
        job(4, f"cpu=48,{four},mem=256G,node=1", 4 * HOUR, 5 * HOUR, user="all"),
        job(5, "cpu=48,mem=360G,node=1", 6 * HOUR, 7 * HOUR, user="blocks"),
        job(6, "cpu=48,mem=360G,node=1", node="elsewhere", user="elsewhere"),
    ]
    published = {"one cpu": "0.03", "one gpu": "0.15", "memory": "1.92", "all": "1.92", "blocks": "1.92"}
    made = fill(site(tmp_path, BLOCKS, KENNESAW), rows)
    assert owes(made) == {user: Decimal(price) for user, price in published.items()}
    assert audited(made)["differences"] == []
    formula = site(tmp_path, KENNESAW)
    assert owes(formula)["blocks"] == Decimal("1.44"), "where nothing is blocked the formula alone counts"
    assert [
        (line["sku"], line["unit_hours"], line["unit"], line["unit_price"], line["amount"], line["gpu_hours"])
        for line in lines(made, "tres")
        if line["user"] == "blocks"
    ] == [
        ("cpu", "48.000000", "cpu-hours", "0.03", "1.44", "0.000000"),
        ("gres/gpu", "4.000000", "GPU-hours", "0.12", "0.48", "0.000000"),
    ]
    (mem,) = [line for line in lines(made, "tres") if line["user"] == "memory"]
    assert (mem["unit_hours"], mem["unit"]) == ("480.000000", "GB-hours"), "the dearest group alone"


def test_what_is_held_and_blocked_stays_in_sight_at_price_0(tmp_path: Path) -> None:
    rows = [
        job(1, "cpu=4,gres/gpu=2,gres/gpu:a100=2,mem=480G,node=1"),
        job(2, "cpu=1,gres/gpu=1,gres/gpu:a100=1,mem=1G,node=1", node="n2", state="NODE_FAIL", user="bob"),
    ]
    made = fill(site(tmp_path, BLOCKS, KENNESAW), rows)
    failed = "node failure (rule 4)"
    assert [
        (line["user"], line["item"], line["sku"], line["rule"], line["gpu_hours"], line["held_gpu_hours"])
        for line in lines(made, "usage", "blocked", "waived")
    ] == [
        ("ann", "blocked", "a100", f"{HELD}, billed by TRES", "1.000000", "1.000000"),
        ("ann", "usage", "a100", f"{HELD}, billed by TRES", "2.000000", "2.000000"),
        ("bob", "waived", "a100", failed, "1.000000", "1.000000"),
    ]
    assert {line["unit_price"] for line in lines(made, "usage", "blocked", "waived", "waived_tres")} == {"0"}
    waived = {(line["sku"], line["rule"], line["unit_hours"]) for line in lines(made, "waived_tres")}
    assert waived == {("cpu", failed, "1.000000"), ("gres/gpu", failed, "1.000000")}
    assert owes(made) == {"ann": Decimal("1.92"), "bob": 0}


@pytest.mark.parametrize(
    ("more", "tres", "units", "cost"),
    [
        ("truncate = false", "cpu=1,mem=8G", "3.000000", "3.00"),
        ("truncate = false", "cpu=1,mem=8G,license/licA=1", "4.500000", "4.50"),
        ("", "cpu=1,mem=8G,license/licA=1", "4.000000", "4.00"),
        ("", "cpu=1,mem=10G,license/licA=1", "5.000000", "5.00"),
        ('priority_flags = "MAX_TRES"', "cpu=1,mem=8G", "2.000000", "2.00"),
        ('priority_flags = "MAX_TRES"\ntruncate = false', "cpu=1,mem=8G,license/licA=1", "3.500000", "3.50"),
        ('priority_flags = "MAX_TRES_GRES"', "cpu=1,mem=8G,gres/gpu=1,gres/gpu:a100=1", "4.000000", "4.00"),
    ],
)
def test_slurms_own_examples(tmp_path: Path, more: str, tres: str, units: str, cost: str) -> None:
    made = fill(site(tmp_path, weights(more)), [job(1, tres)])
    found = lines(made, "tres")
    assert sum(Decimal(line["amount"]) for line in found) == Decimal(cost)
    if "false" not in more:
        ((line,),) = (found,)
        assert (line["sku"], line["unit_hours"], line["unit"], line["amount"]) == (
            "billing", units, "billing-hours", cost,
        )  # fmt: skip
    assert audited(made)["differences"] == []


def test_a_unit_has_a_price_and_whole_ones_are_cut_for_each_job(tmp_path: Path) -> None:
    tres = '[pools.main.tres]\ntruncate = true\nunit_price = "0.25"\ngroups = [{ cpu = "0.5" }]\n'
    tres += 'beside = { "license/a" = "0.6" }\n'
    rows = [job(1, "cpu=3,license/a=2"), job(2, "cpu=1"), job(3, "cpu=1")]  # 2.7, 0.5 and 0.5 units
    made = fill(site(tmp_path, tres), rows)
    ((line,),) = (lines(made),)
    assert (line["unit_hours"], line["unit_price"], line["amount"]) == ("2.000000", "0.25", "0.50")


def test_a_group_in_billing_units_by_the_price_of_one(tmp_path: Path) -> None:
    tres = '[pools.main.tres]\nunit_price = "0.5"\ngroups = [{ cpu = 1, mem = "0.25" }]\n'
    made = fill(site(tmp_path, tres), [job(1, "cpu=1,mem=1G")])
    assert [(line["sku"], line["unit_hours"], line["amount"]) for line in lines(made)] == [
        ("billing", "1.250000", "0.63")
    ]


SUM = '[pools.main.tres]\ngroups = [{ "gres/gpu:a100" = 2, "gres/gpu:h100" = 5, cpu = "0.1" }]\n'
BOTH = "cpu=10,gres/gpu=4,gres/gpu:a100={},gres/gpu:h100={},node=2"


def test_who_holds_of_several_pools_is_billed_by_one_of_them(tmp_path: Path) -> None:
    rows = [
        job(1, BOTH.format(3, 1), user="mostly main", node="m1,n1"),
        job(2, BOTH.format(1, 3), user="mostly side", node="m1,n2", start=2 * HOUR, end=3 * HOUR),
        job(3, BOTH.format(2, 2), user="tie", node="m1,n1", start=4 * HOUR, end=5 * HOUR),
        job(4, "cpu=10,node=1", user="cpus of main", start=4 * HOUR, end=5 * HOUR, node="n2"),
        job(5, "cpu=10,node=2", user="cpus of side", start=4 * HOUR, end=5 * HOUR, node="n2,m1"),
    ]
    made = fill(site(tmp_path, SUM, SIDE), rows)
    with open_queries(made) as queries:
        price = {sku: F(p) for part in priced_parts(made, queries, MONTH).values() for sku, p in part.prices.items()}
    expected = {
        "mostly main": F(3 * 2 + 1 * 5 + 1), "mostly side": price["a100"] + 3 * price["h100"],
        "tie": F(2 * 2 + 2 * 5 + 1), "cpus of main": F(1),
    }  # fmt: skip
    found: Counter[str] = Counter()
    for line in lines(made):
        found[line["user"]] += round(F(line["gpu_hours"]) if line["item"] != "tres" else F(line["unit_hours"]))
    assert {user: abs(F(owed) - expected[user]) < F(1, 50) for user, owed in owes(made).items()} == dict.fromkeys(
        expected, True
    )
    assert found["mostly main"] == 4 + 4 + 10, "each GPU-hour once at price 0, each unit once by TRES"
    assert audited(made)["differences"] == []


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
def test_months_that_begin_at_other_times_bill_nothing_twice_and_leave_nothing_out(tmp_path: Path, zone: str) -> None:
    at = int(local("2026-10-01T00:00:00+00:00").timestamp()) - T0 // 1000
    row = job(1, BOTH.format(3, 1), at - 8 * HOUR, at + 8 * HOUR, "m1,n1")
    made = fill(site(tmp_path, SUM, f'[pools.side]\ntimezone = "{zone}"', SIDE), [row])
    found: Any = Counter()
    with open_queries(made) as queries:
        for month in ("2026-09", "2026-10"):
            for one in charges(made, queries, priced_parts(made, queries, month), month):
                found[one.key.kind, one.key.sku] += amount(one.key, one.quantity)
                found["held", one.key.sku] += one.held / HOUR / 1000
    assert {key: value for key, value in found.items() if value} == {
        ("tres", "cpu"): 16, ("tres", "gres/gpu:a100"): 16 * 6, ("tres", "gres/gpu:h100"): 16 * 5,
        ("held", "a100"): 16 * 3, ("held", "h100"): 16,
    }  # fmt: skip


def test_the_inventory_says_to_which_pool_a_node_belongs(tmp_path: Path) -> None:
    nodes = {"k1": "gpu:a100:4", "n1": "gpu:h100:4"}
    rows = [
        job(1, "cpu=10", node="k1"),
        job(2, "cpu=10", node="n1", user="bob"),
        job(3, "cpu=10", node="n2", user="cy"),
    ]
    made = fill(site(tmp_path, SUM, SIDE), rows, nodes)
    assert owes(made) == {"ann": 1, "cy": 1}, "of n2 the inventory says nothing"
    assert audited(made)["differences"] == []


def test_gpus_without_a_price_stay_unpriced(tmp_path: Path) -> None:
    made = fill(site(tmp_path, SUM), [job(1, "cpu=10,gres/gpu=1,gres/gpu:other=1")])
    assert lines(made) == []
    with open_queries(made) as queries:
        (row,) = unpriced(made, queries, T0, T0 + HOUR * 1000)
    assert (row["gres"], row["unit_hours"]) == ("gpu:other", "1.000000")


def test_a_text_that_is_no_alloc_tres_is_billed_by_what_was_held(tmp_path: Path) -> None:
    made = fill(site(tmp_path, SUM), [job(1, "cpu=what,gres/gpu=1,gres/gpu:a100=1")])
    ((line,),) = (lines(made),)
    assert (line["item"], line["gpu_hours"], line["rule"]) == ("usage", "1.000000", HELD)
    assert Decimal(line["amount"]) > 0
    assert audited(made)["differences"] == []


def test_shares_of_a_gpu_cost_what_they_are_priced_at(tmp_path: Path) -> None:
    shards, tres = "shards = 4\n", '[pools.main.tres]\ngroups = [{ cpu = 1, "gres/shard" = "0.5" }]\n'
    made = fill(site(tmp_path, shards, tres), [job(1, "cpu=1,gres/shard=2")])
    assert [(line["item"], line["sku"], line["amount"]) for line in lines(made)] == [
        ("usage", "a100", "0.00"), ("tres", "cpu", "1.00"), ("tres", "gres/shard", "1.00"),
    ]  # fmt: skip
    assert lines(made)[0]["gpu_hours"] == "0.500000"


def test_suspended_time_is_on_no_line_of_tres_and_what_runs_counts_to_the_last_look(tmp_path: Path) -> None:
    rows = [
        job(1, "cpu=10,gres/gpu=1,gres/gpu:a100=1", suspended=HOUR // 2),
        job(2, "cpu=10", suspended=HOUR // 4, user="bob"),
        job(3, "cpu=10", LOOKED - 800_000, None, user="cy"),
    ]
    made = fill(site(tmp_path, SUM), rows)
    hours = {(line["user"], line["sku"]): F(line["unit_hours"]) for line in lines(made, "tres", "waived_tres")}
    month_ends = (int(local("2026-10-01T00:00:00+00:00").timestamp()) - T0 // 1000) - 100_000
    assert hours == {
        ("ann", "cpu"): 5, ("ann", "gres/gpu:a100"): F(1, 2), ("bob", "cpu"): F(15, 2),
        ("cy", "cpu"): round(F(10 * month_ends, HOUR), 6),
    }  # fmt: skip
    assert audited(made)["differences"] == []


def test_the_rules_decide_and_of_an_outage_each_node_has_its_part(tmp_path: Path) -> None:
    rules = (
        '[[rules]]\nname = "out"\nfactor = 0\noutage = "declared"\n'
        '[[rules]]\nname = "half"\nfactor = "0.5"\nqos = "scavenge"\n'
        '[[rules]]\nname = "rest"\nfactor = 1\n'
        '[[outages]]\nnodes = "n2"\nfrom = 2026-09-21T14:13:20Z\nuntil = 2026-09-21T14:43:20Z\n'
    )
    rows = [job(1, "cpu=20,node=2", node="n[1-2]"), job(2, "cpu=10", qos="scavenge", user="bob")]
    made = fill(site(tmp_path, SUM, rules), rows)
    assert [(one["user"], one["item"], one["rule"], one["unit_hours"], one["amount"]) for one in lines(made)] == [
        ("ann", "tres", "rest (rule 3)", "15.000000", "1.50"),
        ("ann", "waived_tres", "out (rule 1)", "5.000000", "0.00"),
        ("bob", "tres", "half (rule 2)", "5.000000", "0.50"),
        ("bob", "waived_tres", "half (rule 2)", "5.000000", "0.00"),
    ]
    assert audited(made)["differences"] == []


def test_whatever_rules_ask_nothing_is_left_at_the_price_of_the_hour(tmp_path: Path) -> None:
    rules = (
        '[[rules]]\nname = "out"\nfactor = 0\noutage = "declared"\n'
        '[[rules]]\nname = "short"\nfactor = "0.25"\nshorter_than_seconds = 600\n'
        '[[rules]]\nname = "all"\nfactor = 1\n'
        '[[outages]]\nnodes = "n2"\nfrom = 2026-09-21T14:13:20Z\nuntil = 2026-09-21T14:43:20Z\n'
    )
    gpus = "cpu=30,gres/gpu=2,gres/gpu:a100=2"
    rows = [
        job(1, f"{gpus},node=2", node="n[1-2]"),
        job(2, gpus, end=500, user="bob"),
        job(3, gpus, end=700, node="n2", user="cy"),
        job(4, gpus, LOOKED - 800_000, None, user="dee"),
        job(5, gpus, HOUR, 2 * HOUR, node="n2", suspended=HOUR // 2, user="eve"),
    ]
    made = fill(
        site(tmp_path, BLOCKS.replace("true", "false"), SUM, rules), rows, {"n1": "gpu:a100:4", "n2": "gpu:a100:4"}
    )
    held, by_hour = (lines(made, *kinds) for kinds in (("usage", "blocked", "waived"), ("usage", "blocked")))
    assert {line["unit_price"] for line in held} == {"0"}
    assert {line["item"] for line in by_hour} == {"usage", "blocked"}
    without = lines(site(tmp_path, BLOCKS.replace("true", "false"), rules), "usage", "blocked", "waived")
    assert [_seen(line) for line in held] == [_seen(line) for line in without], "what is in sight is what it was"
    assert audited(site(tmp_path, BLOCKS.replace("true", "false"), SUM, rules))["differences"] == []


def _seen(line: dict[str, Any]) -> tuple[Any, ...]:
    rule = line["rule"].removesuffix(", billed by TRES")
    return line["user"], line["item"], rule, line["gpu_hours"], line["held_gpu_hours"]


def test_surcharge_and_tax_apply_and_free_hours_do_not(tmp_path: Path) -> None:
    more = (
        '[classes.external]\nsurcharge = "0.25"\ntax = "0.19"\n[[accounts]]\nname = "lab"\nclass = "external"\n'
        '[[free]]\nname = "start"\namount = 1000\n'
    )
    made = fill(site(tmp_path, SUM, SIDE, more), [job(1, "cpu=40,gres/gpu=1,gres/gpu:a100=1")])
    (invoice,) = invoiced(made)
    assert (invoice["net_total"], invoice["tax_total"]) == ("7.50", "1.43")  # (4 + 2) x 1.25
    assert [
        (line["item"], line["sku"], line["unit_hours"], line["unit"], line["amount"])
        for line in invoice["lines"]
        if line["item"] == "tres_surcharge"
    ] == [
        ("tres_surcharge", "cpu", "40.000000", "cpu-hours", "1.00"),
        ("tres_surcharge", "gres/gpu:a100", "1.000000", "GPU-hours", "0.50"),
    ]
    assert audited(made)["differences"] == []

    def lose(invoices: list[dict[str, Any]]) -> None:
        drop(invoices, "tres_surcharge")

    assert {one["what"] for one in audited(made, lose)["differences"]} >= {"surcharge"}


def drop(invoices: list[dict[str, Any]], item: str) -> None:
    """Removes the first such line, and what it cost."""
    for one in invoices:
        for line in [line for line in one["lines"] if line["item"] == item][:1]:
            one["lines"].remove(line)
            one["total"] = one["net_total"] = str(Decimal(one["net_total"]) - Decimal(line["amount"]))


def test_the_audit_misses_a_line_that_is_gone_or_another(tmp_path: Path) -> None:
    rows = [job(1, "cpu=40,gres/gpu=1,gres/gpu:a100=1"), job(2, "cpu=10", state="NODE_FAIL", user="bob")]
    made = fill(site(tmp_path, SUM, SIDE), rows, {"n1": "gpu:a100:4", "m1": "gpu:h100:4"})
    assert audited(made)["differences"] == []

    def dearer(invoices: list[dict[str, Any]]) -> None:
        for one in (line for line in invoices[0]["lines"] if line["item"] == "tres"):
            one["amount"] = str(Decimal(one["amount"]) + 1)

    def repriced(invoices: list[dict[str, Any]]) -> None:
        for one in (line for line in invoices[0]["lines"] if line["item"] == "tres"):
            one["unit_price"] = "9"

    assert {one["what"] for one in audited(made, lambda found: drop(found, "tres"))["differences"]} == {"charge"}
    assert {one["what"] for one in audited(made, dearer)["differences"]} >= {"invoice", "line"}
    assert {one["what"] for one in audited(made, repriced)["differences"]} & {"charge", "line"}


def test_held_time_is_attributed_as_where_it_is_billed_by_the_hour(tmp_path: Path) -> None:
    rows = [job(1, "cpu=40,gres/gpu=2,gres/gpu:a100=2", end=20 * HOUR), job(2, "cpu=48,mem=1G", node="n2", user="bob")]
    nodes = {"n1": "gpu:a100:4", "n2": "gpu:a100:4"}
    by_tres = audited(fill(site(tmp_path, BLOCKS, SUM), rows, nodes))["pools"]
    by_hour = audited(site(tmp_path, BLOCKS))["pools"]
    same = ("cost", "attributed", "idle", "unavailable")
    assert [[one[name] for name in same] for one in by_tres] == [[one[name] for name in same] for one in by_hour]
    with open_queries(made := site(tmp_path, BLOCKS, SUM)) as queries:
        (told,) = showback(made, queries, MONTH, T0 + LOOKED * 1000)
    assert sum(F(one["gpu_hours"]) for one in told["holders"]) == 20 * 3 + 4, "held and blocked"


WHO = Identity("ann", 0, "admin1", "")


def test_what_is_published_is_billed_whatever_the_config_says_later(tmp_path: Path) -> None:
    at = int(local("2026-09-24T00:00:00+00:00").timestamp()) - T0 // 1000
    rows = [
        job(1, "cpu=10,gres/gpu=1,gres/gpu:a100=1", at - HOUR, at + HOUR),
        job(2, "cpu=10", at, at + HOUR, user="bob"),
    ]
    made = fill(site(tmp_path, SUM), rows)
    with open_ledger(made.ledger) as ledger:
        publish(site(tmp_path), ledger, local("2026-09-01"), WHO, "by the hour", T0)
        publish(made, ledger, local("2026-09-24"), WHO, "by TRES", T0)
        publish(site(tmp_path), ledger, local("2026-09-27"), WHO, "by the hour again", T0)
    dearer = site(tmp_path, SUM.replace('"gres/gpu:a100" = 2', '"gres/gpu:a100" = 200'))
    for later in (site(tmp_path), dearer):
        told = [
            (line["user"], line["item"], line["sku"], line["gpu_hours"], line["unit_price"]) for line in lines(later)
        ]
        with open_queries(later) as queries:
            price = str(priced_parts(later, queries, MONTH)["main", first_ms()].prices["a100"])
        assert told == [
            ("ann", "usage", "a100", "1.000000", price), ("ann", "usage", "a100", "1.000000", "0"),
            ("ann", "tres", "cpu", "0.000000", "0.1"), ("bob", "tres", "cpu", "0.000000", "0.1"),
            ("ann", "tres", "gres/gpu:a100", "0.000000", "2"),
        ]  # fmt: skip
        assert audited(later)["differences"] == []
    with open_queries(dearer) as queries:
        shown = explain(dearer, MONTH, queries.ask("rates"))
    assert [one.get("tres", {}).get("groups") for one in shown] == [
        None, [{"gres/gpu:a100": "2", "gres/gpu:h100": "5", "cpu": "0.1"}], None,
    ]  # fmt: skip
    assert [note for one in shown for note in one["notes"]] == [
        "jobs of this pool are billed by TRES and not by this price: "
        "gres/gpu:a100 x 2 + gres/gpu:h100 x 5 + cpu x 0.1 an hour"
    ]


def first_ms() -> int:
    return int(local("2026-09-01T00:00:00+00:00").timestamp()) * 1000


def test_rounding_beside_published_prices_per_tres_is_an_error_that_says_so(tmp_path: Path) -> None:
    made = fill(site(tmp_path, SUM), [job(1, "cpu=10")])
    with open_ledger(made.ledger) as ledger:
        publish(made, ledger, local("2026-09-01"), WHO, "", T0)
    rounds = site(tmp_path, '[billing]\nrounding = "attempt"\nrounding_step_seconds = 60\n')
    with open_queries(rounds) as queries, pytest.raises(ConfigError, match=r"gpucost.toml: billing.rounding: .*main"):
        bill(rounds, queries, MONTH)


def test_other_pools_and_other_sites_are_billed_as_before(tmp_path: Path) -> None:
    rows = [
        job(1, "cpu=1,gres/gpu=2,gres/gpu:h100=2", node="m1", user="bob"),
        job(2, "cpu=10,gres/gpu=1,gres/gpu:a100=1"),
    ]
    without = fill(site(tmp_path, SIDE), rows)
    before = [line for line in lines(without) if line["pool"] == "side"]
    assert before and not any("unit" in line for line in before)
    after = [line for line in lines(site(tmp_path, SUM, SIDE)) if line["pool"] == "side"]
    assert [{key: line[key] for key in before[0]} for line in after] == before
    (alone,) = before
    assert alone["amount"] != "0.00"


def test_a_real_clusters_month_by_tres(tmp_path: Path) -> None:
    demo.run(tmp_path / "demo", io.StringIO())
    path = tmp_path / "demo" / "gpucost.toml"
    by_hour = load(path)
    groups = '[{ cpu = "30", "gres/gpu" = "500", "gres/shard" = "100" }]'
    path.write_text(f"{path.read_text()}\n[pools.main.tres]\ngroups = {groups}\n")
    made = load(path)
    hours: list[dict[str, Fraction]] = []
    for one in (by_hour, made):
        with open_queries(one) as queries:
            found = [line for made_ in bill(one, queries, "2026-11") for line in made_["lines"]]
            assert audit(one, queries, "2026-11", 1_800_000_000_000)["differences"] == []
        sums: Any = Counter()
        for line in found:
            sums[line["user"]] += F(line["held_gpu_hours"])
        hours.append(dict(sums))
    assert hours[0] == hours[1], "what was held is all in sight"
    assert {line["sku"] for line in found if line["item"] == "tres"} == {"cpu", "gres/gpu", "gres/shard"}
    assert {line["item"] for line in found if line["unit_price"] != "0"} == {"tres"}, "nothing is billed by the hour"


KIND = st.sampled_from(["", "a100", "h100", "both"])
JOBS = st.lists(
    st.tuples(
        st.integers(0, 60), st.integers(1, 60), KIND, st.integers(1, 3), st.integers(0, 20), st.integers(0, 40),
        st.sampled_from(["COMPLETED", "NODE_FAIL"]), st.integers(0, 20),
    ),
    min_size=1, max_size=5,
)  # fmt: skip
PRICES = ('"gres/gpu" = "0.7"', 'cpu = "0.3"', 'mem = "0.11"')


@given(JOBS, st.sampled_from(["sum", "max"]), st.lists(st.integers(1, 149), max_size=3, unique=True))
@options(max_examples=40, deadline=None)
def test_any_jobs_against_the_formula_second_by_second_and_however_cut(
    drawn: Any, combine: str, cuts: list[int]
) -> None:
    groups = ", ".join(f"{{ {price} }}" for price in PRICES)
    tres = f'[pools.main.tres]\ncombine = "{combine}"\ngroups = [{groups}]\n'
    rows, expected, gpus, held_s = [], Counter[str](), Counter[str](), 0
    for n, (start, length, kind, count, cpus, gib, state, stopped) in enumerate(drawn, 1):
        stopped = min(stopped, length)
        held = {"a100": count if kind in ("a100", "both") else 0, "h100": count + 1 if kind in ("h100", "both") else 0}
        if kind == "both" and n % 2:
            held["a100"] = 9  # mostly of main
        total = sum(held.values())
        held_s += total * length
        typed = "".join(f",gres/gpu:{name}={n_}" for name, n_ in held.items() if n_)
        text = f"cpu={cpus},mem={gib}G,node=1" + (f",gres/gpu={total}{typed}" if total else "")
        rows.append(job(n, text, start, start + length, user=f"u{n}", state=state, suspended=stopped))
        owner_main = held["a100"] >= held["h100"] or not total
        for _ in range(length - stopped if state == "COMPLETED" else 0):
            each = [F("0.7") * total, F("0.3") * cpus, F("0.11") * gib]
            if owner_main:
                expected[f"u{n}"] += max(each) if combine == "max" else sum(each)
            else:
                gpus["a100"] += held["a100"]
                gpus["h100"] += held["h100"]
    with tempfile.TemporaryDirectory() as folder:
        made = fill(site(Path(folder), tres, SIDE), rows)
        prices = made.pools[0].tres
        ends = [T0 + one * 1000 for one in (0, *sorted(cuts), 150)]
        price = {"a100": Decimal("1000"), "h100": Decimal("2000")}
        sums = []
        for at in (ends, [ends[0], ends[-1]]):
            parts = {
                (pool, low): Priced(Period(low, high, made.timezone), price, 1, prices if pool == "main" else None)
                for low, high in pairwise(at)
                for pool in ("main", "side")
            }
            with open_queries(made) as queries:
                sums.append(_owed(charges(made, queries, parts, MONTH)))
    assert sums[0] == sums[1]
    by_hour = sum(price[sku] * n for sku, n in gpus.items())
    assert sums[0] == {
        "tres": {user: value for user, value in expected.items() if value}, "hours": F(by_hour),
        "held": held_s,
    }  # fmt: skip


def _owed(found: list[Charge]) -> dict[str, Any]:
    """What is owed by TRES by user and by GPU-hours in all, x 3,600; and the device-seconds behind all lines."""
    tres: Any = Counter()
    hours, held = F(0), F(0)
    for one in found:
        value = amount(one.key, one.quantity) * HOUR
        if one.key.kind == "tres":
            tres[one.key.user] += value
        else:
            hours += value
        held += one.held
    return {"tres": {user: value for user, value in tres.items() if value}, "hours": hours, "held": held / 1000}


ALONE = st.lists(
    st.tuples(st.integers(1, 48), st.integers(1, 512), st.integers(0, 4), st.sampled_from(["n1", "n2"])), max_size=6
)


@given(ALONE, st.booleans())
@options(max_examples=25, deadline=None)
def test_jobs_that_are_alone_on_their_node_pay_for_all_that_nobody_else_can_use(drawn: Any, whole: bool) -> None:
    blocks = BLOCKS if whole else BLOCKS.replace("true", "false")
    rows, expected = [], Counter[str]()
    for n, (cpus, gib, gpus, node) in enumerate(drawn, 1):
        gres = f",gres/gpu={gpus},gres/gpu:a100={gpus}" if gpus else ""
        rows.append(job(n, f"cpu={cpus},mem={gib}G{gres}", 100 * n, 100 * n + 10, node, user=f"u{n}"))
        blocked = max(F(cpus, 12), F(gib, 128), F(gpus)) - gpus
        blocked = F(blocked.numerator // blocked.denominator) if whole else blocked
        expected[f"u{n}"] += 10 * max((gpus + blocked) * F("0.12") + cpus * F("0.03"), gib * F("0.004"))
    with tempfile.TemporaryDirectory() as folder:
        made = fill(site(Path(folder), blocks, KENNESAW), rows)
        with open_queries(made) as queries:
            found = _owed(charges(made, queries, priced_parts(made, queries, MONTH), MONTH))
    assert (found["tres"], found["hours"]) == (expected, 0)
