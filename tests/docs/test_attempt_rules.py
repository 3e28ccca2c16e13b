"""Every rule that docs/attempt-rules.md names stands in the code under that name."""

from __future__ import annotations

import re
from importlib import import_module
from operator import attrgetter
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "attempt-rules.md").read_text(encoding="utf-8")
ROWS = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| ") and "| code |" not in line]


def test_every_rule_names_its_code() -> None:
    assert len(ROWS) > 20
    for *_, code in ROWS:
        names = re.findall(r"`(\w+)\.([\w.]+)`", code)
        assert names, f"{code} names none"
        for module, name in names:
            assert attrgetter(name)(import_module(f"slurm_gpucost.domain.{module}")), f"{module}.{name} is not there"


def test_the_numbers_of_the_rules_are_those_of_the_code() -> None:
    runs = import_module("slurm_gpucost.domain.runs")
    assert f"{runs.HOOK_SLACK_MS // 1000} seconds behind" in PAGE
    assert f"more than {runs.PROLOG_LATE_MS // 1000} seconds after the start" in PAGE
    assert f"within {runs.HOOK_SLACK_MS // 1000} seconds" in PAGE
