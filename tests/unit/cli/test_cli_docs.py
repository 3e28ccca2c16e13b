"""docs/cli.md against the commands: an option or key that is missing there, or stands there in vain, fails here."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import Result

from slurm_gpucost.cli.app import app

Run = Callable[..., Result]
Ask = Callable[..., Any]
PAGE = Path(__file__).parents[3] / "docs" / "cli.md"
TEXT = PAGE.read_text(encoding="utf-8")


def commands(command: Any = None, path: str = "gpucost") -> Iterator[tuple[str, Any]]:
    command = command or typer.main.get_command(app)
    if hasattr(command, "commands"):
        for name, one in command.commands.items():
            yield from commands(one, f"{path} {name}")
    else:
        yield path, command


def section(path: str) -> str:
    found = re.search(rf"^## {path}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)
    assert found, f"docs/cli.md has no section '## {path}'"
    return found[1]


EVERYWHERE = ("--config", "--ledger", "--json")


def options(command: Any, common: bool = False) -> str:
    """The table of options, as it must stand in the page; those that are everywhere stand once."""
    lines = ["| option | meaning |", "|---|---|"]
    for param in command.params:
        if param.param_type_name != "option" or (param.opts[0] in EVERYWHERE) is not common:
            continue
        letters = ", ".join(f"`{letter}`" for letter in param.opts)
        value = f" {param.metavar}" if param.metavar else "" if param.is_flag else " N"
        text = param.help.replace("|", "\\|") + (" Needed." if param.required else "")
        lines.append(f"| {letters}{value} | {text} |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(("path", "command"), list(commands()), ids=lambda v: v if isinstance(v, str) else "")
def test_every_command_and_option_is_documented(path: str, command: Any) -> None:
    table = options(command)
    if len(table.splitlines()) > 2:
        assert table in section(path), f"the table of options in docs/cli.md, '## {path}', must be:\n{table}"


def test_the_options_that_are_everywhere_stand_once() -> None:
    for path, command in commands():
        if path not in ("gpucost init", "gpucost demo"):
            assert options(command, common=True) in TEXT, options(command, common=True)


def test_no_section_is_of_a_command_that_is_gone() -> None:
    assert sorted(re.findall(r"^## (gpucost .*)$", TEXT, re.M)) == sorted(path for path, _ in commands())


def keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for one in value.values() for key in keys(one)}
    return {key for one in value for key in keys(one)} if isinstance(value, list) else set()


@pytest.mark.parametrize(
    "words",
    ["jobs -a -S 2026-10-01", "invoice --month 2026-10", "invoice --month 2026-10 -u bob", "rates explain", "status",
     "report cluster a start=2026-10-01 end=2026-11-01", "config check", "rebuild", "backup copy.db",
     "energy --month 2026-10"],
)  # fmt: skip
def test_every_key_of_the_json_is_documented(ask: Ask, words: str) -> None:
    path = next(path for path, _ in commands() if f"gpucost {words}".startswith(path))
    told = set(re.findall(r"`(\w+)`", section(path)))
    assert keys(ask(*words.split())) - told == set()


def test_the_summary_of_a_backfill_is_documented(made: Run, saved: str) -> None:
    told = set(re.findall(r"`(\w+)`", section("gpucost backfill")))
    answer = json.loads(made("backfill", "--from-file", "-", "--json", input=saved + "broken\n").stdout)
    assert keys(answer) - told == set()


def test_every_key_of_nodes_is_documented(site: Run) -> None:
    for words in (["enroll", "n1"], ["list"], ["revoke", "n1"]):
        told = set(re.findall(r"`(\w+)`", section(f"gpucost node {words[0]}")))
        answer = json.loads(site("node", *words, "--json").stdout)
        assert answer and keys(answer) - told == set()


def examples() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", TEXT, re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if line.startswith("gpucost ")]


def test_there_are_examples_of_every_command() -> None:
    for path, _ in commands():
        assert any(line.startswith(path) for line in examples()), f"docs/cli.md shows no example of {path}"


@pytest.mark.parametrize("line", examples())
def test_the_examples_are_understood(
    site: Run, sacct: Callable[[str], None], tmp_path: Path, saved: str, line: str
) -> None:
    sacct("exit 1")
    (tmp_path / "october.txt").write_text(saved)
    (tmp_path / "allocations.csv").write_text("slurm_account_name,project\nphysics,Dark matter\n")
    said = [{"allocation_attribute_type": "slurm_account_name", "value": "physics"}]
    (tmp_path / "allocations.json").write_text(json.dumps([{"id": 1, "allocation_attributes": said}]))
    words = shlex.split(line.partition(" > ")[0].partition(" | ")[0], comments=True)[1:]
    if words == ["demo"]:
        return  # plays for seconds; it has a test of its own
    if words[0] == "restore":
        assert site("backup", words[1]).exit_code == 0
    if words[:2] == ["node", "revoke"]:
        assert site("node", "enroll", words[2]).exit_code == 0
    if words[:2] == ["token", "revoke"]:
        assert site("token", "issue", "--user", "alice").exit_code == 0
    result = site(*words)
    asks_sacct = words[:2] == ["backfill", "-S"] and "--print-command" not in words
    assert result.exit_code == (1 if asks_sacct else 0), result.stderr
    assert "internal error" not in result.stderr
