"""Every rule that docs/attempt-rules.md names stands in the code under that name."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "attempt-rules.md").read_text(encoding="utf-8")
ROWS = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| ") and "| code |" not in line]


def test_every_rule_names_its_code() -> None:
    assert len(ROWS) > 20
    for *_, code in ROWS:
        names = re.findall(r"`(\w+)\.(\w+)`", code)
        assert names, f"{code} names none"
        for module, name in names:
            assert hasattr(import_module(f"slurm_gpucost.domain.{module}"), name), f"{module}.{name} is not there"


def test_the_numbers_of_the_rules_are_those_of_the_code() -> None:
    hooks = import_module("slurm_gpucost.domain.hooks")
    assert f"{hooks.HOOK_SLACK_MS // 1000} seconds behind" in PAGE
    assert f"more than {hooks.PROLOG_LATE_MS // 1000} seconds after the end" in PAGE
    assert f"within {hooks.HOOK_SLACK_MS // 1000} seconds" in PAGE
