"""A number of devices that changes: in the rate, in the cost of a month, in what existed, and in its faults."""

from __future__ import annotations

from datetime import date
from fractions import Fraction as F
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.counts import Counts
from slurm_gpucost.costing.periods import Period, midnight
from slurm_gpucost.domain.errors import ConfigError
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.services.rates import derived, period_costs, period_in
from slurm_gpucost.services.utilization import of_skus, utilization
from slurm_gpucost.settings import Settings, load
from slurm_gpucost.settings.inputs import inputs_of

BERLIN = ZoneInfo("Europe/Berlin")
CONFIG = """
cluster = "c"
currency = "EUR"
timezone = "Europe/Berlin"
[ledger]
path = "{folder}/ledger.db"
[pools.main]
pue = 1
tariff_per_kwh = "0.10"
planned_utilization = "0.5"
[[pools.main.costs]]
name = "operators"
kind = "staff"
amount = 8760
[[pools.main.assets]]
tag = "OLD"
sku = "a100"
price = 43800
in_service = 2026-01-01
[[pools.main.assets]]
tag = "NEW"
sku = "a100"
price = 43800
in_service = 2026-07-16
[pools.main.skus.a100]
devices = {devices}
nameplate_watts = 1000
[pools.main.skus.h100]
devices = 4
nameplate_watts = 0
purchase_price = 0
purchase_date = 2026-01-01
"""
CHANGE = "[{ since = 2026-01-01, devices = 4 }, { since = 2026-07-16, devices = 12 }]"


def site(folder: Path, devices: str = CHANGE) -> Settings:
    (folder / "gpucost.toml").write_text(CONFIG.format(folder=folder, devices=devices))
    return load(folder / "gpucost.toml")


def test_a_rate_has_the_devices_of_the_day_from_which_it_holds(tmp_path: Path) -> None:
    """8,760 of staff for 8 devices, later for 16; energy 1 kW x 0.10 an hour each; 8,760 of depreciation an asset."""
    settings = site(tmp_path)
    (pool,) = settings.pools
    rates = {month: derived(settings, pool, month)[0].rate for month in ("2026-06", "2026-07", "2026-08")}
    before = (F(8760) + F(8760, 2) + 4 * 876) / (4 * 4380)
    after = (2 * F(8760) + 8760 * F(12, 16) + 12 * 876) / (12 * 4380)
    assert rates["2026-06"] == before and rates["2026-08"] == after
    july = (2 * F(8760) + F(8760, 2) + 4 * 876) / (4 * 4380)
    assert rates["2026-07"] == july, "4 on its first day, and an asset bears its whole month"
    assert derived(settings, pool, "2026-07", date(2026, 7, 16))[0].rate == after, "published from the 16th on"


def test_a_month_costs_what_its_days_do(tmp_path: Path) -> None:
    settings = site(tmp_path)
    (pool,) = settings.pools
    july = period_costs(pool, period_in("2026-07", BERLIN))
    staff = F(8760, 365) * (15 * F(4, 8) + 16 * F(12, 16))
    energy = F("0.10") * 24 * (15 * 4 + 16 * 12)
    assert july["a100"] == F(8760, 12) * 2 + staff + energy
    assert july["a100"] + july["h100"] == F(8760, 12) * 2 + F(8760 * 31, 365) + energy, "what is shared is all there"


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))
def test_costs_add_up_however_a_time_is_cut(tmp_path_factory: pytest.TempPathFactory, a: int, b: int, c: int) -> None:
    (pool,) = site(tmp_path_factory.mktemp("cut")).pools
    low, mid, high = (midnight(date.fromordinal(date(2026, 6, 1).toordinal() + n), BERLIN) for n in sorted([a, b, c]))
    whole, first, second = (period_costs(pool, Period(*at, BERLIN)) for at in ((low, high), (low, mid), (mid, high)))
    assert whole == {sku: first[sku] + second[sku] for sku in whole}


@given(
    st.lists(st.tuples(st.dates(date(2026, 3, 1), date(2026, 4, 30)), st.integers(1, 9)), max_size=4,
             unique_by=lambda one: one[0]),
    st.integers(0, 60), st.integers(0, 60),
)  # fmt: skip
def test_what_existed_is_each_day_by_itself(later: list[tuple[date, int]], a: int, b: int) -> None:
    counts = Counts(5, tuple(sorted(later)))
    days = [date.fromordinal(date(2026, 3, 1).toordinal() + n) for n in range(min(a, b), max(a, b) + 1)]
    edges = [midnight(day, BERLIN) for day in days]
    hours = [(end - start) * counts.on(day) for day, start, end in zip(days, edges, edges[1:], strict=False)]
    assert counts.device_ms(edges[0], edges[-1], BERLIN) == sum(hours)


def test_before_the_inventory_is_known_the_config_tells_what_existed(tmp_path: Path) -> None:
    settings = site(tmp_path)
    open_ledger(settings.ledger).close()
    period = period_in("2026-07", BERLIN)
    with open_queries(settings) as queries:
        found = of_skus(settings, queries, *period[:2])["a100"]
        rows = utilization(settings, queries, *period[:2])
    assert found["reported"] == (15 * 4 + 16 * 12) * 86_400_000
    assert {row["sku"]: row["devices"] for row in rows} == {"a100": 12, "h100": 4}, "at its end"


def test_the_log_of_changes_has_each_number(tmp_path: Path) -> None:
    found = inputs_of(site(tmp_path).pools[0])
    assert (found["pools.main.skus.a100.devices"], found["pools.main.skus.a100.devices.2026-07-16"]) == ("4", "12")


@pytest.mark.parametrize(
    ("devices", "told"),
    [
        ("[]", "pools.main.skus.a100.devices: names none; write how many there are"),
        ("[{ since = 2026-01-01, devices = 0 }]", "pools.main.skus.a100.devices.0.devices: must be at least 1"),
        ("[{ since = 2026-01-01 }]", "pools.main.skus.a100.devices.0.devices: is missing"),
        (
            "[{ since = 2026-02-01, devices = 1 }, { since = 2026-01-01, devices = 2 }]",
            "pools.main.skus.a100.devices.1.since: 2026-01-01 is not after 2026-02-01",
        ),
        (
            f"{CHANGE}\npurchase_price = 1\npurchase_date = 2026-01-01",
            "skus.a100.purchase_price: does not say when which devices were bought: list [[pools.main.assets]] instead",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, devices: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        site(tmp_path, devices)
    assert told in str(caught.value)
