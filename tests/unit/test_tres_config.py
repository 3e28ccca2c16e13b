"""[pools.NAME.tres]: what can be said of prices per TRES, and every fault of it by file and key, in one go."""

from __future__ import annotations

from fractions import Fraction as F
from pathlib import Path

import pytest

from slurm_gpucost.costing.tres import Prices
from slurm_gpucost.domain.errors import ConfigError
from slurm_gpucost.settings import Settings, load
from slurm_gpucost.settings.inputs import inputs_of

TOP = 'cluster = "c"\ntimezone = "UTC"\ncurrency = "EUR"\n'
TYPES = "cpu, mem, node, billing, gres/NAME, gres/NAME:TYPE, license/NAME, bb/NAME"


def site(tmp_path: Path, *tables: str, **pools: str) -> Settings:
    """A pool for each text, which is all that it says of TRES, with a SKU of its name."""
    text = TOP + "".join(
        f"[pools.{name}.skus.{name}]\ndevices = 8\npurchase_price = 1\npurchase_date = 2026-01-01\n"
        + (f"[pools.{name}.tres]\n{keys}\n" if keys else "")
        for name, keys in pools.items()
    )
    (tmp_path / "gpucost.toml").write_text(text + "\n".join(tables))
    return load(tmp_path / "gpucost.toml")


def faults(tmp_path: Path, *tables: str, **pools: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        site(tmp_path, *tables, **pools)
    prefix = f"{tmp_path / 'gpucost.toml'}: "
    lines = str(raised.value).splitlines()
    assert all(line.startswith(prefix) for line in lines)
    return [line.removeprefix(prefix) for line in lines]


def test_nothing_said_is_nothing(tmp_path: Path) -> None:
    (pool,) = site(tmp_path, a="").pools
    assert pool.tres is None
    assert not any("tres" in key for key in inputs_of(pool))


def test_groups_and_what_stands_beside_them(tmp_path: Path) -> None:
    keys = (
        'combine = "max"\nbeside = { "license/matlab" = 1.5 }\n'
        '[[pools.a.tres.groups]]\n"gres/gpu" = "0.12"\ncpu = 0.03\n'
        "[[pools.a.tres.groups]]\nmem = 0.004"
    )
    (pool,) = site(tmp_path, a=keys).pools
    first = {"gres/gpu": F("0.12"), "cpu": F("0.03")}
    assert pool.tres == Prices((first, {"mem": F("0.004")}), "max", {"license/matlab": F("1.5")})
    assert {key: value for key, value in inputs_of(pool).items() if ".tres." in key} == {
        "pools.a.tres.groups.0.gres/gpu": "0.12",
        "pools.a.tres.groups.0.cpu": "0.03",
        "pools.a.tres.groups.1.mem": "0.004",
        "pools.a.tres.beside.license/matlab": "1.5",
        "pools.a.tres.combine": '"max"',
        "pools.a.tres.truncate": "false",
        "pools.a.tres.unit_price": "1",
    }, "what is noted in the log and frozen with a published card"


def test_slurms_weights(tmp_path: Path) -> None:
    keys = 'billing_weights = "CPU=1.0,Mem=0.25G,license/a=2"\nunit_price = "0.01"\n'
    plain, most = site(tmp_path, a=keys, b=f'{keys}priority_flags = "MAX_TRES"\ntruncate = false').pools
    assert plain.tres == Prices(
        ({"cpu": F(1), "mem": F(1, 4), "license/a": F(2)},), truncate=True, unit_price=F("0.01")
    )  # fmt: skip
    assert most.tres == Prices(({"cpu": F(1)}, {"mem": F(1, 4)}), "max", {"license/a": F(2)}, False, F("0.01"))


def test_all_that_is_wrong_is_named_in_one_go(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        a='combine = "most"\ngroups = [{ gpu = 1, cpu = -1 }, {}, { mem = "cheap" }]\nbeside = { billing = 2 }\n'
        "unit_prise = 3",
        b='billing_weights = "CPU"\ngroups = [{ cpu = 1 }]\ncombine = "max"\npriority_flags = "MAX"',
        c='billing_weights = "gpu=1"\nunit_price = -1',
        d="truncate = 1\ngroups = 3\nbeside = 4",
        e='groups = [{ cpu = 1 }]\npriority_flags = "MAX_TRES"',
        f='billing_weights = "billing=5"\nunit_price = 1',
        g="groups = []",
    )
    assert sorted(found) == sorted(
        [
            "pools.a.tres.unit_prise: is no setting; did you mean unit_price?",
            "pools.a.tres.groups.0.cpu: must be at least 0",
            f"pools.a.tres.groups.0.gpu: there is no TRES 'gpu' to price; there are {TYPES}",
            "pools.a.tres.groups.1: a group needs a price",
            "pools.a.tres.groups.2.mem: 'cheap' is no number; write it like 1234.50",
            "pools.a.tres.groups: billing is made of the other TRES already: price it alone, or not at all",
            "pools.a.tres.combine: 'most' is neither sum nor max",
            "pools.b.tres.priority_flags: 'MAX' is none; of slurm.conf's PriorityFlags write MAX_TRES or "
            "MAX_TRES_GRES, or leave it out",
            "pools.b.tres.groups: stands beside billing_weights; give one of them",
            "pools.b.tres.combine: changes nothing beside billing_weights; say it by `priority_flags`",
            "pools.b.tres.unit_price: is missing: what does a billing unit cost an hour?",
            "pools.b.tres.billing_weights: TRESBillingWeights: 'CPU' is not TRES=WEIGHT",
            "pools.c.tres.unit_price: must be at least 0",
            "pools.c.tres.billing_weights: TRESBillingWeights: 'gpu=1' is not TRES=WEIGHT",
            "pools.d.tres.truncate: must be true or false",
            'pools.d.tres.groups: must be a list of tables of prices, like [{ cpu = "0.03" }]',
            'pools.d.tres.beside: must be a table of prices, like {"license/matlab" = "1.50"}',
            "pools.e.tres.priority_flags: changes nothing without billing_weights; say it by `combine`",
            "pools.f.tres.billing_weights: weighs no TRES",
            "pools.g.tres.groups: there is no price",
        ]
    )


def test_what_does_not_go_with_it_is_refused(tmp_path: Path) -> None:
    tres = "groups = [{ cpu = 1 }]"
    rounding = '[billing]\nrounding = "line"\nrounding_step_seconds = 60'
    own = '[[free]]\nname = "own"\ngpu_hours = 1\nskus = ["a"]'
    every = '[[free]]\nname = "every"\ngpu_hours = 1'
    parts = "[pools.a]\nrate_parts = 2"
    both = '[[free]]\nname = "both"\ngpu_hours = 1\nskus = ["a", "b"]'
    cannot = "pays for GPU-hours, and all GPUs that it is for are billed by TRES; give it skus of other pools"
    assert faults(tmp_path, rounding, own, every, both, a=tres, b="") == [
        "billing.rounding: cannot round what is billed by [pools.a.tres]: remove one of them",
        f"free.0: {cannot}",
    ]
    assert faults(tmp_path, every, a=tres) == [f"free.0: {cannot}"]
    assert faults(tmp_path, parts, a=tres, b="") == [
        "pools.a.tres: stands beside pools.a.rate_parts = 2: energy as measured is billed beside GPU-hours alone"
    ]


def test_shares_do_not_go_with_prices_per_tres(tmp_path: Path) -> None:
    share = '[[pools.a.shares]]\naccount = "lab"\ndevices = 2\nfrom = 2026-02-01'
    (told,) = faults(tmp_path, share, a="groups = [{ cpu = 1 }]")
    assert told == (
        "pools.a.shares: cover GPU-hours, and the pool's jobs are billed by TRES: remove them, or [pools.a.tres]"
    )
