"""The audit over the recording of a real cluster: all adds up, and whatever is taken away is missed."""

from __future__ import annotations

import copy
import io
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from slurm_gpucost.services import demo
from slurm_gpucost.services.audit import audit
from slurm_gpucost.services.bill import bill
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.settings import Settings, load

NOW = 1_800_000_000_000
MONTH = "2026-11"
REPOSITORY = Path(__file__).parents[3]
Invoices = list[dict[str, Any]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("audit") / "demo"
    demo.run(folder, io.StringIO())
    return load(folder / "gpucost.toml")


@pytest.fixture
def copied(recorded: Settings, tmp_path: Path) -> Path:
    """A ledger to spoil."""
    path = tmp_path / "ledger.db"
    with sqlite3.connect(recorded.ledger) as source, sqlite3.connect(path) as target:
        source.backup(target)
    return path


def audited(settings: Settings, ledger: Path, change: Callable[[Invoices], None] | None = None) -> dict[str, Any]:
    with open_queries(settings, ledger) as queries:
        invoices = copy.deepcopy(bill(settings, queries, MONTH))
        if change:
            change(invoices)
        return audit(settings, queries, MONTH, NOW, invoices)


def test_all_of_the_recording_adds_up(recorded: Settings) -> None:
    answer = audited(recorded, recorded.ledger)
    assert answer["differences"] == []
    (pool,) = answer["pools"]
    terms = {name: Fraction(pool[name]) for name in ("attributed", "idle", "unavailable", "orphan", "unattributed")}
    assert abs(sum(terms.values()) - Fraction(pool["cost"])) < Fraction(1, 100_000), "but for the sixth decimals"
    assert terms["attributed"] > 0 and terms["orphan"] > 0
    charged = Fraction(pool["attributed"]) + Fraction(pool["recovery_difference"]) + Fraction(pool["rounding"])
    assert abs(charged - Fraction(pool["charged"])) < Fraction(1, 100_000)
    with open_queries(recorded) as queries:
        assert Fraction(pool["charged"]) == sum(Fraction(one["total"]) for one in bill(recorded, queries, MONTH))
    assert all(len(pool[name].partition(".")[2]) == 6 for name in (*terms, "cost", "charged", "rounding"))
    assert answer["accuracy"]["difference_percent"] == "0.000"


@pytest.mark.parametrize(
    ("spoil", "table", "where", "named"),
    [
        ("DELETE FROM", "lease_row", "gres_index IS NOT NULL", "partition"),
        ("DELETE FROM", "device_time", "state = 'idle'", "time"),
        ("UPDATE {} SET end_ms = end_ms - 1", "device_time", "state = 'idle'", "time"),
        ("DELETE FROM", "capacity", "1", "partition"),
    ],
)
def test_what_is_taken_out_of_the_ledger_is_missed(
    recorded: Settings, copied: Path, spoil: str, table: str, where: str, named: str
) -> None:
    with sqlite3.connect(copied) as db:
        key = ", ".join(row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[5])
        what = spoil.format(table) if "{}" in spoil else f"{spoil} {table}"
        done = db.execute(f"{what} WHERE ({key}) = (SELECT {key} FROM {table} WHERE {where} LIMIT 1)")
        assert done.rowcount == 1
    assert named in {one["what"] for one in audited(recorded, copied)["differences"]}


def more(invoice: dict[str, Any], amount: Decimal) -> None:
    """As if so much more were charged."""
    for key in ("net_total", "total"):
        invoice[key] = str(Decimal(invoice[key]) + amount)


def lose_a_line(invoices: Invoices) -> None:
    lost = invoices[0]["lines"].pop(0)
    more(invoices[0], -Decimal(lost["amount"]))


def double_a_line(invoices: Invoices) -> None:
    invoices[0]["lines"].append(invoices[0]["lines"][0])
    more(invoices[0], Decimal(invoices[0]["lines"][0]["amount"]))


def to_another_account(invoices: Invoices) -> None:
    invoices[0]["lines"][0]["user"] = "eve"


def a_cent_more(invoices: Invoices) -> None:
    invoices[0]["total"] = str(Decimal(invoices[0]["total"]) + Decimal("0.01"))


def ten_more(invoices: Invoices) -> None:
    line = invoices[0]["lines"][0]
    line["amount"] = str(Decimal(line["amount"]) + 10)
    more(invoices[0], Decimal(10))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lose_a_line, {"charge"}),
        (double_a_line, {"charge"}),
        (to_another_account, {"charge"}),
        (a_cent_more, {"invoice"}),
        (ten_more, {"line"}),
    ],
)
def test_an_invoice_that_is_not_what_was_used_is_named(
    recorded: Settings, change: Callable[[Invoices], None], named: set[str]
) -> None:
    assert {one["what"] for one in audited(recorded, recorded.ledger, change)["differences"]} >= named


@pytest.fixture(scope="module")
def classed(recorded: Settings) -> Settings:
    """The recording with all of its accounts in a class of their own."""
    path = recorded.path.with_name("classed.toml")
    with open_queries(recorded) as queries:
        accounts = {one["account"] for one in bill(recorded, queries, MONTH)}
    entries = "".join(f'[[accounts]]\nname = "{name}"\nclass = "partner"\n' for name in sorted(accounts))
    said = f"\n[classes.partner]\nsurcharge = 0.25\ntax = 0.19\n{entries}"
    path.write_text(recorded.path.read_text() + said)
    return load(path)


def test_surcharge_and_tax_stand_apart_from_the_balance(recorded: Settings, classed: Settings) -> None:
    plain, answer = audited(recorded, recorded.ledger), audited(classed, classed.ledger)
    assert answer["differences"] == []
    for before, after in zip(plain["pools"], answer["pools"], strict=True):
        same = ("cost", "attributed", "recovery_difference")
        assert [after[name] for name in same] == [before[name] for name in same]
        assert abs(Fraction(after["charged"]) - Fraction(before["charged"])) < Fraction(1, 10), "but for cents"


def _surcharge(invoices: Invoices) -> dict[str, Any]:
    return next(line for one in invoices for line in one["lines"] if line["item"] == "surcharge")


def a_surcharge_that_grew(invoices: Invoices) -> None:
    line = _surcharge(invoices)
    line["amount"] = str(Decimal(line["amount"]) + 10)
    more(next(one for one in invoices if line in one["lines"]), Decimal(10))


def a_surcharge_of_another_part(invoices: Invoices) -> None:
    _surcharge(invoices)["unit_price"] = "9.9999"


def no_surcharge(invoices: Invoices) -> None:
    for one in invoices:
        for line in [line for line in one["lines"] if line["item"] == "surcharge"]:
            one["lines"].remove(line)
            more(one, -Decimal(line["amount"]))


def a_surcharge_twice(invoices: Invoices) -> None:
    line = _surcharge(invoices)
    owner = next(one for one in invoices if line in one["lines"])
    owner["lines"].append(line)
    more(owner, Decimal(line["amount"]))


def more_tax(invoices: Invoices) -> None:
    for key in ("tax_total", "total"):
        invoices[0][key] = str(Decimal(invoices[0][key]) + Decimal("0.01"))


def no_tax(invoices: Invoices) -> None:
    invoices[0] |= {"tax_rate": "0", "tax_total": "0.00", "total": invoices[0]["net_total"]}


def another_class(invoices: Invoices) -> None:
    invoices[0]["class"] = "internal"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (a_surcharge_that_grew, {"surcharge"}),
        (a_surcharge_of_another_part, {"surcharge"}),
        (no_surcharge, {"surcharge"}),
        (a_surcharge_twice, {"surcharge"}),
        (more_tax, {"tax"}),
        (no_tax, {"tax"}),
        (another_class, {"tax"}),
        (ten_more, {"line"}),
        (a_cent_more, {"invoice"}),
    ],
)
def test_a_changed_surcharge_or_tax_is_named(
    classed: Settings, change: Callable[[Invoices], None], named: set[str]
) -> None:
    found = {one["what"] for one in audited(classed, classed.ledger, change)["differences"]}
    assert found >= named
    assert "charge" not in found, "what was used is on its lines all the same"


def test_the_command_says_so_by_its_exit_code(recorded: Settings, copied: Path) -> None:
    words = [sys.executable, "-m", "slurm_gpucost.cli", "audit", "--month", MONTH, "--config", str(recorded.path)]

    def run(ledger: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*words, "--ledger", str(ledger)], capture_output=True, text=True, cwd=REPOSITORY)

    whole = run(recorded.ledger)
    assert (whole.returncode, whole.stderr) == (0, "")
    assert "Everything adds up." in whole.stdout
    with sqlite3.connect(copied) as db:
        db.execute("DELETE FROM device_time WHERE state = 'idle'")
    spoilt = run(copied)
    assert spoilt.returncode == 1
    assert "GPU-hours are in no state" in spoilt.stdout


def test_twenty_thousand_made_up_jobs_add_up(tmp_path: Path) -> None:
    saved, config, ledger = tmp_path / "saved", tmp_path / "gpucost.toml", tmp_path / "ledger.db"
    words = [sys.executable, "-m", "slurm_gpucost.cli"]

    def gpucost(*more: str) -> str:
        given = {"GPUCOST_CONFIG": str(config), "GPUCOST_LEDGER": str(ledger), "PATH": "/usr/bin:/bin"}
        done = subprocess.run([*words, *more], env=given, capture_output=True, text=True, cwd=REPOSITORY)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    with saved.open("wb") as file:
        generate = [sys.executable, str(REPOSITORY / "benchmarks" / "generate_sacct.py"), "20000"]
        subprocess.run(generate, stdout=file, check=True)
    here = ["--timezone", "Asia/Kolkata", "--currency", "EUR", "--cluster", "alpha", "--gpu", "a100=480x12000"]
    gpucost("init", "--config", str(config), *here, "--ledger", str(ledger))
    gpucost("backfill", "--from-file", str(saved))
    gpucost("rates", "publish", "--from", "2025-01-17T06", "--why", "a change within the month")
    assert "Everything adds up." in gpucost("audit", "--month", "2025-01")
