from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import Result

from slurm_gpucost.cli.words import ACCOUNT_UTILIZATION_BY_USER as REPORT
from slurm_gpucost.cli.words import parse
from slurm_gpucost.domain.asked_times import as_sreport
from slurm_gpucost.domain.errors import UsageError

Run = Callable[..., Result]
Ask = Callable[..., Any]
BERLIN = ZoneInfo("Europe/Berlin")
OCTOBER = ["cluster", REPORT, "start=2026-10-01", "end=2026-11-01"]


def ms(*when: int) -> int:
    return int(datetime(*when, tzinfo=BERLIN).timestamp()) * 1000  # type: ignore[misc,arg-type]


def test_as_sreport_lays_it_out(site: Run) -> None:
    result = site("report", *OCTOBER, "-t", "Hours")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[1] == "Cluster/Account/User Utilization 2026-10-01T00:00:00 - 2026-10-31T23:59:59 (2682000 secs)"
    assert "an estimate and no invoice" in lines[2]
    cells = [line.split() for line in lines[6:]]
    assert cells == [
        ["t", "bio", "a100", "0.5000", "0.28"],
        ["t", "bio", "bob", "a100", "0.5000", "0.28"],
        ["t", "physics", "a100", "5.5002", "3.13"],
        ["t", "physics", "alice", "a100", "4.0000", "2.28"],
        ["t", "physics", "bob", "a100", "1.5002", "0.85"],
    ]


def test_json_has_both_ends_clipped(ask: Ask) -> None:
    rows = ask("report", *OCTOBER)
    assert [(r["account"], r["user"], r["gpu_seconds"]) for r in rows] == [
        ("bio", "", "1800.000"),
        ("bio", "bob", "1800.000"),
        ("physics", "", "19800.750"),
        ("physics", "alice", "14400.000"),
        ("physics", "bob", "5400.750"),
    ]
    assert {(r["cluster"], r["sku"], r["currency"]) for r in rows} == {("t", "a100", "EUR")}
    part = ask("report", "cluster", "a", "start=2026-10-05T11:00:05", "end=2026-10-05T11:10:06")
    assert [r["gpu_seconds"] for r in part if r["user"] == "alice"] == ["1202.000"], "no need for whole hours"


def test_idle_is_the_configs_capacity_less_what_was_allocated(site: Run, ask: Ask) -> None:
    (row,) = ask("report", "cluster", "util", "start=2026-10-01", "end=2026-11-01")
    october = 31 * 24 * 3600 + 3600  # the clock goes back in it
    assert row["sku"] == "a100"
    assert Decimal(row["reported_gpu_seconds"]) == row["devices"] * october
    assert row["allocated_gpu_seconds"] == "21600.750"
    assert Decimal(row["idle_gpu_seconds"]) == row["devices"] * october - Decimal("21600.750")
    assert row["idle_kind"] == "derived"
    assert "Idle is derived" in site("report", "cluster", "Utilization", "start=2026-10-01", "end=2026-11-01").stdout
    refused = site("report", "cluster", "Utilization", "users=alice")
    assert refused.exit_code == 2
    assert "leave accounts= and users=" in refused.stderr


@pytest.mark.parametrize("unit", ["Seconds", "sec", "MINUTES", "m", "Hours", "h"])
def test_time_formats_in_any_case_and_cut_short(site: Run, unit: str) -> None:
    used = {"s": "14400", "m": "240.00", "h": "4.0000"}[unit[0].lower()]
    shown = site("report", *OCTOBER, "users=alice", "format=used", "-n", "-P", "-t", unit)
    assert shown.stdout == f"{used}\n{used}\n", shown.stderr


def test_minutes_by_default_as_in_sreport(site: Run) -> None:
    assert "Usage reported in GPU Minutes" in site("report", *OCTOBER).stdout


def test_words_and_letters_choose(ask: Ask) -> None:
    def owners(*words: str) -> set[tuple[str, str]]:
        return {(row["account"], row["user"]) for row in ask("report", *OCTOBER, *words) if row["user"]}

    assert owners("accounts=bio") == owners("acct=bio") == owners("AC=bio") == {("bio", "bob")}
    assert owners("Users=alice,bob", "accounts=physics") == {("physics", "alice"), ("physics", "bob")}
    assert owners("clusters=other") == owners("-M", "other") == set()
    assert owners("-a") == owners("all_clusters") == owners("All_Clusters", "-M", "t") == owners()


def test_columns_by_format(site: Run) -> None:
    shown = site("report", *OCTOBER, "format=login,sku,cost%9,currency", "accounts=bio", "-P")
    assert shown.stdout.splitlines()[-3:] == ["Login|SKU|Cost|Currency", "|a100|0.28|EUR", "bob|a100|0.28|EUR"]


def test_what_no_sku_prices_is_shown(unpriced: Run) -> None:
    shown = unpriced("report", *OCTOBER, "accounts=bio", "format=login,sku,used,cost", "-P", "-n", "-t", "Hours")
    assert "bob|unpriced|2.0000|\n" in shown.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["job", "SizesByAccount"], "report job: only cluster reports are made, like: gpucost report cluster"),
        (["cluster"], f"there are {REPORT}, Utilization"),
        (["cluster", "UserUtilizationByAccount"], "report cluster UserUtilizationByAccount: there are"),
        ([*OCTOBER, "tree"], "tree: accounts are not rolled up"),
        ([*OCTOBER, "qos=x"], "qos=x: no such key"),
        ([*OCTOBER, "qoslevel=x"], "ask sreport"),
        ([*OCTOBER, "alice"], "alice: write key=value"),
        ([*OCTOBER, "a=b=c"], "-A b=c: the ledger knows no such account"),
        ([*OCTOBER, "users=nobody-here"], "the ledger knows no such user"),
        ([*OCTOBER, "-t", "HourPer"], "-t HourPer: its percentages need the capacity"),
        ([*OCTOBER, "-t", "Percent"], "-t Percent: its percentages need the capacity"),
        ([*OCTOBER, "-t", "years"], "-t years: there are Seconds, Minutes, Hours"),
        ([*OCTOBER, "-T", "cpu"], "-T cpu: gres/gpu and energy are kept here"),
        ([*OCTOBER, "format=nope"], "format= nope: no such column; there are Cluster, "),
        (["cluster", "a", "start=whenever"], "start= 'whenever'"),
        (["cluster", "a", "start=now"], "the start is not before the end"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_what_is_refused(site: Run, words: list[str], said: str) -> None:
    result = site("report", *words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_the_only_tres_there_is(site: Run) -> None:
    assert site("report", *OCTOBER, "-T", "gres/gpu").exit_code == 0
    assert site("report", *OCTOBER, "-T", "ALL").exit_code == 0


def test_yesterday_by_default_and_never_the_future() -> None:
    now = ms(2026, 11, 23, 14, 5, 30) + 789
    assert as_sreport(None, None, now, BERLIN) == (ms(2026, 11, 22), ms(2026, 11, 23))
    assert as_sreport("2026-11-01", "2027-01-01", now, BERLIN) == (ms(2026, 11, 1), ms(2026, 11, 23, 14, 5, 30))
    assert as_sreport("2026-11-23", "now", now, BERLIN) == (ms(2026, 11, 23), ms(2026, 11, 23, 14, 5, 30))


@settings(deadline=None)
@given(st.integers(2, 7), st.integers(1, len(REPORT)), st.booleans())
def test_names_may_be_cut_short_in_any_case(first: int, second: int, upper: bool) -> None:
    words = ["cluster"[:first], REPORT[:second], "St=now-1day", "F=used", "END=now"]
    asked = parse([word.upper() for word in words] if upper else words)
    assert (asked.start or "").lower() == "now-1day"
    assert (asked.end or "").lower() == "now"
    assert (asked.format or "").lower() == "used"


@settings(deadline=None)
@given(st.lists(st.text(max_size=12), max_size=4))
def test_any_words_are_a_question_or_a_clear_error(words: list[str]) -> None:
    try:
        asked = parse(["cluster", "AccountUtilizationByUser", *words])
    except UsageError as error:
        assert str(error)
    else:
        assert set(asked.lists) <= {"accounts", "users", "clusters"}
