"""Owned devices through the commands."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Run = Callable[..., Result]
PAGE = Path(__file__).parents[3] / "docs" / "cli.md"


@pytest.fixture
def owned(site: Run, tmp_path: Path) -> Run:
    config = tmp_path / "gpucost.toml"
    share = '[[pools.main.shares]]\naccount = "chem"\ndevices = 2.5\nfrom = 2026-10-31\n'
    config.write_text(config.read_text().replace('"institution"', '"owners"') + share)
    return site


def test_an_owner_that_never_used_anything_has_an_invoice_of_no_user(owned: Run) -> None:
    asked = owned("invoice", "--month", "2026-10", "-A", "chem", "--csv", "-")
    assert asked.exit_code == 0, asked.stderr
    (line,) = csv.DictReader(io.StringIO(asked.stdout))
    assert [line[key] for key in ("account", "user", "item", "gpu_hours")] == ["chem", "", "share", "60.000000"]
    assert owned("invoice", "--month", "2026-10", "-A", "chm").exit_code == 2


def test_what_commands_say_of_shares_is_documented(owned: Run) -> None:
    explained = json.loads(owned("rates", "explain", "--month", "2026-10", "--json").stdout)
    told = set(re.findall(r"`(\w+)`", PAGE.read_text(encoding="utf-8")))
    assert {key for row in explained for key in row} <= told
    assert explained[0]["operating_price"]
    for item in ("share", "covered", "guests"):
        assert item in told


def test_showback_and_audit_know_owners(owned: Run) -> None:
    audited = owned("audit", "--month", "2026-10")
    assert (audited.exit_code, "Everything adds up." in audited.stdout) == (0, True)
    shown = owned("showback", "--month", "2026-10")
    assert shown.exit_code == 0, shown.stderr
    assert re.search(r"^t +chem +\(account\) +0\.000000 +\d", shown.stdout, re.M), "the owner's idle cost, of no user"
