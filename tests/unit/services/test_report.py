"""Utilization over any window, against a sum over every second of every GPU."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from slurm_gpucost.domain.evidence import AccountingRow
from slurm_gpucost.ledger import ingest, projector
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.services.rates import list_prices
from slurm_gpucost.services.report import account_utilization_by_user
from slurm_gpucost.services.utilization import utilization
from slurm_gpucost.settings import Settings
from tests.unit.builders import T0, accounting, config

KINDS = {
    "gres/gpu:a100=1,gres/gpu=1": Fraction(1),
    "gres/gpu:a100=3,gres/gpu=3": Fraction(3),
    "gres/gpu=2": Fraction(2),  # untyped counts as the only SKU
    "gres/shard=3": Fraction(3, 4),
    "cpu=4,mem=1G": Fraction(0),
}
jobs = st.lists(
    st.tuples(
        st.integers(0, 5_000),
        st.integers(0, 4_000),
        st.integers(0, 100),
        st.sampled_from(sorted(KINDS)),
        st.sampled_from(["ann", "bob"]),
        st.sampled_from(["lab", "ops"]),
        st.sampled_from(["c", "d"]),
    ),
    max_size=10,
)


def make(folder: Path, rows: list[AccountingRow]) -> Settings:
    settings = config(folder)
    with open_ledger(settings.ledger) as ledger:
        with ledger.transaction() as db:
            ingest.add_accounting(db, rows)
        projector.bring_up_to_date(ledger, settings.shards)
    return settings


def report(settings: Settings, low: int, high: int, **other: Any) -> list[dict[str, Any]]:
    with open_queries(settings) as queries:
        return account_utilization_by_user(settings, queries, T0 + low * 1000, T0 + high * 1000, **other)


@hypothesis_settings(max_examples=40, deadline=None)
@given(jobs, st.integers(-100, 6_000), st.integers(1, 6_000))
def test_an_unaligned_window_is_a_brute_force_sum(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[Any, ...]], low: int, length: int
) -> None:
    rows: list[AccountingRow] = []
    wanted: dict[tuple[str, str, str], Fraction] = {}
    for number, (start, long, suspended, tres, user, account, cluster) in enumerate(drawn, 1):
        suspended = min(suspended, long)
        rows.append(
            accounting(
                start, start + long, suspended=suspended, tres=tres, user=user, account=account, cluster=cluster,
                job_id=number,
            )
        )  # fmt: skip
        seconds = sum(low <= second < low + length for second in range(start, start + long - suspended))
        for who in (user, ""):
            key = (cluster, account, who)
            wanted[key] = wanted.get(key, Fraction(0)) + seconds * KINDS[tres]
    settings = make(tmp_path_factory.mktemp("report"), rows)
    price = Fraction(list_prices(settings, {}, T0 + low * 1000)["a100"])
    found = report(settings, low, low + length)
    assert {(r["cluster"], r["account"], r["user"]): Fraction(r["gpu_seconds"]) for r in found} == {
        key: value for key, value in wanted.items() if value
    }
    for row in found:
        exact = Fraction(row["gpu_seconds"]) / 3600
        assert abs(Fraction(row["gpu_hours"]) - exact) <= Fraction(1, 2_000_000)
        assert abs(Fraction(row["cost"]) - exact * price) <= Fraction(1, 200)
        assert (row["sku"], row["currency"], row["cost_kind"]) == ("a100", "EUR", "estimate")


def test_filters_and_the_accounts_own_total(tmp_path: Path) -> None:
    rows = [
        accounting(0, 3600, tres="gres/gpu=1", job_id=1),
        accounting(0, 3600, tres="gres/gpu=2", job_id=2, user="bob"),
        accounting(0, 3600, tres="gres/gpu=4", job_id=3, user="bob", account="ops", cluster="d"),
    ]
    settings = make(tmp_path, rows)

    def hours(**other: Any) -> dict[tuple[str, str], str]:
        return {(r["account"], r["user"]): r["gpu_hours"] for r in report(settings, 0, 7200, **other)}

    assert hours(accounts=["lab"]) == {("lab", ""): "3.000000", ("lab", "ann"): "1.000000", ("lab", "bob"): "2.000000"}
    assert hours(users=["bob"], accounts=["lab"]) == {("lab", ""): "2.000000", ("lab", "bob"): "2.000000"}
    assert hours(clusters=["d"]) == {("ops", ""): "4.000000", ("ops", "bob"): "4.000000"}
    assert hours(users=["nobody"]) == {}


def test_what_has_no_price_is_shown_without_one(tmp_path: Path) -> None:
    settings = make(tmp_path, [accounting(0, 3600, tres="gres/gpu:mi300=1,gres/gpu=1")])
    total, mine = report(settings, 0, 7200)
    assert (mine["user"], mine["sku"], mine["cost"], mine["gpu_hours"]) == ("ann", None, None, "1.000000")
    assert Decimal(total["gpu_seconds"]) == 3600


def test_the_configs_devices_are_those_of_its_own_cluster(tmp_path: Path) -> None:
    settings = make(tmp_path, [accounting(0, 100), accounting(0, 50, cluster="d", job_id=8)])
    with open_queries(settings) as queries:
        rows = utilization(settings, queries, T0, T0 + 1_000_000)
    found = {row["cluster"]: row for row in rows}
    own, other = found["c"], found["d"]
    assert Decimal(own["idle_gpu_seconds"]) == own["devices"] * 1000 - 200
    assert Decimal(own["allocated_gpu_seconds"]) + Decimal(own["idle_gpu_seconds"]) == own["devices"] * 1000
    assert other["allocated_gpu_seconds"] == "100.000"
    assert (other["devices"], other["idle_gpu_seconds"], other["reported_gpu_seconds"]) == (None, None, None)
