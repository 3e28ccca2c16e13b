"""Owned devices from config and ledger to invoices, audit, published rates and showback: the golden example, by hand.

Eight devices, four of them physics'. Operating one costs o = 4,380 a year: 2,190 of staff, and as much of energy,
0.5 kW x 8,760 h x 0.50. Depreciation of the institution's four is d = 2,628 a year each; u = 0.8:

    posted = (4 o + 4 d) / (4 x 8,760 x u) = 28,032 / 28,032 = 1.0000      operating price = o / 8,760 = 0.5000

October 2026 in UTC has 744 hours: the share has 2,976, the institution's devices as many. Physics uses 1,000, and bio
2,476 = half of the 4,952 that were open to it. So half of physics' 1,976 unused hours were bio's, and half of what it
paid for them is physics': 494.00.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from slurm_gpucost.domain.evidence import AccountingRow
from slurm_gpucost.ledger.queries import ask
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.services.audit import audit
from slurm_gpucost.services.bill import bill
from slurm_gpucost.services.publishing import history, publish
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.services.rates import cards_of, explain
from slurm_gpucost.services.showback import showback
from slurm_gpucost.settings import Settings, load
from slurm_gpucost.sources.identity import Identity
from tests.unit.builders import T0, accounting
from tests.unit.services.test_quantities import fill

MONTH = "2026-10"
OCTOBER = 1_790_812_800 - T0 // 1000
"""Seconds after T0 at which October begins in UTC."""
OVER = T0 + (OCTOBER + 745 * 3600) * 1000
WHO = Identity("ann", 0, "admin1", "")
SITE = """cluster = "c"
timezone = "UTC"
currency = "EUR"
[ledger]
path = "LEDGER"
[pools.main]
pue = 1
tariff_per_kwh = "0.5"
planned_utilization = "0.8"
idle_cost = "owners"
[pools.main.yearly_costs]
staff = 17520
[pools.main.skus.a100]
devices = 8
nameplate_watts = 500
[[pools.main.assets]]
tag = "HPC-1"
sku = "a100"
quantity = 4
price = 52560
in_service = 2026-01-01
[[pools.main.assets]]
tag = "PHYS-1"
sku = "a100"
quantity = 4
price = 60000
in_service = 2026-01-01
owner = "physics"
[[pools.main.shares]]
account = "physics"
devices = 4
from = 2026-01-01
guests_pay_owner = "0.5"
accounts = ["astro"]
"""
Invoices = list[dict[str, Any]]


def job(hours: int, gpus: int, number: int, **other: Any) -> AccountingRow:
    tres = f"gres/gpu:a100={gpus}"
    return accounting(OCTOBER, OCTOBER + hours * 3600, job_id=number, tres=tres, **other)


def site(tmp_path: Path, rows: list[AccountingRow] | None = None, text: str = SITE) -> Settings:
    path = tmp_path / "gpucost.toml"
    path.write_text(text.replace("LEDGER", str(tmp_path / "ledger.db")))
    jobs = [job(500, 2, 1, account="physics"), job(619, 4, 2, account="bio", user="ben")]
    return fill(load(path), jobs if rows is None else rows, looked_ms=OVER)


def lines(invoice: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        tuple(line[key] for key in ("item", "user", "gpu_hours", "unit_price", "amount")) for line in invoice["lines"]
    ]


def test_the_golden_month(tmp_path: Path) -> None:
    settings = site(tmp_path)
    with open_queries(settings) as queries:
        bio, physics = bill(settings, queries, MONTH)
        (own,) = bill(settings, queries, MONTH, "physics", "ann")
    assert (bio["account"], lines(bio)) == ("bio", [("usage", "ben", "2476.000000", "1.0000", "2476.00")])
    assert lines(physics) == [
        ("usage", "ann", "1000.000000", "1.0000", "1000.00"),
        ("covered", "ann", "-1000.000000", "1.0000", "-1000.00"),
        ("share", "", "2976.000000", "0.5000", "1488.00"),
        ("guests", "", "-988.000000", "0.5000", "-494.00"),
    ]
    assert physics["total"] == "994.00"
    assert (own["total"], len(own["lines"])) == ("0.00", 2), "what the account pays is nobody's use"


def lose(item: str) -> Callable[[Invoices], None]:
    def change(invoices: Invoices) -> None:
        invoice = invoices[-1]
        lost = next(line for line in invoice["lines"] if line["item"] == item)
        invoice["lines"].remove(lost)
        for key in ("net_total", "total"):
            invoice[key] = str(Decimal(invoice[key]) - Decimal(lost["amount"]))

    return change


def more(item: str) -> Callable[[Invoices], None]:
    def change(invoices: Invoices) -> None:
        line = next(line for line in invoices[-1]["lines"] if line["item"] == item)
        for where, key in ((line, "amount"), (invoices[-1], "net_total"), (invoices[-1], "total")):
            where[key] = str(Decimal(where[key]) + 1)

    return change


def test_the_audit_balances_with_shares_and_says_what_they_bring(tmp_path: Path) -> None:
    settings = site(tmp_path)
    with open_queries(settings) as queries:
        found = audit(settings, queries, MONTH, OVER)
    assert found["differences"] == []
    (pool,) = found["pools"]
    # 8 o x 31 / 365, and 4 d / 12
    cost = Fraction(8 * 4380 * 31, 365) + Fraction(4 * 2628, 12)
    attributed = cost * Fraction(3476, 8 * 744)
    assert Fraction(pool["cost"]) == cost
    assert abs(Fraction(pool["attributed"]) - attributed) < Fraction(1, 10**6)
    assert pool["charged"] == "3470.000000"  # 2,476 + 994
    assert abs(Fraction(pool["recovery_difference"]) - (3470 - attributed)) < Fraction(1, 10**6)


@pytest.mark.parametrize("item", ["share", "covered", "guests"])
@pytest.mark.parametrize(("change", "named"), [(lose, "charge"), (more, "line")])
def test_a_line_of_an_owner_that_is_gone_or_another_is_found(
    tmp_path: Path, item: str, change: Callable[[str], Callable[[Invoices], None]], named: str
) -> None:
    settings = site(tmp_path)
    with open_queries(settings) as queries:
        made = copy.deepcopy(bill(settings, queries, MONTH))
        change(item)(made)
        assert {one["what"] for one in audit(settings, queries, MONTH, OVER, made)["differences"]} == {named}


ALL = """
[billing]
rounding = "line"
rounding_step_seconds = 3600
[[free]]
name = "start-up"
gpu_hours = 100
[classes.partner]
surcharge = 0.25
tax = 0.19
[[accounts]]
name = "astro"
class = "partner"
[[accounts]]
name = "bio"
class = "partner"
"""


def test_all_of_it_together_balances(tmp_path: Path) -> None:
    """Two owners, prices that change, a share that begins within the month, free hours, surcharges, tax, rounding."""
    bio = '[[pools.main.shares]]\naccount = "bio"\ndevices = "1.5"\nfrom = 2026-10-12\nguests_pay_owner = 1\n'
    rows = [
        job(700, 4, 1, account="physics"), job(701, 3, 2, account="astro", user="eve"),
        job(333, 2, 3, account="bio", user="ben"), job(77, 1, 4, account="bio", user="ben", state="NODE_FAIL"),
        job(650, 1, 5, account="chem", user="cem"),
    ]  # fmt: skip
    settings = site(tmp_path, rows, SITE + bio + ALL)
    with open_ledger(settings.ledger) as ledger:
        publish(settings, ledger, datetime.fromisoformat("2026-10-07T13"), WHO, "", OVER)
        dear = load(settings.path, ["pools.main.yearly_costs.staff = 40000"])
        publish(dear, ledger, datetime.fromisoformat("2026-10-20"), WHO, "", OVER)
    with open_queries(settings) as queries:
        made = bill(settings, queries, MONTH)
        assert audit(settings, queries, MONTH, OVER)["differences"] == []
    kinds = {one["account"]: {line["item"] for line in one["lines"]} for one in made}
    assert kinds == {
        "astro": {"usage", "covered", "free", "surcharge"},
        "bio": {"usage", "waived", "covered", "share", "guests"},
        "chem": {"usage", "free"},
        "physics": {"usage", "covered", "free", "share"},
    }
    used = {line["user"]: Fraction(0) for one in made for line in one["lines"] if line["item"] == "covered"}
    for one in made:
        for line in one["lines"]:
            if line["item"] == "covered":
                used[line["user"]] -= Fraction(line["gpu_hours"])
    # ann and eve used 2,800 and 2,103 hours of 2,976 by the same part, up to the sixth decimals; ben's 666 of 1.5 x 480
    part = Fraction(2976, 2800 + 2103)
    assert abs(used["ann"] - 2800 * part) < Fraction(1, 10**5) > abs(used["eve"] - 2103 * part)
    assert used["ben"] == 666


def test_an_owner_who_used_nothing_has_an_invoice(tmp_path: Path) -> None:
    settings = site(tmp_path, [])
    with open_queries(settings) as queries:
        (physics,) = bill(settings, queries, MONTH)
        assert lines(physics) == [("share", "", "2976.000000", "0.5000", "1488.00")]
        assert bill(settings, queries, "2025-12") == [], "before the share began"


def test_what_is_published_keeps_its_operating_price(tmp_path: Path) -> None:
    settings = site(tmp_path)
    with open_ledger(settings.ledger) as ledger:
        publish(settings, ledger, datetime.fromisoformat("2026-10-01"), WHO, "", OVER)
        dear = load(settings.path, ["pools.main.yearly_costs.staff = 35040", "pools.main.shares.0.devices = 2"])
        publish(dear, ledger, datetime.fromisoformat("2026-10-26"), WHO, "", OVER)  # 600 hours later
        rows = ask(ledger.connection, "rates")
        changed = history(rows, settings)[1]["changed"]
    assert [dict(card.operating) for card in cards_of(rows)["main"]] == [
        {"a100": Decimal("0.5000")}, {"a100": Decimal("0.7500")},
    ]  # fmt: skip
    # with 2 of 8 owned: (35,040 + 17,520 + 10,512 - 52,560 x 2 / 8) / (6 x 8,760 x 0.8) = 49,932 / 42,048
    assert [row["unit_price"] for row in explain(settings, MONTH, rows)] == ["1.0000", "1.1875"]
    assert [row["operating_price"] for row in explain(settings, MONTH, rows)] == ["0.5000", "0.7500"]
    assert {one["key"] for one in changed} == {
        "pools.main.costs.staff.amount", "pools.main.shares.a100.physics.2026-01-01",
    }  # fmt: skip
    with open_queries(settings) as queries:
        physics = bill(settings, queries, MONTH, "physics")[0]
        assert audit(settings, queries, MONTH, OVER)["differences"] == []
    # The share is as the config says now, at the operating price of each card: 4 x 600 and 4 x 144 hours.
    assert [line for line in lines(physics) if line[0] == "share"] == [
        ("share", "", "2400.000000", "0.5000", "1200.00"),
        ("share", "", "576.000000", "0.7500", "432.00"),
    ]
    assert sum(Fraction(line["gpu_hours"]) for line in physics["lines"] if line["item"] == "guests") == -988


def test_a_price_is_published_with_the_shares_of_its_first_day(tmp_path: Path) -> None:
    settings = site(tmp_path, [], SITE.replace("from = 2026-01-01", "from = 2026-10-11"))
    with open_ledger(settings.ledger) as ledger:
        (before,) = publish(settings, ledger, datetime.fromisoformat("2026-10-10"), WHO, "", OVER)
        (after,) = publish(settings, ledger, datetime.fromisoformat("2026-10-11"), WHO, "", OVER)
    # without: (8 o + 4 d) / (8 x 8,760 x 0.8)
    assert (before["unit_price"], after["unit_price"]) == ("0.8125", "1.0000")


def test_a_card_from_before_there_were_shares_has_the_configs_operating_price(tmp_path: Path) -> None:
    plain = SITE.partition("[[pools.main.shares]]")[0].replace("owners", "institution")
    with open_ledger(site(tmp_path, [], plain).ledger) as ledger:
        publish(load(tmp_path / "gpucost.toml"), ledger, datetime.fromisoformat("2026-10-01"), WHO, "", OVER)
    settings = site(tmp_path, [])
    with open_queries(settings) as queries:
        (physics,) = bill(settings, queries, MONTH)
        assert audit(settings, queries, MONTH, OVER)["differences"] == []
    assert lines(physics) == [("share", "", "2976.000000", "0.5000", "1488.00")]


def test_owners_carry_what_they_left_idle(tmp_path: Path) -> None:
    settings = site(tmp_path)
    with open_queries(settings) as queries:
        (row,) = showback(settings, queries, MONTH, OVER)
    # The month cost 2,976 + 876, an hour of its 5,952 cost 3,852 / 5,952. Of these 5,952 - 3,476 were idle, 1,602.41,
    # of which physics left 1,976 of 4,952 open hours, 639.41, and the institution 963.00.
    assert (row["cost"], row["idle_cost"], row["idle_carried_by"]) == ("3852.00", "963.00", "owners")
    assert [(one["account"], one["user"], one["gpu_hours"], one["cost"]) for one in row["holders"]] == [
        ("bio", "ben", "2476.000000", "1602.41"),
        ("physics", "", "0.000000", "639.41"),
        ("physics", "ann", "1000.000000", "647.18"),
    ]


def test_an_owner_of_unused_devices_carries_their_cost_though_nobody_held_any(tmp_path: Path) -> None:
    settings = site(tmp_path, [])
    with open_queries(settings) as queries:
        (row,) = showback(settings, queries, MONTH, OVER)
    assert (row["idle_cost"], row["cost_per_gpu_hour"]) == ("1926.00", None)
    assert [(one["account"], one["cost"]) for one in row["holders"]] == [("physics", "1926.00")]


def test_the_open_hours_of_idle_cost_follow_the_number_of_devices(tmp_path: Path) -> None:
    """15 days of 8 devices and 16 of 24 are 12,096 hours, of which physics left its 4 x 744 unused."""
    dated = "devices = [{ since = 2026-01-01, devices = 8 }, { since = 2026-10-16, devices = 24 }]"
    settings = site(tmp_path, [], SITE.replace("devices = 8\n", f"{dated}\n"))
    with open_queries(settings) as queries:
        (row,) = showback(settings, queries, MONTH, OVER)
    (physics,) = row["holders"]
    assert abs(Decimal(physics["cost"]) - Decimal(row["cost"]) * 2976 / 12096) < Decimal("0.01")
