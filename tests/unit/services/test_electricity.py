"""The electricity bill of a month against what was measured, imputed and assumed; and in the audit."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st

from slurm_gpucost.costing.periods import Period, month_at
from slurm_gpucost.domain.errors import ConfigError
from slurm_gpucost.services.audit import audit
from slurm_gpucost.services.bill import bill
from slurm_gpucost.services.meter import drawn, electricity, energy_costs
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.services.rates import period_costs, period_in
from slurm_gpucost.settings import Settings, load
from tests.unit.builders import T0
from tests.unit.services.test_energy_bill import TARIFF, S, fill, job, two_parts, window

LATER = 40 * 86_400
"""Seconds after T0 at which the accounting was asked: the month of T0 is over."""
SECOND = "\n[pools.main.skus.h100]\ndevices = 2\npurchase_price = 30000\npurchase_date = 2026-01-01\n"
BOUGHT = '\n[[pools.main.meter]]\nmonth = "{}"\nkwh = "0.5"\namount = "0.125"\n'


def metered(tmp_path: Path, more: str = BOUGHT, at: int = LATER) -> Settings:
    """A job measured for 1,000 of its 1,000 s at 100 W, one never measured for 500 s, and 200 W of nobody for 500 s."""
    month = month_at(T0, two_parts(tmp_path).timezone)
    site = two_parts(tmp_path, more=TARIFF + more.format(month))
    rows = [job(1, 0, 1_000), job(2, 0, 500, "n2", user="bob")]
    return fill(site, rows, [window(0, 1_000, 100), window(1_000, 1_500, 200)], at)


def asked(site: Settings) -> dict[str, Any]:
    with open_queries(site) as queries:
        (row,) = electricity(site, queries, month_at(T0, site.timezone), T0)
    return row


def kwh(joules: int) -> Decimal:
    return round(Decimal(joules) / 3_600_000, 6)


def test_the_bill_taken_apart_by_hand(tmp_path: Path) -> None:
    row = asked(metered(tmp_path))
    machines = 100 * 1_000 + 200 * 500 + 100 * 500 + 60 * 1_500
    expected = {
        "measured": kwh(200_000), "imputed": kwh(50_000), "hosts": kwh(90_000), "losses": kwh(machines // 2),
        "difference": Decimal("0.5") - kwh(machines * 3 // 2),
    }  # fmt: skip
    assert {name: Decimal(part["kwh"]) for name, part in row["parts"].items()} == pytest.approx(
        expected, abs=Decimal("0.000001")
    )
    assert row["total"] == {"kwh": "0.500000", "amount": "0.125000"}
    for key in ("kwh", "amount"):  # as they are printed
        assert sum(Decimal(part[key]) for part in row["parts"].values()) == Decimal(row["total"][key])
    assert Decimal(row["parts"]["hosts"]["amount"]) == kwh(90_000) / 4  # 0.125 / 0.5 a kWh
    assert Decimal(row["measured_of_jobs_kwh"]) == kwh(100_000)
    assert (row["basis"], row["complete"], row["pue"], row["kg_co2e"]) == ("meter", True, "1.500000", "0.200000")


def test_without_a_bill_each_moment_has_the_tariffs_price_and_there_is_no_difference(tmp_path: Path) -> None:
    row = asked(metered(tmp_path, ""))
    assert list(row["parts"]) == ["measured", "imputed", "hosts", "losses"]
    dear, cheap = 100 * 1_000, 200 * 500  # the price falls 1,000 s after T0
    exact = (Fraction(dear) * 3 + cheap) / 36_000_000
    assert abs(Fraction(row["parts"]["measured"]["amount"]) - exact) < Fraction(1, 1_000_000)
    assert row["basis"] == "tariff"
    assert sum(Decimal(part["amount"]) for part in row["parts"].values()) == Decimal(row["total"]["amount"])


def test_what_jobs_are_billed_is_what_is_shown_of_them(tmp_path: Path) -> None:
    """Energy on invoices = (of jobs + imputed + hosts) x PUE: none is lost or shown twice."""
    site = metered(tmp_path)
    row = asked(site)
    with open_queries(site) as queries:
        made = bill(site, queries, month_at(T0, site.timezone))
    on_invoices = sum(Decimal(one["energy_kwh"]) for one in made)
    inside = Decimal(row["measured_of_jobs_kwh"]) + sum(Decimal(row["parts"][n]["kwh"]) for n in ("imputed", "hosts"))
    assert on_invoices == pytest.approx(inside * Decimal("1.5"), abs=Decimal("0.000005"))


def test_a_month_that_is_not_over_is_held_against_no_bill(tmp_path: Path) -> None:
    row = asked(metered(tmp_path, at=2_000))
    assert (row["complete"], row["basis"], "difference" in row["parts"]) == (False, "tariff", False)
    assert Decimal(row["parts"]["measured"]["kwh"]) == kwh(200_000)


def test_the_audit_has_the_bills_amount_as_the_cost_of_energy_and_adds_up(tmp_path: Path) -> None:
    site = metered(tmp_path)
    month = month_at(T0, site.timezone)
    with open_queries(site) as queries:
        found = audit(site, queries, month, T0)
        invoices = bill(site, queries, month)
        (line, *_) = [one for one in invoices[0]["lines"] if one["item"] == "energy"]
        line["amount"] = str(Decimal(line["amount"]) + 1)
        changed = audit(site, queries, month, T0, invoices)
    (pool,) = site.pools
    period = period_in(month, pool.timezone)
    fixed = period_costs(pool, period, {"a100": Fraction(0)})["a100"]
    (row,) = found["pools"]
    assert found["differences"] == []
    assert abs(Fraction(row["cost"]) - fixed - Fraction(1, 8)) < Fraction(1, 1_000_000)
    assert {one["what"] for one in changed["differences"]} >= {"invoice", "line"}


def test_the_bill_is_split_by_what_skus_drew_else_by_rated_power(tmp_path: Path) -> None:
    site = metered(tmp_path, BOUGHT + SECOND)
    month, (pool,) = month_at(T0, site.timezone), site.pools
    period = period_in(month, pool.timezone)
    with open_queries(site) as queries:
        assert energy_costs(site, queries, pool, month, period) == {"a100": Fraction(1, 8), "h100": 0}
        assert energy_costs(site, queries, pool, "2026-01", period_in("2026-01", pool.timezone)) is None
        half = Period(period.start_ms, period.end_ms - 1, period.zone)
        assert energy_costs(site, queries, pool, month, half) is None


def test_where_nothing_was_drawn_rated_power_splits_it(tmp_path: Path) -> None:
    site = metered(tmp_path, BOUGHT.replace("{}", "2026-02") + SECOND)
    (pool,) = site.pools
    with open_queries(site) as queries:
        found = energy_costs(site, queries, pool, "2026-02", period_in("2026-02", pool.timezone))
    rated = {sku.name: sku.devices * sku.nameplate_watts for sku in pool.skus}
    assert found == {sku: Fraction(1, 8) * watts / sum(rated.values()) for sku, watts in rated.items()}


@options(deadline=None, max_examples=15)
@given(cuts=st.lists(st.integers(1, 1_999), max_size=4, unique=True))
def test_however_the_time_is_cut_the_sums_are_the_same(cuts: list[int], tmp_path_factory: Any) -> None:
    """Of what is measured, and of jobs. What is imputed follows the mean of the part that is asked for."""
    site = metered(tmp_path_factory.mktemp("cut"))
    (pool,) = site.pools
    moments = [T0 - 10 * S, *(T0 + cut * S for cut in sorted(cuts)), T0 + 2_000 * S]
    totals: dict[str, Fraction] = dict.fromkeys(("measured", "of_jobs"), Fraction(0))
    with open_queries(site) as queries:
        for start, end in pairwise(moments):
            of_sku = drawn(site, queries, pool, Period(start, end, pool.timezone))["a100"]
            for name in totals:
                totals[name] += of_sku.measured.energy_mj if name == "measured" else of_sku.of_jobs("energy")
    assert totals["measured"] == 200_000_000
    assert totals["of_jobs"] == 100_000_000


def test_what_is_wrong_with_bills_is_named_in_one_go(tmp_path: Path) -> None:
    text = two_parts(tmp_path).path.read_text()
    wrong = '[[pools.main.meter]]\nmonth = "{}"\nkwh = {}\namount = 1\n'
    more = "".join(
        wrong.format(month, kwh) for month, kwh in [("2026-13", 1), ("2026-01", 0), ("2026-02", 1), ("2026-02", 2)]
    )
    (tmp_path / "gpucost.toml").write_text(text + more)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "gpucost.toml")
    told = str(caught.value)
    assert "pools.main.meter.0.month: '2026-13' is no month; write YYYY-MM" in told
    assert "pools.main.meter.1.kwh: must be above 0" in told
    assert "pools.main.meter.3.month: 2026-02 stands already as pools.main.meter.2; keep one of them" in told


def test_a_pool_with_one_part_can_be_held_against_its_bill(tmp_path: Path) -> None:
    """Then what divides the bill is no setting without effect."""
    site = metered(tmp_path)
    text = site.path.read_text().replace("rate_parts = 2", "rate_parts = 1")
    site.path.write_text(text)
    row = asked(load(site.path))
    assert Decimal(row["parts"]["hosts"]["kwh"]) == kwh(90_000)
