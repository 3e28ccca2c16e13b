"""Kennesaw State's case from config to invoice: a job without a GPU that takes a node's CPUs pays for its four GPUs."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Run = Callable[..., Result]
CONFIG = """
cluster = "t"
timezone = "America/New_York"
currency = "USD"
[ledger]
path = "{ledger}"
[pools.vhpc]
pue = 1
planned_utilization = 1
tariff_per_kwh = 0
[pools.vhpc.skus.v100]
devices = 8
# 0.12 for the GPU, 0.03 for each of its 12 CPUs: 0.48 an hour, of 8,760 hours in each of 5 years
purchase_price = "21024"
purchase_date = 2026-01-01
life_years = 5
nodes = "g[1-2]"
gpus_per_node = 4
blocked_cpus_per_gpu = 12
blocked_gib_per_gpu = 128
blocked_whole_gpus = true
"""
HEADER = "JobIDRaw|JobID|User|Account|Partition|State|Submit|Start|End|ElapsedRaw|NodeList|AllocTRES\n"
ROWS = (
    (1, "ann", "cpu=1,gres/gpu:v100=1,gres/gpu=1,mem=16G,node=1"),
    (2, "bob", "cpu=4,gres/gpu:v100=2,gres/gpu=2,mem=480G,node=1"),
    (3, "cy", "cpu=48,gres/gpu:v100=4,gres/gpu=4,mem=256G,node=1"),
    (4, "dee", "cpu=48,mem=360G,node=1"),
    (5, "eve", "cpu=1,mem=5G,node=1"),
)
"""The jobs of https://campus.kennesaw.edu/... vhpc_billing.php; one after another on g1, an hour each."""


@pytest.fixture
def kennesaw(gpucost: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    (tmp_path / "gpucost.toml").write_text(CONFIG.format(ledger=tmp_path / "ledger.db"))
    monkeypatch.setenv("GPUCOST_CONFIG", str(tmp_path / "gpucost.toml"))
    saved = HEADER + "".join(
        f"{n}|{n}|{user}|lab|main|COMPLETED|2026-10-05T{9 + n:02}:00:00|2026-10-05T{9 + n:02}:00:00|"
        f"2026-10-05T{10 + n:02}:00:00|3600|g1|{tres}\n"
        for n, user, tres in ROWS
    )
    result = gpucost("backfill", "--from-file", "-", input=saved)
    assert result.exit_code == 0, result.output

    def run(*words: str) -> Any:
        result = gpucost(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return run


def test_48_cpus_and_no_gpu_pay_for_the_four_gpus_that_they_block(kennesaw: Callable[..., Any]) -> None:
    (invoice,) = kennesaw("invoice", "--month", "2026-10")
    lines = [(one["user"], one["item"], one["gpu_hours"], one["unit_price"], one["amount"]) for one in invoice["lines"]]
    assert lines == [
        ("ann", "usage", "1.000000", "0.4800", "0.48"),
        ("bob", "blocked", "1.000000", "0.4800", "0.48"),  # 480 GiB are 3.75 GPUs': one whole one beside its two
        ("bob", "usage", "2.000000", "0.4800", "0.96"),
        ("cy", "usage", "4.000000", "0.4800", "1.92"),
        ("dee", "blocked", "4.000000", "0.4800", "1.92"),  # as Kennesaw bills it
    ]
    assert Decimal(invoice["total"]) == Decimal("5.76")
    assert {line["rule"] for line in invoice["lines"]} == {"held time (rule 6)"}
    (own,) = kennesaw("invoice", "--month", "2026-10", "-u", "dee")
    assert own["total"] == "1.92"
    answer = kennesaw("audit", "--month", "2026-10")
    assert answer["differences"] == []
    # 12 of the month's 8 x 744 GPU-hours; the month costs 8 x 21,024 / 60.
    (pool,) = answer["pools"]
    attributed = Fraction(8 * 21024, 60) * 12 / (8 * 744)
    assert abs(Fraction(pool["attributed"]) - attributed) <= Fraction(1, 1_000_000)
    assert Decimal(pool["charged"]) == Decimal("5.76")


def test_the_page_says_blocked(gpucost: Run, kennesaw: Callable[..., Any]) -> None:
    page = gpucost("invoice", "--month", "2026-10").stdout
    assert "held time (rule 6), blocked" in page
