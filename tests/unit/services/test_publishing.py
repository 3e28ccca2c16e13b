"""Publishing rates over a real ledger: what is published stands, and invoices follow it from the hour on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from slurm_gpucost.costing.periods import month
from slurm_gpucost.domain.errors import UsageError
from slurm_gpucost.ledger import changes, ingest
from slurm_gpucost.ledger.projector import project_dirty
from slurm_gpucost.ledger.queries import ask
from slurm_gpucost.ledger.store import Ledger, open_ledger
from slurm_gpucost.services.bill import bill
from slurm_gpucost.services.publishing import history, publish
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.services.rates import explain
from slurm_gpucost.settings import Settings, load, template
from slurm_gpucost.sources.identity import Identity
from tests.unit.builders import T0, accounting

WHO = Identity("ann", 0, "admin1", "/dev/pts/3 192.0.2.7")
NOW = 1_790_000_000_000


local = datetime.fromisoformat


def configured(path: Path, price: int = 12000) -> Settings:
    gpus = [("a100", 8, Decimal(price)), ("h100", 4, Decimal(30000))]
    text = template(timezone="Asia/Kolkata", currency="EUR", cluster="c", gpus=gpus, purchase_date=date(2026, 1, 1))
    path.write_text(text, encoding="utf-8")
    return load(path)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return configured(tmp_path / "gpucost.toml")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path / "ledger.db") as opened:
        yield opened


def test_what_is_published_holds_whatever_the_config_says_later(settings: Settings, ledger: Ledger) -> None:
    made = publish(settings, ledger, local("2026-10-01"), WHO, "the first", NOW)
    assert [(row["sku"], row["version"], row["effective"], row["before"]) for row in made] == [
        ("a100", 1, "2026-10-01T00:00:00+05:30", None),
        ("h100", 1, "2026-10-01T00:00:00+05:30", None),
    ]
    dearer = configured(settings.path, 24000)
    shown = {row["sku"]: row for row in explain(dearer, "2026-11", ask(ledger.connection, "rates"))}
    assert shown["a100"]["unit_price"] == made[0]["unit_price"] == explain(settings, "2026-10")[0]["unit_price"]
    assert (shown["a100"]["version"], shown["a100"]["login"]) == (1, "ann")
    before = explain(dearer, "2026-09", ask(ledger.connection, "rates"))[0]
    assert before["version"] is None and before["unit_price"] != made[0]["unit_price"]


def test_an_invoice_has_a_line_for_each_price_of_the_month(settings: Settings, ledger: Ledger) -> None:
    (old,) = {
        r["unit_price"] for r in publish(settings, ledger, local("2026-10-01"), WHO, "", NOW) if r["sku"] == "a100"
    }
    dearer = configured(settings.path, 24000)
    changed = publish(dearer, ledger, local("2026-10-11T06"), WHO, "index", NOW)
    (new,) = {r["unit_price"] for r in changed if r["sku"] == "a100"}
    assert [row["before"] for row in changed if row["sku"] == "a100"] == [old] != [new]
    october = month("2026-10", settings.timezone)
    at = (october.start_ms - T0) // 1000 + (10 * 24 + 6) * 3600
    with ledger.transaction() as db:  # two hours on one GPU, half before the change
        ingest.add_accounting(db, [accounting(at - 3600, at + 3600, tres="gres/gpu=1,gres/gpu:a100=1")])
    project_dirty(ledger, {})
    with open_queries(dearer, ledger.path) as queries:
        (invoice,) = bill(dearer, queries, "2026-10")
    assert [
        (line["gpu_hours"], line["unit_price"], line["period_start"], line["period_end"]) for line in invoice["lines"]
    ] == [
        ("1.000000", old, "2026-10-01T00:00:00+05:30", "2026-10-11T06:00:00+05:30"),
        ("1.000000", new, "2026-10-11T06:00:00+05:30", "2026-11-01T00:00:00+05:30"),
    ]
    assert (invoice["period_start"], invoice["period_end"]) == (october.start_iso, october.end_iso)
    assert Decimal(invoice["total"]) == sum(Decimal(line["amount"]) for line in invoice["lines"])


def test_history_says_who_when_from_where_why_and_what_changed(settings: Settings, ledger: Ledger) -> None:
    publish(settings, ledger, local("2026-10-01"), WHO, "the first", NOW)
    publish(configured(settings.path, 24000), ledger, local("2026-11-01"), WHO, "new offer", NOW + 5000)
    first, second = history(ask(ledger.connection, "rates"), settings)
    assert (first["version"], first["changed"], first["why"]) == (1, [], "the first")
    assert (second["version"], second["login"], second["terminal"]) == (2, "ann", "/dev/pts/3 192.0.2.7")
    assert second["changed"] == [{"key": "pools.main.skus.a100.purchase_price", "before": "12000", "now": "24000"}]
    assert set(second["prices"]) == {"a100", "h100"}
    logged = [
        json.loads(what)
        for (what,) in ledger.connection.execute("SELECT what FROM change_log WHERE subject = 'rates' ORDER BY seq")
    ]
    assert logged[1]["published"]["inputs"]["pools.main.skus.a100.purchase_price"] == "24000"
    assert changes.first_broken(ledger.connection) is None


@pytest.mark.parametrize(
    ("effective", "pool", "reason"),
    [
        (local("2026-10-01"), None, "version 1 holds from"),
        (local("2026-09-30T23"), None, "version 1 holds from"),
        (local("2026-12-01T00:30"), None, "no full hour"),
        (local("2026-12-01"), "other", "no such pool; there are main"),
    ],
)
def test_what_cannot_be_published_changes_nothing(
    settings: Settings, ledger: Ledger, effective: datetime, pool: str | None, reason: str
) -> None:
    publish(settings, ledger, local("2026-10-01"), WHO, "", NOW)
    before = list(ledger.connection.execute("SELECT * FROM rate"))
    logged = ledger.connection.execute("SELECT count(*) FROM change_log").fetchone()
    with pytest.raises(UsageError, match=reason):
        publish(settings, ledger, effective, WHO, "", NOW, pool)
    assert list(ledger.connection.execute("SELECT * FROM rate")) == before
    assert ledger.connection.execute("SELECT count(*) FROM change_log").fetchone() == logged


def test_an_hour_that_the_clock_skips_is_refused(tmp_path: Path, ledger: Ledger) -> None:
    gpus = [("a100", 8, Decimal(12000))]
    text = template(timezone="Europe/Berlin", currency="EUR", cluster="c", gpus=gpus, purchase_date=date(2026, 1, 1))
    (tmp_path / "berlin.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="does not exist in Europe/Berlin"):
        publish(load(tmp_path / "berlin.toml"), ledger, local("2027-03-28T02"), WHO, "", NOW)


@pytest.mark.parametrize("statement", ["UPDATE rate SET unit_price = '0'", "DELETE FROM rate"])
def test_published_rates_stand(settings: Settings, ledger: Ledger, statement: str) -> None:
    publish(settings, ledger, local("2026-10-01"), WHO, "", NOW)
    with pytest.raises(sqlite3.IntegrityError, match="published rates stand"):
        ledger.connection.execute(statement)
