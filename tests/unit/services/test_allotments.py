"""Free allotments from config to invoice and audit."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from slurm_gpucost.costing.periods import month_at
from slurm_gpucost.domain.errors import ConfigError
from slurm_gpucost.services.audit import audit
from slurm_gpucost.services.bill import bill
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.settings import Settings, load
from tests.unit.builders import T0, accounting, config
from tests.unit.services.test_quantities import fill

FREE = """
[[free]]
name = "start-up"
accounts = ["lab"]
gpu_hours = 3
funder = "the institute"
[[free]]
name = "credit"
amount = "0.50"
per = "user"
"""


def site(tmp_path: Path, more: str) -> Settings:
    settings = config(tmp_path)
    settings.path.write_text(settings.path.read_text() + more)
    return load(settings.path)


def test_what_is_free_is_a_line_of_its_own_and_the_audit_adds_up(tmp_path: Path) -> None:
    rows = [
        accounting(0, 3600, job_id=1, tres="gres/gpu:a100=4"),
        accounting(0, 3600, job_id=2, tres="gres/gpu:a100=2", user="bob"),
        accounting(0, 3600, job_id=3, tres="gres/gpu:a100=2", user="bob", state="NODE_FAIL"),
        accounting(0, 3600, job_id=4, tres="gres/gpu:a100=1", user="eve", account="ops"),
    ]
    settings = fill(site(tmp_path, FREE), rows)
    month = month_at(T0, settings.timezone)
    with open_queries(settings) as queries:
        lab, ops = bill(settings, queries, month)
        balance = audit(settings, queries, month, T0 + 100_000_000)
        tampered = [{**lab, "lines": [x for x in lab["lines"] if x["rule"] != "credit"]}, ops]
        tampered[0]["total"] = str(sum(Decimal(x["amount"]) for x in tampered[0]["lines"]))
        missed = audit(settings, queries, month, T0 + 100_000_000, tampered)
    price = Decimal(lab["lines"][0]["unit_price"])
    free = {(x["user"], x["rule"]): Fraction(x["gpu_hours"]) for x in lab["lines"] if x["item"] == "free"}
    assert free["ann", "start-up, paid by the institute"] == -2, "3 hours, by 4 to 2"
    assert free["bob", "start-up, paid by the institute"] == -1
    for user in ("ann", "bob"):
        assert abs(-free[user, "credit"] * Fraction(price) - Fraction(1, 2)) < Fraction(1, 10**5)
    assert Fraction(lab["total"]) == sum(Fraction(x["amount"]) for x in lab["lines"])
    assert abs(Fraction(lab["total"]) - (3 * Fraction(price) - 1)) <= Fraction(1, 200)
    assert [x["item"] for x in ops["lines"]] == ["usage", "free"], "what is taken off stands at the end"
    assert [one for one in balance["differences"] if one["what"] in ("charge", "line", "invoice")] == []
    assert {one["what"] for one in missed["differences"]} >= {"charge"}


def test_everything_that_is_wrong_is_named(tmp_path: Path) -> None:
    wrong = """
[[free]]
name = "a"
gpu_hours = 1
amount = 2
[[free]]
name = "a"
skus = ["h100"]
per = "group"
"""
    with pytest.raises(ConfigError) as raised:
        site(tmp_path, wrong)
    found = [line.partition(": ")[2] for line in str(raised.value).splitlines()]
    assert sorted(found) == [
        "free.0.amount: stands beside gpu_hours; give one of them",
        "free.1.gpu_hours: is missing: give gpu_hours or amount",
        "free.1.name: an allotment before is called 'a' already",
        "free.1.per: 'group' is none of account, user",
        "free.1.skus: 'h100' is no SKU; there are a100",
    ]
