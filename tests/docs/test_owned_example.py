"""The cost model's example of owned devices: what is shown is printed, and its table is by hand and the model's."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slurm_gpucost.cli.app import app
from tests.docs.test_worked_example import BLOCK, JOBS, PAGE, by_hand, rows, shown, text_of

SECTION = PAGE.read_text(encoding="utf-8").partition("\n## Owned devices\n")[2].partition("\n## ")[0]
MONTH = "2026-09"


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the page's command and the questions behind its table print."""
    found = BLOCK.findall(SECTION)
    (config,) = (text for language, text in found if language == "toml")
    (jobs,) = (text for language, text in found if text.startswith(JOBS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GPUCOST_CONFIG", "gpucost.toml")
    monkeypatch.setenv("GPUCOST_LEDGER", "ledger.db")
    Path("gpucost.toml").write_text(config, encoding="utf-8")
    Path("jobs.txt").write_text(jobs, encoding="utf-8")

    def gpucost(words: str) -> str:
        result = CliRunner().invoke(app, words.split())
        assert result.exit_code == 0, result.output
        return result.stdout

    gpucost("backfill --from-file jobs.txt")
    ((words, _),) = shown(SECTION)
    asked = [f"rates explain --month {MONTH} --json", f"invoice --month {MONTH} --json", f"audit --month {MONTH}"]
    return {"page": gpucost(" ".join(words))} | {question.split()[0]: gpucost(question) for question in asked}


def test_the_invoice_is_what_the_command_prints(printed: dict[str, str]) -> None:
    ((_, text),) = shown(SECTION)
    assert text and text in printed["page"]
    assert "Everything adds up." in printed["audit"]


def test_every_line_of_the_table_is_right(printed: dict[str, str]) -> None:
    (sku,) = json.loads(printed["rates"])
    steps = {step["label"]: Fraction(step["value"]) for step in sku["steps"]}
    bio, physics = json.loads(printed["invoice"])
    usage, covered, share, guests = physics["lines"]
    assert [line["item"] for line in physics["lines"]] == ["usage", "covered", "share", "guests"]
    hours = {line["item"]: Fraction(line["gpu_hours"]) for line in physics["lines"]}
    model = {
        "a": steps["Operating cost"], "b": Fraction(sku["operating_price"]), "c": steps["Annual cost"],
        "d": steps["Institution's cost"], "e": Fraction(sku["unit_price"]), "f": hours["share"],
        "g": Fraction(share["amount"]), "h": -hours["covered"], "k": Fraction(bio["lines"][0]["gpu_hours"]),
        "l": -hours["guests"], "m": -Fraction(guests["amount"]), "n": Fraction(physics["total"]),
    }  # fmt: skip
    assert Fraction(usage["amount"]) == -Fraction(covered["amount"])
    table, hand = rows(SECTION), by_hand(SECTION)
    assert sorted(table) == sorted({*model, "i", "j"}), "what is open to guests is on no document"
    for letter, row in table.items():
        assert text_of(hand[letter], row.value) == row.value, f"{letter}: {row.by_hand}"
        assert letter not in model or text_of(model[letter], row.value) == row.value, f"{letter}: the model says else"
