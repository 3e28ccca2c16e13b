from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from slurm_gpucost.costing.periods import month, month_at
from slurm_gpucost.documents.showback import page
from slurm_gpucost.domain.errors import UsageError
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.services.rates import period_costs
from slurm_gpucost.services.showback import showback
from slurm_gpucost.settings import load
from tests.unit.builders import T0, accounting, config
from tests.unit.services.test_quantities import fill


@pytest.mark.parametrize("carrier", ["institution", "users"])
def test_a_months_cost_is_divided_to_the_cent(tmp_path: Path, carrier: str) -> None:
    settings = config(tmp_path)
    text = settings.path.read_text().replace('idle_cost = "institution"', f'idle_cost = "{carrier}"')
    settings.path.write_text(text)
    when = month_at(T0, settings.timezone)
    period = month(when, settings.timezone)
    rows = [
        accounting(0, 36_000, job_id=1), accounting(0, 36_000, job_id=2, user="bob", state="NODE_FAIL"),
        accounting(0, 7, job_id=3, account="ops"),
    ]  # fmt: skip
    settings = fill(load(settings.path), rows, looked_ms=period.end_ms)
    with open_queries(settings) as queries:
        (row,) = showback(settings, queries, when, T0)
    cost = sum(period_costs(settings.pools[0], period).values(), Fraction(0))
    assert abs(Fraction(row["cost"]) - cost) <= Fraction(1, 200)
    assert sum(Decimal(x["cost"]) for x in row["holders"]) + Decimal(row["idle_cost"]) == Decimal(row["cost"])
    assert [(x["account"], x["user"], x["gpu_hours"]) for x in row["holders"]] == [
        ("lab", "ann", "20.000000"), ("lab", "bob", "20.000000"), ("ops", "ann", "0.003889"),
    ]  # fmt: skip
    over = 8 * (period.end_ms - period.start_ms) if carrier == "institution" else 40 * 3_600_000 + 14_000
    assert abs(Fraction(row["cost_per_gpu_hour"]) - cost / over * 3_600_000) < Fraction(1, 10**6)
    assert (row["idle_cost"] == "0.00") == (carrier == "users")
    assert "SHOWBACK for information, no invoice: pool main, SKU a100" in page([row])


def test_a_month_that_is_not_over_is_refused(tmp_path: Path) -> None:
    settings = fill(config(tmp_path), [accounting(0, 3600)])
    with open_queries(settings) as queries, pytest.raises(UsageError, match="showback is for months past"):
        showback(settings, queries, "2099-01", T0)
