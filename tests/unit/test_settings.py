from __future__ import annotations

import tomllib
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.domain.errors import ConfigError, UsageError
from slurm_gpucost.settings import Settings, find, load, parse_gpu_option, template
from slurm_gpucost.settings.catalogue import POOL, SECTIONS, SKU, TOP
from slurm_gpucost.settings.currencies import minor_unit
from slurm_gpucost.settings.energy import POOL_ENERGY, SKU_ENERGY
from slurm_gpucost.settings.reader import DEFAULT_PATH
from slurm_gpucost.settings.template import reference

SMALLEST = """\
cluster = "c"
timezone = "Europe/Berlin"
currency = "EUR"
[pools.main]
[pools.main.skus.a100]
devices = 8
purchase_price = "12000.50"
purchase_date = 2026-01-01
"""


def first(**other: Any) -> str:
    given: dict[str, Any] = {
        "timezone": "Asia/Kolkata",
        "currency": "EUR",
        "cluster": "c",
        "gpus": [("a100", 500, Decimal(12000))],
        "purchase_date": date(2026, 1, 1),
    }
    return template(**{**given, **other})


def read(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "gpucost.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def faults(tmp_path: Path, text: str) -> dict[str, str]:
    """What is wrong, by key."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    prefix = f"{tmp_path / 'gpucost.toml'}: "
    assert all(fault.startswith(prefix) for fault in caught.value.faults)
    return dict(fault.removeprefix(prefix).split(": ", 1) for fault in caught.value.faults)


def test_the_first_config_loads_and_says_what_the_options_said(tmp_path: Path) -> None:
    gpus = [parse_gpu_option(o) for o in ("a100=500x12000", "h100.80=8x30000.25")]
    spool = tmp_path / "a b" / 'sp"ool'
    settings = read(tmp_path, first(gpus=gpus, shards=4, ledger=tmp_path / "l.db", spool=spool))
    assert (settings.cluster, settings.timezone.key, settings.currency) == ("c", "Asia/Kolkata", "EUR")
    assert (settings.ledger, settings.spool) == (tmp_path / "l.db", spool)
    (pool,) = settings.pools
    assert [(s.name, s.gres_types, s.devices, s.purchase_price, s.shards) for s in pool.skus] == [
        ("a100", ("a100",), 500, 12000, 4),
        ("h100.80", ("h100.80",), 8, Fraction("30000.25"), 4),
    ]


def test_the_first_config_writes_out_every_default(tmp_path: Path) -> None:
    spelled = first(gpus=[("a100", 8, Decimal("12000.50"))], timezone="Europe/Berlin")
    written, bare = read(tmp_path, spelled), read(tmp_path, spelled_without_defaults(spelled))
    assert written == bare
    document = tomllib.loads(spelled)
    for name, settings in SECTIONS.items():
        assert list(document[name]) == [s.key for s in settings if s.default is not None]


def spelled_without_defaults(text: str) -> str:
    """The same config with only what has no default, and the yearly costs."""
    yearly = text[text.index("[pools.main.yearly_costs]") : text.index("[pools.main.skus.")]
    return SMALLEST.replace("[pools.main.skus.a100]", f"{yearly}\n[pools.main.skus.a100]")


def test_every_line_of_the_first_config_is_explained() -> None:
    text = first()
    for setting in (
        *TOP,
        *POOL,
        *POOL_ENERGY,
        *SKU,
        *SKU_ENERGY,
        *(s for settings in SECTIONS.values() for s in settings),
    ):
        assert setting.text[:40] in text, setting.key


def test_amounts_are_exact_whether_numbers_or_text(tmp_path: Path) -> None:
    for written in ("0.1", '"0.1"', "1e-1"):
        sku = read(tmp_path, SMALLEST.replace('"12000.50"', written)).pools[0].skus[0]
        assert sku.purchase_price == Fraction(1, 10)
        assert isinstance(sku.purchase_price, Fraction)


def test_all_faults_are_named_in_one_go(tmp_path: Path) -> None:
    text = """\
clustre = "c"
timezone = "Europe/Berln"
currency = "EURO"
[accounting]
interval_secs = 5
[pools.main]
pue = 0.5
planned_utilization = 0
tariff_per_kwh = true
[pools.main.yearly_costs]
staff = -1
[pools.main.skus.a100]
devices = 0
purchase_price = "12,000"
purchase_date = "soon"
[pools.other.skus.a100]
devices = 1
purchase_price = 1
purchase_date = 2026-01-01
residual_value = 2
"""
    found = faults(tmp_path, text)
    assert set(found) == {
        "clustre",
        "cluster",
        "timezone",
        "currency",
        "accounting.interval_secs",
        "pools.main.pue",
        "pools.main.planned_utilization",
        "pools.main.tariff_per_kwh",
        "pools.main.yearly_costs.staff",
        "pools.main.skus.a100.devices",
        "pools.main.skus.a100.purchase_price",
        "pools.main.skus.a100.purchase_date",
        "pools.other.skus.a100",
        "pools.other.skus.a100.gres_types",
        "pools.other.skus.a100.residual_value",
    }
    assert "cluster" in found["clustre"]
    assert "interval_seconds" in found["accounting.interval_secs"]
    assert "pools.main.skus.a100" in found["pools.other.skus.a100.gres_types"]


@pytest.mark.parametrize("missing", ["cluster", "timezone", "currency", "devices", "purchase_price", "purchase_date"])
def test_what_is_needed_is_named_when_it_is_missing(tmp_path: Path, missing: str) -> None:
    text = "\n".join(line for line in SMALLEST.splitlines() if not line.startswith(missing))
    (key,) = faults(tmp_path, text)
    assert key.rpartition(".")[2] == missing


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (SMALLEST[: SMALLEST.index("[pools")], "pools"),
        (SMALLEST[: SMALLEST.index("[pools.main.skus")], "pools.main.skus"),
        (SMALLEST + '[ledger]\npath = "ledger.db"\n', "ledger.path"),
        (SMALLEST.replace("currency", "ledger = 3\ncurrency"), "ledger"),
    ],
)
def test_a_table_at_fault_is_named(tmp_path: Path, text: str, key: str) -> None:
    assert key in faults(tmp_path, text)


def test_a_file_that_is_not_toml_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="line 2"):
        read(tmp_path, 'cluster = "c"\ntimezone = Europe/Berlin\n')


def test_a_file_that_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gpucost init"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_where_the_config_is() -> None:
    assert find("a.toml", {"GPUCOST_CONFIG": "b.toml"}) == Path("a.toml")
    assert find(None, {"GPUCOST_CONFIG": "b.toml"}) == Path("b.toml")
    assert find(None, {}) == DEFAULT_PATH == Path("/etc/gpucost/gpucost.toml")


BAD_GPU_OPTIONS = ["a100", "a100=", "a100=500", "a100=500x", "a100=x12000", "=5x1", "a100=0x1", "a100=5x-1"]
BAD_GPU_OPTIONS += ["a 1=5x1", "a=1x1e3"]


@pytest.mark.parametrize("option", BAD_GPU_OPTIONS)
def test_a_gpu_option_of_another_form_is_refused_with_the_form(option: str) -> None:
    with pytest.raises(UsageError, match="a100=500x12000"):
        parse_gpu_option(option)


@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    st.integers(1, 10**6),
    st.decimals(0, 10**9, places=2),
)
def test_a_gpu_option_says_what_it_says(sku: str, count: int, price: Decimal) -> None:
    assert parse_gpu_option(f"{sku}={count}x{price}") == (sku, count, price)


def test_which_sku_a_device_is(tmp_path: Path) -> None:
    one = read(tmp_path, SMALLEST)
    two = read(
        tmp_path,
        SMALLEST + 'nvml_names = ["NVIDIA A100*"]\n[pools.b.skus.h100]\ndevices = 1\npurchase_price = 1\n'
        'purchase_date = 2026-01-01\ngres_types = ["h100", "h100_80"]\n',
    )

    def name(settings: Settings, kind: str, model: str | None = None) -> str | None:
        found = settings.sku_for(kind, model)
        return found and f"{found[0].name}.{found[1].name}"

    assert name(one, "") == name(one, "a100") == "main.a100"
    assert name(one, "v100") is None
    assert name(two, "") is None
    assert name(two, "h100_80") == "b.h100"
    assert name(two, "h100", "NVIDIA A100-SXM4-80GB") == "main.a100"
    assert name(two, "h100", "Tesla V100") == "b.h100"
    assert name(two, "", "Tesla V100") is None


H100 = "[pools.b.skus.h100]\ndevices = 1\npurchase_price = 1\npurchase_date = 2026-01-01\n"


@pytest.mark.parametrize(
    ("a100", "h100", "off"),
    [
        ('["NVIDIA A100*"]', '["NVIDIA H100*", "*80GB*", "NVIDIA A100-PCIE"]', ["'*80GB*'", "'NVIDIA A100-PCIE'"]),
        ('["NVIDIA A100*", "NVIDIA A100-PCIE"]', '["NVIDIA H[12]00*"]', []),
        ('["*A100*40GB"]', '["*A100*80GB"]', []),
        ('["NVIDIA A100"]', '["NVIDIA A100"]', ["'NVIDIA A100'"]),
    ],
)
def test_a_device_is_of_one_sku_by_its_name(tmp_path: Path, a100: str, h100: str, off: list[str]) -> None:
    text = f"{SMALLEST}nvml_names = {a100}\n{H100}nvml_names = {h100}\n"
    if not off:
        assert len(read(tmp_path, text).pools) == 2
        return
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert len(caught.value.faults) == len(off)
    for told, pattern in zip(caught.value.faults, off, strict=True):
        assert told.startswith(f"{tmp_path}/") and f": pools.b.skus.h100.nvml_names: {pattern} and 'NVIDIA A100" in told
        assert "of pools.main.skus.a100 can match the same device" in told


def test_a_pool_has_its_own_zone_or_the_sites(tmp_path: Path) -> None:
    assert read(tmp_path, SMALLEST).pools[0].timezone.key == "Europe/Berlin"
    abroad = SMALLEST.replace("[pools.main]", '[pools.main]\ntimezone = "Asia/Kolkata"')
    assert read(tmp_path, abroad).pools[0].timezone.key == "Asia/Kolkata"


def test_decimals_of_a_currency() -> None:
    assert [minor_unit(code) for code in ("EUR", "JPY", "KWD", "INR")] == [2, 0, 3, 2]


def test_the_reference_page_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert page.read_text(encoding="utf-8") == reference()
