from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Run = Callable[..., Result]
Ask = Callable[..., Any]
PROMISED = {"kind", "cluster", "account", "period_start", "period_end", "status", "currency", "total", "lines"}
PROMISED_OF_LINES = {"pool", "user", "sku", "gpu_hours", "unit_price", "amount"}


def test_the_keys_that_others_script_against(ask: Ask) -> None:
    made = ask("invoice", "--month", "2026-10")
    assert [(i["kind"], i["cluster"], i["account"]) for i in made] == [
        ("invoice", "t", "bio"),
        ("invoice", "t", "physics"),
    ]
    assert all(i.keys() >= PROMISED and i["status"] == "provisional" and i["currency"] == "EUR" for i in made)
    assert all(line.keys() >= PROMISED_OF_LINES for i in made for line in i["lines"])
    bio, physics = made
    assert bio["period_start"] == "2026-10-01T00:00:00+02:00"
    assert bio["period_end"] == "2026-11-01T00:00:00+01:00"
    # One hour over midnight: half of it is October's.
    assert [(line["user"], line["gpu_hours"], line["amount"]) for line in bio["lines"]] == [("bob", "0.500000", "0.28")]
    assert [(line["user"], line["gpu_hours"]) for line in physics["lines"]] == [
        ("alice", "4.000000"),
        ("bob", "1.500208"),
    ]
    for i in made:
        assert Decimal(i["total"]) == sum(Decimal(line["amount"]) for line in i["lines"])


def test_an_account_and_a_users_statements(ask: Ask) -> None:
    assert [i["account"] for i in ask("invoice", "--month", "2026-10", "-A", "bio")] == ["bio"]
    statements = ask("invoice", "--month", "2026-10", "-u", "bob")
    assert [(s["kind"], s["account"], s["total"]) for s in statements] == [
        ("statement", "bio", "0.28"),
        ("statement", "physics", "0.85"),
    ]
    assert {line["user"] for s in statements for line in s["lines"]} == {"bob"}
    assert ask("invoice", "--month", "2026-10", "-A", "bio", "-u", "alice") == []


def test_the_page(site: Run) -> None:
    result = site("invoice", "--month", "2026-10", "-A", "physics")
    assert result.exit_code == 0
    assert result.stdout.startswith("INVOICE\nCluster:  t\nAccount:  physics\n")
    assert "PROVISIONAL" in result.stdout
    assert result.stderr == "", "October is over, all is priced"
    assert site("invoice", "--month", "2026-10", "-u", "bob").stdout.count("STATEMENT\n") == 2


def test_a_month_that_is_not_over_is_said(site: Run) -> None:
    result = site("invoice", "--month", "2026-11", "--json")
    assert result.exit_code == 0
    assert [i["account"] for i in json.loads(result.stdout)] == ["bio"]
    assert (
        "2026-11 is not over: these are provisional; running jobs count up to the last accounting poll" in result.stderr
    )


def test_a_month_without_anything(site: Run) -> None:
    result = site("invoice", "--month", "2026-09", "-A", "bio")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "gpucost: no GPU time to bill in 2026-09 for bio\n"
    assert site("invoice", "--month", "2026-09", "--json").stdout == "[]\n"
    assert "2027-03 has not begun" in site("invoice", "--month", "2027-03").stderr


def test_what_is_not_priced_is_said(unpriced: Run) -> None:
    result = unpriced("invoice", "--month", "2026-10", "--json")
    assert result.exit_code == 0
    assert "not priced, on no invoice: 2.000000 hours of GPUs (gres/gpu:h300) on t" in result.stderr
    assert "gres_types" in result.stderr, "and what to do"
    assert "h300" not in result.stdout


def test_whose_time_is_not_priced_is_said_to_no_other(unpriced: Run) -> None:
    """The time is bob's, on account bio."""
    for words, said in (
        (["-A", "bio"], True),
        (["-A", "physics"], False),
        (["-u", "bob"], True),
        (["-u", "alice"], False),
    ):
        assert ("not priced" in unpriced("invoice", "--month", "2026-10", *words).stderr) is said, words


def test_csv_holds_the_same_lines(site: Run, ask: Ask, tmp_path: Path) -> None:
    shown = site("invoice", "--month", "2026-10", "--csv", "-")
    assert shown.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(shown.stdout)))
    wanted = [
        {**{k: i[k] for k in ("kind", "cluster", "account", "currency")}, **{k: line[k] for k in PROMISED_OF_LINES}}
        for i in ask("invoice", "--month", "2026-10")
        for line in i["lines"]
    ]
    assert [{k: row[k] for k in wanted[0]} for row in rows] == wanted
    both = site("invoice", "--month", "2026-10", "--csv", "out.csv", "--json")
    assert json.loads(both.stdout)
    assert (tmp_path / "out.csv").read_bytes().decode() == shown.stdout


def test_csv_is_written_whole_or_not_at_all(site: Run, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    result = site("invoice", "--month", "2026-10", "--csv", "dir")
    assert result.exit_code == 1 and "dir: cannot be written" in result.stderr
    assert site("invoice", "--month", "2026-10", "--csv", "no/out.csv").exit_code == 1
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".dir")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--month", "26-10"], "--month: '26-10' is no month; write YYYY-MM, like 2026-10"),
        (["--month", "2026-13"], "--month: '2026-13' is no month"),
        (["--month", "2026-10", "-A", "physic"], "-A physic: the ledger knows no such account; did you mean physics?"),
        (["--month", "2026-10", "-u", "alicia"], "-u alicia: the ledger knows no such user; did you mean alice?"),
        (["--month", "2026-10", "--csv", "-", "--json"], "--csv -: both --json and --csv would be printed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_refused(site: Run, words: list[str], said: str) -> None:
    result = site("invoice", *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
