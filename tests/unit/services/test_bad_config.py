from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from slurm_gpucost.domain.errors import ConfigError, UsageError
from slurm_gpucost.services.bill import bill, unpriced
from slurm_gpucost.services.rates import period_in
from slurm_gpucost.settings import Settings, load, parse_gpu_option, template
from slurm_gpucost.settings.currencies import CURRENCIES


def text(**k: Any) -> str:
    a: dict[str, Any] = dict(  # noqa: C408
        timezone="Asia/Kolkata",
        currency="EUR",
        cluster="c",
        gpus=[("a100", 5, Decimal(1))],
        shards=4,
        purchase_date=date(2026, 1, 1),
    )
    return template(**{**a, **k})


def read(tmp_path: Path, t: str) -> Settings:
    p = tmp_path / "g.toml"
    p.write_text(t)
    return load(p)


class Q:
    def __init__(self, **k: Any) -> None:
        row: dict[str, Any] = {"cluster": "c", "account": "x", "user": "u", "gres_name": "gpu", "gres_type": "a100"}
        facts = {"model": None} | {
            "state": "RUNNING",
            "partition": "main",
            "qos": "",
            "reservation": "",
            "run": 1,
            "cancelled_by": None,
        }
        row |= facts | {"holder": 1, "suspended": "", "vanished": 0}
        self.row = row | {"share_den": 1, "quantity": 0, "running": 1, "leases": 1} | k

    def ask(self, name: str, /, **p: Any) -> list[dict[str, Any]]:
        return [] if name in ("rates", "account_facts", "measured_devices") else [self.row]

    def tuples(self, name: str, /, **_: Any) -> Iterator[tuple[Any, ...]]:
        raise AssertionError(name)

    def each(self, name: str, /, **p: Any) -> Iterator[dict[str, Any]]:
        return iter(self.ask(name, **p))


def test_a_running_job_makes_no_empty_invoice_in_a_month_it_has_no_time_in(tmp_path: Path) -> None:
    assert bill(read(tmp_path, text()), Q(), "2030-01") == []


def test_a_shard_of_unknown_size_is_not_shown_as_a_whole_gpu(tmp_path: Path) -> None:
    (u,) = unpriced(read(tmp_path, text()), Q(gres_name="shard", gres_type="z", share_den=0, quantity=3_600_000), 0, 1)
    assert (u["units"], u["unit_hours"]) == ("shards", "1.000000")


@pytest.mark.parametrize("bad", ['currency = ["EUR"]', "currency = {a=1}"])
def test_a_currency_that_is_no_text_is_a_fault(tmp_path: Path, bad: str) -> None:
    with pytest.raises(ConfigError):
        read(tmp_path, text().replace('currency = "EUR"', bad))


@pytest.mark.parametrize("t", ["x=" + "[" * 5000, "x=" + "9" * 5000])
def test_a_text_that_breaks_the_parser_is_a_fault(tmp_path: Path, t: str) -> None:
    with pytest.raises(ConfigError):
        read(tmp_path, t)


def test_a_number_with_underscores_and_blanks_in_quotes_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        read(tmp_path, text().replace("purchase_price = 1", 'purchase_price = " 1_0 "'))


def test_currencies_are_todays() -> None:
    assert "XCG" in CURRENCIES and "BGN" not in CURRENCIES


def test_a_month_ends_where_its_text_does(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        period_in("2026-10\n", read(tmp_path, text()).timezone)


def test_a_type_named_twice_by_gpu_options_says_so(tmp_path: Path) -> None:
    with pytest.raises((ConfigError, UsageError)) as e:
        read(tmp_path, text(gpus=[parse_gpu_option("a=1x1"), parse_gpu_option("a=2x1")]))
    assert "TOML" not in str(e.value)
