"""A pool that bills by TRES, through the commands: page, CSV, JSON, statements, the derivation, publishing."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.services.test_tres_bill import BLOCKS, KENNESAW, SIDE, fill, job, site

MONTH = "2026-09"


@pytest.fixture
def billed(gpucost: Run, tmp_path: Path) -> list[str]:
    rows = [
        job(1, "cpu=48,mem=360G,node=1"),
        job(2, "cpu=1,gres/gpu=1,gres/gpu:a100=1,mem=16G,node=1", user="bob", node="n2"),
        job(3, "cpu=4,gres/gpu=2,gres/gpu:h100=2,node=1", account="other", node="m1"),
    ]
    made = fill(site(tmp_path, BLOCKS, KENNESAW, SIDE), rows)
    return ["--config", str(made.path)]


def test_page_csv_and_json_say_units(gpucost: Run, billed: list[str]) -> None:
    words = [*billed, "invoice", "--month", MONTH]
    page = gpucost(*words, "-A", "lab").stdout
    assert [line.split() for line in page.splitlines() if "cpu-hours" in line] == [
        ["ann", "cpu", "main", "tres", "held", "time", "(rule", "6)", "48.000000", "cpu-hours", "0.03", "1.44"],
        ["bob", "cpu", "main", "tres", "held", "time", "(rule", "6)", "1.000000", "cpu-hours", "0.03", "0.03"],
    ]
    lab, other = json.loads(gpucost(*words, "--json").stdout)
    assert (lab["account"], lab["total"]) == ("lab", "2.07")
    assert not any("unit" in line for line in other["lines"]), "an invoice without TRES is as it always was"
    assert {line["unit"] for line in lab["lines"]} == {None, "cpu-hours", "GPU-hours"}
    rows = list(csv.DictReader(io.StringIO(gpucost(*words, "--csv", "-").stdout)))
    assert [row["unit_hours"] for row in rows if row["unit"] == "cpu-hours"] == ["48.000000", "1.000000"]
    assert sum(Decimal(row["amount"]) for row in rows) == sum(Decimal(one["total"]) for one in (lab, other))
    alone = gpucost(*words, "-A", "other", "--csv", "-").stdout.splitlines()[0]
    assert alone.endswith(",kwh,kg_co2e")


def test_statements_add_up_and_the_audit_balances(gpucost: Run, billed: list[str]) -> None:
    words = [*billed, "invoice", "--month", MONTH, "--json"]
    both = [json.loads(gpucost(*words, "-u", user, "-A", "lab").stdout)[0] for user in ("ann", "bob")]
    assert [one["total"] for one in both] == ["1.92", "0.15"]
    answer = gpucost(*billed, "audit", "--month", MONTH, "--json")
    assert json.loads(answer.stdout)["differences"] == []


def test_the_derivation_says_how_jobs_are_billed(gpucost: Run, billed: list[str]) -> None:
    words = [*billed, "rates", "explain", "--month", MONTH]
    note = (
        "jobs of this pool are billed by TRES and not by this price: "
        "max(gres/gpu x 0.12 + cpu x 0.03, mem x 0.004) an hour"
    )
    assert f"Note: {note}\n" in gpucost(*words).stdout
    assert gpucost(*billed, "rates", "publish", "--from", f"{MONTH}-01", "--why", "new").exit_code == 0
    a100, h100 = json.loads(gpucost(*words, "--json").stdout)
    assert (a100["version"], a100["notes"], a100["tres"]["combine"]) == (1, [note], "max")
    assert (h100["notes"], "tres" in h100) == ([], False)


def test_what_is_wrong_is_told_without_a_traceback(gpucost: Run, billed: list[str]) -> None:
    path = Path(billed[1])
    path.write_text(path.read_text().replace('cpu = "0.03"', 'cpus = "0.03"'))
    told = gpucost(*billed, "config", "check")
    assert told.exit_code != 0
    assert "pools.main.tres.groups.0.cpus: there is no TRES 'cpus' to price" in told.stderr
