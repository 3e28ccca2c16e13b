from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from slurm_gpucost.domain.errors import UsageError
from slurm_gpucost.services.bill import bill, unpriced
from slurm_gpucost.services.rates import explain, list_prices
from slurm_gpucost.settings import Settings, load, template

HOUR = 3_600_000
OCTOBER = {
    "Asia/Kolkata": (1_790_793_000_000, 1_793_471_400_000),
    "America/New_York": (1_790_827_200_000, 1_793_505_600_000),
}


class Recorded:
    """Answers ``billable_time`` with rows that are given by the period's start, and remembers what was asked."""

    def __init__(self, rows: dict[int | None, list[dict[str, Any]]]) -> None:
        self.rows = rows
        self.asked: list[tuple[int, int]] = []
        self.published: list[dict[str, Any]] = []

    def ask(self, name: str, /, **params: Any) -> list[dict[str, Any]]:
        if name == "rates":
            return self.published
        if name in ("account_facts", "measured_devices"):
            return []
        assert (name, params["held"]) == ("billable_time", 0)
        self.asked.append((params["start_ms"], params["end_ms"]))
        return self.rows.get(params["start_ms"], self.rows.get(None, []))

    def tuples(self, name: str, /, **_: Any) -> Iterator[tuple[Any, ...]]:
        raise AssertionError(name)

    def each(self, name: str, /, **params: Any) -> Iterator[dict[str, Any]]:
        return iter(self.ask(name, **params))


def row(user: str = "ann", quantity: int = HOUR, **other: Any) -> dict[str, Any]:
    gpu = {"cluster": "c", "account": "lab", "gres_name": "gpu", "gres_type": "a100", "model": None, "share_den": 1}
    attempt = {"suspended": "", "state": "COMPLETED", "partition": "main", "qos": "normal", "reservation": "", "run": 1}
    attempt |= {"cancelled_by": None, "vanished": 0}
    facts = {**gpu, **attempt, "user": user, **other}
    return {"holder": hash(str(facts)), **facts, "quantity": quantity, "running": 0, "leases": 1}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    text = template(
        timezone="Asia/Kolkata",
        currency="EUR",
        cluster="c",
        gpus=[("a100", 500, Decimal(12000))],
        shards=4,
        purchase_date=date(2026, 1, 1),
    )
    abroad = (
        '\n[pools.abroad]\ntimezone = "America/New_York"\ntariff_per_kwh = "0"\nplanned_utilization = 1\npue = 1\n'
        "[pools.abroad.skus.h100]\ndevices = 1\npurchase_price = 43800\npurchase_date = 2026-01-01\nlife_years = 5\n"
        'residual_value = 0\nnvml_names = ["NVIDIA H100*"]\n'
    )
    (tmp_path / "gpucost.toml").write_text(text + abroad)
    return load(tmp_path / "gpucost.toml")


def test_each_pool_is_cut_in_its_own_zone_and_asked_once(settings: Settings) -> None:
    (first, first_end), (second, second_end) = OCTOBER["Asia/Kolkata"], OCTOBER["America/New_York"]
    queries = Recorded(
        {
            first: [row(quantity=HOUR), row(quantity=7 * HOUR, gres_type="h100")],
            second: [row(quantity=9 * HOUR), row(quantity=2 * HOUR, gres_type="h100")],
        }
    )
    (invoice,) = bill(settings, queries, "2026-10")
    hours = {line["sku"]: (line["gpu_hours"], line["period_start"]) for line in invoice["lines"]}
    assert hours == {
        "a100": ("1.000000", "2026-10-01T00:00:00+05:30"),
        "h100": ("2.000000", "2026-10-01T00:00:00-04:00"),
    }
    assert sorted(queries.asked) == [(first, first_end), (second, second_end)]


def test_the_price_is_the_posted_one_and_shards_are_parts_of_a_device(settings: Settings) -> None:
    # h100: 43,800 in 5 years over 8,760 h, nothing else: 1.0000. 5 shards of 4 for an hour: 1.25 GPU-hours.
    assert list_prices(settings, {}, OCTOBER["America/New_York"][0])["h100"] == Decimal("1.0000")
    shard = row(quantity=5 * HOUR, gres_name="shard", gres_type="h100", share_den=4)
    (invoice,) = bill(settings, Recorded({None: [shard]}), "2026-10")
    assert [(line["gpu_hours"], line["unit_price"]) for line in invoice["lines"]] == [("1.250000", "1.0000")]
    assert invoice["total"] == "1.25"


def test_a_devices_name_decides_before_its_gres_type(settings: Settings) -> None:
    rows = [row(model="NVIDIA H100 80GB HBM3"), row(model="NVIDIA A100-SXM4-80GB")]
    (invoice,) = bill(settings, Recorded({None: rows}), "2026-10")
    assert [line["sku"] for line in invoice["lines"]] == ["h100", "a100"]


def test_one_user_and_one_account(settings: Settings) -> None:
    rows = [row("ann"), row("bob"), row("bob", account="ops")]
    queries = Recorded({None: rows})
    assert [i["account"] for i in bill(settings, queries, "2026-10")] == ["lab", "ops"]
    assert [i["account"] for i in bill(settings, queries, "2026-10", account="ops")] == ["ops"]
    made = bill(settings, queries, "2026-10", user="bob")
    assert [(s["kind"], s["account"], s["user"]) for s in made] == [
        ("statement", "lab", "bob"),
        ("statement", "ops", "bob"),
    ]
    assert all(line["user"] == "bob" for s in made for line in s["lines"])
    assert len(bill(settings, queries, "2026-10", account="lab", user="bob")) == 1
    assert bill(settings, queries, "2026-10", account="nobody") == []


def test_what_has_no_price_is_shown_and_not_billed(settings: Settings) -> None:
    rows = [row(gres_type="mi300", quantity=3 * HOUR), row(gres_type="", quantity=HOUR), row()]
    queries = Recorded({None: rows})
    (invoice,) = bill(settings, queries, "2026-10")
    assert [line["gpu_hours"] for line in invoice["lines"]] == ["1.000000"]
    shown = {u["gres"]: u for u in unpriced(settings, queries, 0, 1)}
    assert {gres: u["unit_hours"] for gres, u in shown.items()} == {"gpu": "1.000000", "gpu:mi300": "3.000000"}
    assert "mi300" in shown["gpu:mi300"]["todo"]
    assert str(settings.path) in shown["gpu:mi300"]["todo"]


@pytest.mark.parametrize("month", ["2026-13", "october", "2026"])
def test_a_month_that_is_none_is_a_usage_error(settings: Settings, month: str) -> None:
    with pytest.raises(UsageError, match="--month"):
        bill(settings, Recorded({}), month)


def test_an_empty_month_has_no_invoices(settings: Settings) -> None:
    assert bill(settings, Recorded({}), "2026-10") == []


def test_the_derivation_names_file_and_key_and_holds_no_float(settings: Settings) -> None:
    made = explain(settings, "2026-10")
    assert [(d["pool"], d["sku"]) for d in made] == [("main", "a100"), ("abroad", "h100")]
    assert [Decimal(d["unit_price"]) for d in made] == list(
        list_prices(settings, {}, OCTOBER["America/New_York"][0]).values()
    )
    sources = [source for d in made for step in d["steps"] for source in step["sources"]]
    assert {"file": str(settings.path), "key": "pools.main.skus.a100.purchase_price"} in sources
    assert not any(isinstance(step["value"], float | Fraction) for d in made for step in d["steps"])


def test_a_class_that_changes_within_a_month_holds_from_the_next(settings: Settings) -> None:
    """Facts are those at the beginning of the month in the site's zone, for pools of other zones, too."""
    said = """
[classes.partner]
surcharge = 0.25
[[accounts]]
name = "lab"
since = SINCE
class = "partner"
"""
    text = settings.path.read_text()
    both = [row(quantity=HOUR), row(quantity=HOUR, gres_type="h100")]
    classes = {}
    for since in ("2026-09-30", "2026-10-01", "2026-10-02"):
        settings.path.write_text(text + said.replace("SINCE", since))
        (invoice,) = bill(load(settings.path), Recorded({None: both}), "2026-10")
        classes[since] = invoice["class"], [line["sku"] for line in invoice["lines"] if line["item"] == "surcharge"]
    partner = ("partner", ["h100", "a100"])
    assert classes == {"2026-09-30": partner, "2026-10-01": partner, "2026-10-02": ("internal", [])}


def test_a_rule_can_ask_for_the_class(settings: Settings) -> None:
    """In both parts of a month in which a price changes, as at its beginning, in each pool's zone."""
    said = """
[classes.partner]
[[rules]]
name = "partners are free"
factor = 0
account_class = "partner"
[[rules]]
name = "all else"
factor = 1
[[accounts]]
name = "lab"
since = 2026-10-01
class = "partner"
[[accounts]]
name = "ops"
since = 2026-10-02
class = "partner"
"""
    settings.path.write_text(settings.path.read_text() + said)
    rows = [row(account=account, gres_type=kind) for account in ("lab", "ops") for kind in ("a100", "h100")]
    lab, ops = bill(load(settings.path), Recorded({None: rows}), "2026-10")
    assert {(line["item"], line["rule"]) for line in lab["lines"]} == {("waived", "partners are free (rule 1)")}
    assert {(line["item"], line["rule"]) for line in ops["lines"]} == {("usage", "all else (rule 2)")}
