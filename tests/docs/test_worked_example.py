"""The worked example of the cost model: what it shows is what the commands print, and what a pocket calculator says.

The calculations by hand are read from the page and done with fractions here; the model takes no part in them.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from slurm_gpucost.cli.app import app
from slurm_gpucost.services.rates import period_costs, period_in
from slurm_gpucost.settings import load

PAGE = Path(__file__).parents[2] / "docs" / "cost-model.md"
SECTION = PAGE.read_text(encoding="utf-8").partition("\n## A worked example\n")[2].partition("\n## ")[0]
MONTH = "2026-09"
JOBS = "JobIDRaw|"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```\n?", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"(?<!\w)\d+(?:,\d{3})*(?:\.\d+)?")
ROW = re.compile(r"^\| ([a-z]) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| [^|]+ \|$", re.MULTILINE)


class Row(NamedTuple):
    """A line of the table of calculations by hand."""

    what: str
    by_hand: str
    value: str


def rows(section: str) -> dict[str, Row]:
    """By letter."""
    return {letter: Row(*map(str.strip, rest)) for letter, *rest in ROW.findall(section)}


def shown(section: str) -> list[tuple[list[str], str]]:
    """(the words of a gpucost command, what the page says that it prints), in the order of the page."""
    found: list[tuple[list[str], str]] = []
    for language, text in BLOCK.findall(section):
        if language == "sh":
            found += [(shlex.split(line)[1:], "") for line in text.splitlines()]
        elif not language and found and not text.startswith(JOBS):
            found[-1] = (found[-1][0], text.strip())
    return found


def calculate(text: str, known: dict[str, Fraction], decimals: int) -> Fraction:
    """`(a + 80,000) x 0.25 / 3, rounded down, + 0.01`: with fractions, in the usual order of operations."""
    terms, *more = text.split(", ")
    value = _sum(iter(re.findall(r"[\d.,]+|[a-z]|\S", re.sub(r"(?<=\d),(?=\d)", "", terms))), known)
    unit = Fraction(10) ** decimals
    for word in more:
        if word == "rounded":
            value = floor(value * unit + Fraction(1, 2)) / unit
        elif word == "rounded down":
            value = floor(value * unit) / unit
        else:
            value += Fraction(word.removeprefix("+ "))
    return value


def _sum(tokens: Iterator[str], known: dict[str, Fraction]) -> Fraction:
    """Up to the closing bracket, or the end."""
    total, product, sign, divide = Fraction(0), Fraction(1), 1, False
    for token in tokens:
        if token in ")+-":
            total += sign * product
            product, sign = Fraction(1), -1 if token == "-" else 1
            if token == ")":
                return total
        elif token in "x/":
            divide = token == "/"
        else:
            value = _sum(tokens, known) if token == "(" else known[token] if token in known else Fraction(token)
            product, divide = product / value if divide else product * value, False
    return total + sign * product


def decimals_of(value: str) -> int:
    return len(value.partition(".")[2])


def by_hand(section: str) -> dict[str, Fraction]:
    """The value of every line, calculated from the page's words alone."""
    known: dict[str, Fraction] = {}
    for letter, row in rows(section).items():
        known[letter] = calculate(row.by_hand, known, decimals_of(row.value))
    return known


def text_of(value: Fraction, like: str) -> str:
    """With the decimals of another text, halves up."""
    decimals = decimals_of(like)
    units = floor(abs(value) * 10**decimals + Fraction(1, 2))
    whole, part = divmod(units, 10**decimals)
    return ("-" if value < 0 else "") + f"{whole:,}" + (f".{part:0{decimals}}" if decimals else "")


class Model(NamedTuple):
    """What the model says."""

    printed: dict[str, str]
    """By command."""
    values: dict[str, Fraction]
    """By letter of the table."""
    amounts: list[str]
    """Of the invoice's lines."""


def asked(section: str, place: Path, monkeypatch: pytest.MonkeyPatch, *, text: bool = True) -> Model:
    """Runs the page's commands over the page's config and jobs; without ``text`` nothing is printed for eyes."""
    found = BLOCK.findall(section)
    (config,) = (text for language, text in found if language == "toml")
    (jobs,) = (text for language, text in found if text.startswith(JOBS))
    monkeypatch.chdir(place)
    monkeypatch.setenv("GPUCOST_CONFIG", "gpucost.toml")
    monkeypatch.setenv("GPUCOST_LEDGER", "ledger.db")
    Path("gpucost.toml").write_text(config, encoding="utf-8")
    runner = CliRunner()

    def gpucost(*words: str) -> str:
        result = runner.invoke(app, list(words))
        assert result.exit_code == 0, result.output
        return result.stdout

    if not Path("jobs.txt").exists() or Path("jobs.txt").read_text(encoding="utf-8") != jobs:
        for old in place.glob("ledger.db*"):
            old.unlink()
        Path("jobs.txt").write_text(jobs, encoding="utf-8")
        gpucost("backfill", "--from-file", "jobs.txt")
    commands = [words for words, _ in shown(section) if words[0] != "backfill"] if text else []
    printed = {shlex.join(words): gpucost(*words) for words in commands}
    explained = {one["sku"]: one for one in json.loads(gpucost("rates", "explain", "--month", MONTH, "--json"))}
    (invoice,) = json.loads(gpucost("invoice", "--month", MONTH, "--json"))
    audit = json.loads(gpucost("audit", "--month", MONTH, "--json"))
    assert audit["differences"] == []
    return Model(printed, dict(_values(explained["a100"], invoice, audit)), [one["amount"] for one in invoice["lines"]])


def _values(explained: dict, invoice: dict, audit: dict) -> Iterator[tuple[str, Fraction]]:  # type: ignore[type-arg]
    steps = {one["label"]: one for one in explained["steps"]}
    labels = ("Depreciation of HPC-2025-18", "Operators", "Energy drawn", "Energy", "Annual cost", "Planned GPU-hours")
    for letter, label in zip("abcefg", labels, strict=True):
        yield letter, Fraction(steps[label]["value"])
    (price,) = re.findall(r"x (\d\.\d+)", steps["Energy"]["formula"])
    yield "d", Fraction(price)
    yield "h", Fraction(explained["unit_price"])
    ann, ben, waived = invoice["lines"]
    assert [(one["user"], one["item"]) for one in (ann, ben, waived)] == [
        ("ann", "usage"), ("ben", "usage"), ("ben", "waived"),
    ]  # fmt: skip
    for letter, line in zip("ijk", (ann, ben, waived), strict=True):
        yield letter, Fraction(line["gpu_hours"])
    for letter, line in zip("lm", (ann, ben), strict=True):
        yield letter, Fraction(line["gpu_hours"]) * Fraction(line["unit_price"])
    yield "n", Fraction(invoice["total"])
    yield "o", Fraction(ann["amount"])
    yield "p", Fraction(ben["amount"])
    settings = load(Path("gpucost.toml"))
    costs = period_costs(settings.pools[0], period_in(MONTH, settings.timezone))
    yield "q", costs["a100"]
    yield "r", costs["l40s"]
    (pool,) = audit["pools"]
    for letter, term in zip("stuvw", ("cost", "attributed", "idle", "recovery_difference", "rounding"), strict=True):
        yield letter, Fraction(pool[term])


def wrong_lines(section: str, model: Model) -> list[str]:
    """Every line of the table that is not the model's, or not what follows from the calculation in it."""
    found: list[str] = []
    hand = by_hand(section)
    if hand.keys() != model.values.keys():
        found.append("the table has other lines than the model's")
    for letter, row in rows(section).items():
        if text_of(hand[letter], row.value) != row.value:
            found.append(f"{letter}: by hand {row.by_hand} is {text_of(hand[letter], row.value)}, not {row.value}")
        if text_of(model.values.get(letter, Fraction(-1)), row.value) != row.value:
            found.append(f"{letter}: the model says {float(model.values[letter])}, the page {row.value}")
    return found


def faults(section: str, model: Model) -> list[str]:
    """Everything in the section that is not as the model says, or not as it is calculated by hand."""
    found = wrong_lines(section, model)
    for words, text in shown(section):
        if words[0] != "backfill" and (not text or text not in model.printed[shlex.join(words)]):
            found.append(f"gpucost {shlex.join(words)} prints something else than is shown")
    there = {number.replace(",", "") for text in _blocks_and_table(section) for number in NUMBER.findall(text)}
    for number in NUMBER.findall(ROW.sub("", BLOCK.sub("", section)).replace(MONTH, "")):
        if number.replace(",", "") not in there:
            found.append(f"{number} stands in the text and in nothing that is checked")
    return found


def _blocks_and_table(section: str) -> list[str]:
    return [text for _, text in BLOCK.findall(section)] + [" ".join(row) for row in rows(section).values()]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    return asked(SECTION, tmp_path, monkeypatch)


def test_every_number_is_the_models_and_the_pocket_calculators(model: Model) -> None:
    assert faults(SECTION, model) == []
    assert [words[0] for words, text in shown(SECTION) if text] == ["rates", "invoice", "audit"]


def test_the_balance_by_hand_holds(model: Model) -> None:
    hand = by_hand(SECTION)
    assert hand["s"] == hand["t"] + hand["u"], "cost = attributed + idle"
    assert hand["n"] == hand["t"] + hand["v"] + hand["w"], "charged = attributed + recovery difference + rounding"
    cents = {"ann": hand["l"] * 100, "ben": hand["m"] * 100}
    assert hand["n"] * 100 - sum(map(floor, cents.values())) == 1, "a cent is missing"
    assert max(cents, key=lambda user: cents[user] - floor(cents[user])) == "ann"
    assert [Fraction(amount) for amount in model.amounts] == [hand["o"], hand["p"], 0]
    rounded_alone = [Fraction(floor(one + Fraction(1, 2)), 100) for one in cents.values()]
    assert sum(rounded_alone) != hand["n"], "the example must show why amounts are not rounded each by itself"


def test_the_calculator_of_this_test() -> None:
    known = {"a": Fraction(7)}
    assert calculate("a - 2 x (3 - 1,000 / 500) / 4", known, 2) == Fraction(13, 2)
    assert calculate("10 - 4 - 3", known, 0) == 3
    assert calculate("2 / 3, rounded", known, 2) == Fraction(67, 100)
    assert calculate("2 / 3, rounded down, + 0.01", known, 2) == Fraction(67, 100)
    assert text_of(Fraction(-26, 10000), "0.000000") == "-0.002600"


def changed(section: str, match: re.Match[str]) -> str:
    """The section with another last digit of a number."""
    at = match.end() - 1
    return section[:at] + str((int(section[at]) + 1) % 10) + section[at + 1 :]


def test_any_changed_number_of_an_output_or_of_the_table_is_a_fault(model: Model) -> None:
    assert faults(SECTION, model) == []
    start = SECTION.index("gpucost rates explain")
    jobs = re.search(r"^```\nJobIDRaw.*?^```", SECTION, re.MULTILINE | re.DOTALL)
    assert jobs
    tried, missed = 0, []
    for match in NUMBER.finditer(SECTION, start):
        line = SECTION[SECTION.rindex("\n", 0, match.start()) + 1 : SECTION.index("\n", match.end())]
        if line.startswith("gpucost ") or jobs.start() < match.start() < jobs.end():
            continue  # words of a command; jobs have a test of their own
        tried += 1
        if not faults(changed(SECTION, match), model):
            missed.append(f"{match[0]} in: {line}")
    assert missed == []
    assert tried > 150


def test_any_changed_number_of_the_config_or_of_a_job_changes_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wrong_lines(SECTION, asked(SECTION, tmp_path, monkeypatch, text=False)) == []
    tried, missed = 0, []
    for block in re.finditer(r"^```(?:toml)?\n(?:cluster|JobIDRaw).*?^```", SECTION, re.MULTILINE | re.DOTALL):
        for match in re.finditer(r"(?<== )\d+$|(?<== \")[\d.]+|(?<=T\d\d:)\d\d|(?<=a100=)\d", block[0], re.MULTILINE):
            tried += 1
            at = block.start() + match.end() - 1
            section = SECTION[:at] + str((int(SECTION[at]) + 1) % 10) + SECTION[at + 1 :]
            try:
                wrong = wrong_lines(section, asked(section, tmp_path, monkeypatch, text=False))
            except (AssertionError, ValueError):
                continue  # refused, or another invoice: noticed
            if not wrong:
                missed.append(match[0])
    assert missed == []
    assert tried > 20
