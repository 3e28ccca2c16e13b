"""Changes of the config's costs, each noted once."""

from __future__ import annotations

from pathlib import Path

import pytest

from slurm_gpucost.ledger import changes
from slurm_gpucost.ledger.queries import ask
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services import recorded
from slurm_gpucost.services.publishing import publish
from slurm_gpucost.settings import Settings, load
from tests.unit.services.test_publishing import NOW, WHO, configured, ledger, local, settings

__all__ = ["ledger", "settings"]


def note(ledger: Ledger, settings: Settings, why: str = "") -> list[recorded.Difference]:
    with ledger.transaction() as db:
        return recorded.record(db, settings, WHO, why, NOW)


def test_each_change_is_noted_once_with_both_values(settings: Settings, ledger: Ledger) -> None:
    first = note(ledger, settings, "the first")
    assert {"key": "pools.main.tariff_per_kwh", "before": None, "now": "0.2"} in first
    assert note(ledger, settings) == []
    dearer = configured(settings.path, 24000)
    price = {"key": "pools.main.skus.a100.purchase_price", "before": "12000", "now": "24000"}
    assert note(ledger, dearer, "new offer") == [price]
    _, second = recorded.history(ask(ledger.connection, "config_changes"))
    assert (second["login"], second["terminal"], second["why"]) == ("ann", "/dev/pts/3 192.0.2.7", "new offer")
    assert (second["at"], second["changed"]) == (NOW // 1000, [price])
    assert changes.first_broken(ledger.connection) is None


def test_what_nobody_noted_is_noted_when_rates_are_published(settings: Settings, ledger: Ledger) -> None:
    note(ledger, settings)
    publish(configured(settings.path, 24000), ledger, local("2026-10-01"), WHO, "at last", NOW)
    assert [row["why"] for row in recorded.history(ask(ledger.connection, "config_changes"))] == ["", "at last"]


@pytest.mark.parametrize("line", ["interval_seconds = 5", "idle_minimum_minutes = 30"])
def test_what_costs_nothing_is_not_noted(settings: Settings, ledger: Ledger, line: str) -> None:
    note(ledger, settings)
    text = settings.path.read_text(encoding="utf-8")
    Path(settings.path).write_text(text.replace(line, line + "0"), encoding="utf-8")
    assert note(ledger, load(settings.path)) == []
