"""Shares in the config: read exactly, noted when they change, and every fault by file and key."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from slurm_gpucost.costing.counts import Counts
from slurm_gpucost.costing.pools import Source
from slurm_gpucost.costing.shares import Share
from slurm_gpucost.domain.errors import ConfigError
from slurm_gpucost.services.rates import explain
from slurm_gpucost.settings import Settings, load
from slurm_gpucost.settings.inputs import inputs_of

SITE = """cluster = "alpha"
timezone = "Europe/Berlin"
currency = "EUR"
[pools.main]
idle_cost = "CARRIER"
[pools.main.skus.a100]
devices = 8
purchase_price = 10000
purchase_date = 2026-01-01
"""
H100 = """[pools.main.skus.h100]
devices = 2
purchase_price = 30000
purchase_date = 2026-01-01
"""
SHARE = """[[pools.main.shares]]
account = "physics"
devices = 2.5
from = 2026-07-01
"""


def read(tmp_path: Path, *more: str, carrier: str = "institution") -> Settings:
    path = tmp_path / "gpucost.toml"
    path.write_text(SITE.replace("CARRIER", carrier) + "".join(more), encoding="utf-8")
    return load(path)


def faults(tmp_path: Path, *more: str, carrier: str = "institution") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, *more, carrier=carrier)
    return [fault.removeprefix(f"{tmp_path / 'gpucost.toml'}: ") for fault in caught.value.faults]


def test_what_can_be_said(tmp_path: Path) -> None:
    more = 'until = 2027-01-01\nguests_pay_owner = "0.25"\naccounts = ["astro"]\nsku = "h100"\n'
    settings = read(tmp_path, H100, SHARE.replace("2.5", '"1.5"') + more)
    costs = settings.pools[0].costs
    assert costs.shares == (
        Share(
            "main", "physics", "h100", Fraction(3, 2), date(2026, 7, 1), date(2027, 1, 1), Fraction(1, 4), ("astro",)
        ),
    )
    assert settings.owning.devices == {"a100": Counts(8), "h100": Counts(2)}
    keys = ("devices", "from", "until")
    assert costs.sources["shares:h100"] == tuple(Source(f"pools.main.shares.0.{key}") for key in keys)
    assert inputs_of(settings.pools[0])["pools.main.shares.h100.physics.2026-07-01"] == (
        '"1.5 devices, until 2027-01-01, guests pay owner 0.25; accounts astro"'
    )


def test_the_only_sku_need_not_be_named(tmp_path: Path) -> None:
    (share,) = read(tmp_path, SHARE).pools[0].costs.shares
    assert share == Share("main", "physics", "a100", Fraction(5, 2), date(2026, 7, 1))


def test_without_shares_nothing_is_noted_of_owners(tmp_path: Path) -> None:
    settings = read(tmp_path)
    assert not [key for key in inputs_of(settings.pools[0]) if "share" in key or "owner" in key]
    assert "operating_price" not in explain(settings, "2026-10")[0]


def test_a_sku_that_an_owner_bought_bears_no_depreciation(tmp_path: Path) -> None:
    settings = read(tmp_path, 'owner = "physics"\n')
    steps = {step["label"]: step for step in explain(settings, "2026-10")[0]["steps"]}
    assert (steps["Depreciation"]["value"], steps["Depreciation"]["formula"]) == (
        "0.00", "80000, bought by physics: no depreciation",
    )  # fmt: skip
    assert steps["Depreciation"]["sources"][-1]["key"] == "pools.main.skus.a100.owner"
    assert inputs_of(settings.pools[0])["pools.main.skus.a100.owner"] == '"physics"'


def test_an_owner_of_what_is_listed_elsewhere_is_refused(tmp_path: Path) -> None:
    listed = '[[pools.main.assets]]\ntag = "HPC"\nsku = "b200"\nprice = 1\nin_service = 2026-01-01\n'
    sku = '[pools.main.skus.b200]\ndevices = 8\nowner = "physics"\n'
    assert faults(tmp_path, sku, listed) == [
        "pools.main.skus.b200.owner: changes nothing without purchase_price: write it at [[pools.main.assets]]"
    ]


@pytest.mark.parametrize(
    ("more", "found"),
    [
        (SHARE.replace("2.5", "0"), ["pools.main.shares.0.devices: must be above 0"]),
        (SHARE + 'sku = "h10"\n', ["pools.main.shares.0.sku: 'h10' is no SKU of the pool; there are a100"]),
        (H100 + SHARE, ["pools.main.shares.0.sku: is missing: there are a100, h100"]),
        (SHARE + "until = 2026-07-01\n", ["pools.main.shares.0.until: 2026-07-01 must come after from, 2026-07-01"]),
        (
            SHARE + SHARE.replace("physics", "bio").replace("2.5", "6"),
            ["pools.main.shares.1.devices: 8.5 of 8 devices would be owned on 2026-07-01"],
        ),
        (SHARE + "guests_pay_owner = 1.5\n", ["pools.main.shares.0.guests_pay_owner: must be at most 1"]),
        (SHARE + "acounts = []\n", ["pools.main.shares.0.acounts: is no setting; did you mean accounts?"]),
        ("[pools.main.shares]\n", ["pools.main.shares: must be tables, each written [[pools.main.shares]]"]),
        (
            SHARE + "until = 2026-08-01\n[[pools.main.tariff]]\nsince = 2026-09-01\nbands = [{price = 1}]\n",
            ["pools.main.shares.0.until: no month reaches the share: it ends 2026-08-01, prices begin 2026-09-01"],
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, more: str, found: list[str]) -> None:
    assert faults(tmp_path, more) == found


def test_who_is_missing_and_two_shares_of_one_account(tmp_path: Path) -> None:
    both = SHARE.replace("2.5", "1") + 'accounts = ["bio"]\n' + SHARE.replace("physics", "bio")
    (fault,) = faults(tmp_path, both)
    assert fault.startswith("pools.main.shares.1.accounts: bio: in shares.0 at the same time")
    assert [one.partition(": is missing")[0] for one in faults(tmp_path, "[[pools.main.shares]]\n")] == [
        f"pools.main.shares.0.{key}" for key in ("account", "devices", "from")
    ]


def test_without_shares_owners_carry_no_idle_cost(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, carrier="owners")
    assert fault == "pools.main.idle_cost: 'owners' carry none: there are no [[pools.main.shares]]"
    assert read(tmp_path, SHARE, carrier="owners").pools[0].idle_cost == "owners"
    (fault,) = faults(tmp_path, carrier="owner")
    assert fault == "pools.main.idle_cost: 'owner' carries no idle cost; write institution, users or owners"
