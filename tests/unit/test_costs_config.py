"""Assets, further costs and a CSV of finance's in the config: read exactly, and every fault by its file and key."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from slurm_gpucost.costing.periods import month
from slurm_gpucost.domain.errors import ConfigError
from slurm_gpucost.services.rates import explain, period_costs
from slurm_gpucost.settings import Settings, load
from slurm_gpucost.settings.inputs import inputs_of

F = Fraction
TOP = 'cluster = "alpha"\ntimezone = "Europe/Berlin"\ncurrency = "EUR"\n'
POOL = """
[pools.main]
pue = 1
tariff_per_kwh = 0
planned_utilization = 1
{pool}
[pools.main.skus.a100]
devices = 8
{a100}
[pools.main.skus.h100]
devices = 2
nameplate_watts = 700
"""
ASSETS = """
[[pools.main.assets]]
tag = "HPC-17"
sku = "a100"
quantity = 8
price = "96000.00"
in_service = 2025-01-01
[[pools.main.assets]]
tag = "HPC-18"
sku = "h100"
quantity = 2
price = 60000
residual = 10000
in_service = 2025-07-15
life_years = 4
federal_share = 0.5
funding = "award 7"
[[pools.main.assets]]
tag = "racks"
price = 12000
in_service = 2020-01-01
life_years = 10
"""
COSTS = """
[[pools.main.costs]]
name = "operators"
kind = "staff"
amount = 80000
fte = 1.5
share = 0.25
[[pools.main.costs]]
name = "racks' power feed"
kind = "energy-standing"
amount = 500
per = "month"
key = "power"
"""
CSV = """name,kind,amount,per,from,until,pool
maintenance,contract,3650,year,2026-01-01,2027-01-01,main
other,space,1,year,,,else
"""


def written(folder: Path, *more: str, pool: str = "", a100: str = "") -> Path:
    path = folder / "gpucost.toml"
    path.write_text(TOP + POOL.format(pool=pool, a100=a100) + "".join(more), encoding="utf-8")
    return path


def faults(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return [fault.removeprefix(f"{path}: ") for fault in caught.value.faults]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "costs.csv").write_text(CSV, encoding="utf-8")
    return load(written(tmp_path, ASSETS, COSTS, pool='costs_file = "costs.csv"'))


def test_every_cost_stands_in_the_derivation_with_its_file_and_key(settings: Settings, tmp_path: Path) -> None:
    a100, h100 = explain(settings, "2026-03")
    steps = {step["label"]: step for step in a100["steps"]}
    by_hand = {
        "Depreciation of HPC-17": "19200.00",  # 96,000 / 5
        "Depreciation of racks": "960.00",  # 12,000 / 10 x 8/10
        "Operators": "24000.00",  # 80,000 x 1.5 x 0.25 x 8/10
        "Racks' power feed": "4173.91",  # 500 x 12 x 8 x 400 / (8 x 400 + 2 x 700)
        "Maintenance": "2920.00",  # 3,650 x 8/10
        "Annual cost": "51253.91",
    }
    assert {label: steps[label]["value"] for label in by_hand} == by_hand
    assert steps["Maintenance"]["sources"] == [{"file": str(tmp_path / "costs.csv"), "key": "line 2"}]
    assert steps["Depreciation of HPC-17"]["sources"] == [
        {"file": str(settings.path), "key": f"pools.main.assets.0.{key}"} for key in ("price (HPC-17)", "in_service")
    ]
    assert [source["key"] for source in steps["Operators"]["sources"]] == [
        f"pools.main.costs.0.{key}" for key in ("amount", "fte", "share")
    ]
    # half of (60,000 - 10,000) / 4 is the government's
    assert {s["label"]: s["value"] for s in h100["steps"]}["Depreciation of HPC-18"] == "6250.00"


def test_all_of_it_is_frozen_with_what_is_published(settings: Settings) -> None:
    inputs = inputs_of(settings.pools[0])
    assert inputs["pools.main.assets.HPC-18.federal_share"] == "0.5"
    assert inputs["pools.main.costs.maintenance.amount"] == "3650"
    assert inputs["pools.main.costs.operators.fte"] == "1.5"
    assert not any(key.startswith("pools.main.costs.other") for key in inputs), "of another pool"


def test_a_line_of_the_csv_that_moved_is_no_change(settings: Settings, tmp_path: Path) -> None:
    header, first, second = CSV.splitlines(keepends=True)
    (tmp_path / "costs.csv").write_text(header + second + first, encoding="utf-8")
    assert inputs_of(load(settings.path).pools[0]) == inputs_of(settings.pools[0])


def test_what_cost_nothing_leaves_nothing(tmp_path: Path) -> None:
    given = "purchase_price = 0\npurchase_date = 2026-01-01\nresidual_value = 5"
    assert "pools.main.skus.a100.residual_value: is above purchase_price" in faults(
        written(tmp_path, ASSETS, a100=given)
    )


def test_the_simple_keys_are_an_asset_too(tmp_path: Path) -> None:
    settings = load(
        written(
            tmp_path,
            "purchase_price = 30000\npurchase_date = 2026-01-01\n",
            a100="purchase_price = 12000\npurchase_date = 2024-01-01\nresidual_value = 2000",
        )
    )
    a100, _ = settings.pools[0].costs.capital.assets
    assert (a100.price, a100.residual, a100.in_service, a100.quantity) == (F(96000), F(16000), date(2024, 1, 1), 8)


def test_every_fault_is_named_in_one_go(tmp_path: Path) -> None:
    (tmp_path / "costs.csv").write_text("name,kind,amount,per\nx,contract,1e3,year\n", encoding="utf-8")
    wrong = """
[[pools.main.assets]]
tag = "HPC-17"
sku = "a10"
price = 10
residual = 11
in_service = 2025-01-01
life_years = -5
[[pools.main.assets]]
tag = "HPC-17"
sku = "a100"
price = 1
in_service = 2025-01-01
convention = "weekly"
retired = 2024-01-01
[[pools.main.costs]]
name = "power"
kind = "powr"
amount = -1
[[pools.main.costs]]
name = "rent"
kind = "space"
amount = 1
key = "hours"
"""
    path = written(
        tmp_path, wrong, pool='costs_file = "costs.csv"\nbasis = "2cfr200"\nrecovery_rate = 0.05\nsplit_by = "luck"'
    )
    found = faults(path)
    for start, word in {
        "pools.main.assets.0.life_years": "must be above 0",
        "pools.main.assets.0.residual": "more than the price",
        "pools.main.assets.1.tag": "is the tag of assets.0 already",
        "pools.main.assets.1.convention": "'weekly' is unknown",
        "pools.main.assets.1.retired": "must come after in_service",
        "pools.main.costs.0.kind": "'powr' is unknown",
        "pools.main.costs: by hours": "give the SKUs' budgeted_hours",
        "pools.main.costs_file": "line 2: amount: '1e3' is no number",
        "pools.main.recovery_rate": "2 CFR 200.449",
        "pools.main.split_by": "'luck' cannot split",
        "pools.main.assets: 'a10'": "is no SKU of the pool",
        "pools.main.skus.h100.purchase_price": "is missing",
    }.items():
        assert any(fault.startswith(start) and word in fault for fault in found), f"{start}: {found}"


@pytest.mark.parametrize(
    ("a100", "fault"),
    [
        ("purchase_price = 5", "pools.main.skus.a100.purchase_date: is missing: give both, or list its assets"),
        (
            "purchase_date = 2026-01-01",
            "pools.main.skus.a100.purchase_price: is missing: give both, or list its assets",
        ),
    ],
)
def test_half_a_price_is_none(tmp_path: Path, a100: str, fault: str) -> None:
    assert fault in faults(written(tmp_path, ASSETS, a100=a100))


def test_a_csv_that_is_not_there(tmp_path: Path) -> None:
    (fault,) = faults(written(tmp_path, ASSETS, pool='costs_file = "none.csv"'))
    assert fault == f"pools.main.costs_file: {tmp_path}/none.csv: cannot be read (No such file or directory)"


TARIFF = """
[[pools.main.tariff]]
since = 2026-01-01
bands = [{ price = "0.10", hours = ["22:00-06:00"] }, { price = "0.30", hours = ["06:00-22:00"] }]
"""
PRICED = "purchase_price = 0\npurchase_date = 2026-01-01\n"


def test_energy_by_day_and_night_costs_its_mean_over_the_year(tmp_path: Path) -> None:
    settings = load(written(tmp_path, PRICED, TARIFF, pool="", a100=PRICED))
    steps = {step["label"]: step for step in explain(settings, "2026-03")[0]["steps"]}
    # 8 h at 0.10 and 16 h at 0.30: 0.2333; the clock's change in March takes a night hour, and October brings it back
    assert steps["Energy"]["formula"].startswith("energy drawn x 0.233333,")
    assert steps["Energy"]["value"] == "6540.80"  # 8 x 400 W x 8,760 h x 0.7/3
    assert steps["Energy"]["sources"] == [{"file": str(settings.path), "key": "pools.main.tariff"}]


def test_what_a_period_costs_has_each_moment_at_its_price(tmp_path: Path) -> None:
    pool = load(written(tmp_path, PRICED, TARIFF, pool="", a100=PRICED)).pools[0]
    march = month("2026-03", pool.timezone)
    # 31 days, one night of 7 hours: 31 x 16 h x 0.30 + (31 x 8 - 1) x 0.10, at 3.2 kW
    assert period_costs(pool, march)["a100"] == F("3.2") * (31 * 16 * F("0.3") + (31 * 8 - 1) * F("0.1"))


def test_holes_and_overlaps_of_a_tariff_are_named(tmp_path: Path) -> None:
    holes = TARIFF.replace("22:00-06:00", "23:00-05:00").replace('"0.30"', '"dear"') + (
        '[[pools.main.tariff]]\nsince = 2025-01-01\nbands = [{ price = 1, days = ["mon-fri"] }]\n'
    )
    found = faults(written(tmp_path, PRICED, holes, a100=PRICED))
    assert [fault.partition(": ")[0] for fault in found] == ["pools.main.tariff.0.bands.1.price"]
    found = faults(written(tmp_path, PRICED, holes.replace("dear", "0.3"), a100=PRICED))
    assert any(fault.startswith("pools.main.tariff.1.since: 2025-01-01 is not after 2026-01-01") for fault in found)
    assert any("pools.main.tariff.1.bands" in fault and "saturday" in fault for fault in found)
    assert any("pools.main.tariff.0.bands" in fault and "05:00-06:00" in fault for fault in found)


def test_a_month_before_the_first_price_is_said(tmp_path: Path) -> None:
    settings = load(written(tmp_path, PRICED, TARIFF, a100=PRICED))
    with pytest.raises(ConfigError, match=r"pools.main.tariff: the tariff begins on 2026-01-01"):
        explain(settings, "2025-12")


def test_the_denominator_is_declared_and_printed(tmp_path: Path) -> None:
    plain = "purchase_price = 43800\npurchase_date = 2026-01-01\nlife_years = 5\n"  # 8,760 a device and year
    spread = {
        "capacity": ("Capacity GPU-hours", "70080.00", "1.0000"),  # 8 devices
        "planned": ("Planned GPU-hours", "70080.00", "1.0000"),
        "budgeted": ("Budgeted GPU-hours", "35040.00", "2.0000"),
    }
    for denominator, (label, hours, price) in spread.items():
        more = "budgeted_hours = 35040\n"
        pool = f'denominator = "{denominator}"'
        row = explain(load(written(tmp_path, plain + more, pool=pool, a100=plain + more)), "2026-03")[0]
        shown = {step["label"]: step["value"] for step in row["steps"]}
        assert (shown[label], row["unit_price"]) == (hours, price)
        assert f"annual cost / {denominator} GPU-hours" in [step["formula"] for step in row["steps"]]


@pytest.mark.parametrize(
    ("pool", "a100", "fault"),
    [
        ('denominator = "used"', "", "pools.main.denominator: 'used' is none; write planned, capacity, budgeted"),
        ('denominator = "budgeted"', "", "pools.main.skus.a100.budgeted_hours: is missing"),
        ('denominator = "budgeted"', "budgeted_hours = 0", "pools.main.skus.a100.budgeted_hours: must be above 0"),
        ("planned_utilization = 0", "", "pools.main.planned_utilization: must be above 0"),
    ],
)
def test_a_denominator_of_nothing_is_refused(tmp_path: Path, pool: str, a100: str, fault: str) -> None:
    path = written(tmp_path, ASSETS, pool=pool, a100=a100)
    if "planned" in pool:
        path.write_text(path.read_text().replace("planned_utilization = 1\n", "", 1))
    assert any(one.startswith(fault) for one in faults(path))


INTEREST = """
[[pools.main.interest]]
name = "loan 4"
amount = 7300
from = 2026-01-01
until = 2027-01-01
"""


def test_interest_that_a_lender_is_paid_is_a_cost_and_2cfr200_wants_its_document(tmp_path: Path) -> None:
    named = INTEREST + 'lender = "a bank"\ndocument = "contract 17"\n'
    row = explain(load(written(tmp_path, ASSETS, named, pool='basis = "2cfr200"')), "2026-03")[0]
    (step,) = [step for step in row["steps"] if step["label"] == "Interest: loan 4"]
    assert step["value"] == "5840.00"  # 7,300 x 8/10
    assert step["sources"][0]["key"] == "pools.main.interest.0.amount"
    found = faults(written(tmp_path, ASSETS, INTEREST, pool='basis = "2cfr200"'))
    assert [fault.partition(" is missing")[0] for fault in found] == [
        "pools.main.interest.0.lender:",
        "pools.main.interest.0.document:",
    ]


UW_MADISON = """
[pools.lab]
pue = 1
tariff_per_kwh = 0
denominator = "budgeted"
split_by = "hours"
split_decimals = 1
[pools.lab.skus.a]
devices = 1
nameplate_watts = 0
budgeted_hours = 4278
purchase_price = 0
purchase_date = 2026-01-01
[pools.lab.skus.b]
devices = 1
nameplate_watts = 0
budgeted_hours = 4685
purchase_price = 0
purchase_date = 2026-01-01
[[pools.lab.costs]]
name = "item 1"
kind = "other"
amount = 900
[[pools.lab.costs]]
name = "item 2"
kind = "other"
amount = 8000
[[pools.lab.costs]]
name = "item 3"
kind = "other"
amount = 1125
key = "fixed"
fixed = { a = 100, b = 0 }
[[pools.lab.costs]]
name = "item 4"
kind = "other"
amount = 1700
key = "fixed"
fixed = { a = 20, b = 80 }
"""


def test_a_published_schedule_of_two_departments_from_the_config_to_the_rate(tmp_path: Path) -> None:
    """UW-Madison, research rates, Schedule VII: 11,725 in all, by base hours (47.7 %) and by fixed shares."""
    path = tmp_path / "gpucost.toml"
    path.write_text(TOP + UW_MADISON, encoding="utf-8")
    settings = load(path)
    a, b = ({step["label"]: step["value"] for step in row["steps"]} for row in explain(settings, "2026-07"))
    assert [a[f"Item {n}"] for n in range(1, 5)] == ["429.30", "3816.00", "1125.00", "340.00"]
    assert (a["Annual cost"], b["Annual cost"]) == ("5710.30", "6014.70")
    assert F(a["Annual cost"]) + F(b["Annual cost"]) == 11_725
    assert (a["Posted price"], b["Posted price"]) == ("1.3348", "1.2838"), "1.335 and 1.284 there, with three decimals"
    assert inputs_of(settings.pools[0])["pools.lab.fixed.item 4"] == '"a 20 %, b 80 %"'


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("a = 20, b = 80", "a = 20, b = 79", "pools.lab.costs (item 4): fixed: the percentages total 99 %, not 100 %"),
        ("a = 20, b = 80", "a = 20, c = 80", "pools.lab.costs (item 4): fixed: 'c' is no SKU of the pool"),
        ("fixed = { a = 20, b = 80 }", "", "pools.lab.costs: by fixed the SKUs weigh nothing; give split_fixed"),
        ("a = 20, b = 80", "a = 120, b = -20", "pools.lab.costs.3.fixed: must be at most 100"),
    ],
)
def test_fixed_shares_that_do_not_total_100(tmp_path: Path, old: str, new: str, fault: str) -> None:
    path = tmp_path / "gpucost.toml"
    path.write_text(TOP + UW_MADISON.replace(old, new), encoding="utf-8")
    assert any(one.startswith(fault) for one in faults(path)), faults(path)
